"""gRPC: the stock client, statuses, streams, deadlines, compression, health."""
import queue
import struct
import threading
import time

import grpc
import numpy as np
import tritonclient.grpc as triton
from harness import PATIENCE_S, Failure, check
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as pb_grpc


def item(x, name="x", kind="FP32"):
    tensor = triton.InferInput(name, x.shape, kind)
    tensor.set_data_from_numpy(x)
    return tensor


def refused(code, says, call):
    try:
        call()
    except grpc.RpcError as error:
        check(error.code() in (code if isinstance(code, tuple) else (code,)) and says in error.details(), error.code(), error.details())
        return
    raise Failure("not refused:", says)


def stub_of(server, **options):
    channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc}", options=list(options.items()))
    return channel, pb_grpc.GRPCInferenceServiceStub(channel)


def case_tritonclient(t):
    server = t.start("--model-control-mode=explicit", "--load-model=identity",
                     models=("identity", "add_sub"))
    client = triton.InferenceServerClient(f"127.0.0.1:{server.grpc}")
    check(client.is_server_live() and client.is_server_ready() and client.is_model_ready("identity"))
    check(not client.is_model_ready("add_sub") and not client.is_model_ready("identity", "2"))
    check(client.get_server_metadata().name == "dyno")
    told = client.get_model_metadata("identity")
    check(told.platform == "dyno_engine" and list(told.inputs[0].shape) == [-1, 16], told)
    config = client.get_model_config("identity").config
    check(config.name == "identity" and config.max_batch_size == 64, config)
    client.load_model("add_sub")
    a = np.arange(16, dtype=np.int32).reshape(1, 16)
    b = np.ones((1, 16), np.int32)
    got = client.infer("add_sub", [item(b, "INPUT1", "INT32"), item(a, "INPUT0", "INT32")],
                       request_id="17", model_version="1", timeout=10**7, priority=2,
                       parameters={"text": "a", "number": 1, "yes": True, "half": 0.5})
    check(np.array_equal(got.as_numpy("OUTPUT0"), a + b), got.get_response())
    check(np.array_equal(got.as_numpy("OUTPUT1"), a - b), got.get_response())
    check(got.get_response().id == "17" and got.get_response().model_version == "1")
    check(got.get_response().parameters["variant"].string_param == "fp32")
    got = client.infer("add_sub", [item(a, "INPUT0", "INT32"), item(b, "INPUT1", "INT32")],
                       outputs=[triton.InferRequestedOutput("OUTPUT1")])
    check([o.name for o in got.get_response().outputs] == ["OUTPUT1"])
    for zipped in ("gzip", "deflate"):
        x = np.random.rand(64, 16).astype(np.float32)
        got = client.infer("identity", [item(x)], compression_algorithm=zipped)
        check(np.array_equal(got.as_numpy("y"), x), zipped)
    index = {m.name: m.state for m in client.get_model_repository_index().models}
    check(index == {"identity": "READY", "add_sub": "READY"}, index)
    stats = client.get_inference_statistics("add_sub").model_stats[0]
    check(stats.inference_stats.success.count == 2 and stats.execution_count == 2, stats)
    client.unload_model("add_sub")
    check(not client.is_model_ready("add_sub"))
    client.close()


def case_async_and_many(t):
    server = t.start()
    client = triton.InferenceServerClient(f"127.0.0.1:{server.grpc}")
    results = queue.Queue()
    x = np.random.rand(1, 16).astype(np.float32)
    for i in range(500):
        client.async_infer("identity", [item(x + i)], request_id=str(i),
                           callback=lambda result, error: results.put((result, error)))
    for _ in range(500):
        result, error = results.get(timeout=PATIENCE_S)
        check(error is None, error)
        i = int(result.get_response().id)
        check(np.array_equal(result.as_numpy("y"), x + i), i)
    client.close()


def case_stream(t):
    server = t.start(models=("identity", "slow"))
    client = triton.InferenceServerClient(f"127.0.0.1:{server.grpc}")
    results = queue.Queue()
    client.start_stream(callback=lambda result, error: results.put((result, error)))
    x = np.random.rand(1, 16).astype(np.float32)
    slow = np.abs(np.random.rand(512, 256)).astype(np.float32)
    # A slow one first: answers keep the order of requests.
    client.async_stream_infer("slow", [item(slow)], request_id="0")
    for i in range(1, 200):
        client.async_stream_infer("identity", [item(x + i)], request_id=str(i))
    client.async_stream_infer("none", [item(x)], request_id="200")
    client.async_stream_infer("identity", [item(x)], request_id="201")
    for i in range(202):
        result, error = results.get(timeout=PATIENCE_S)
        if i == 200:
            check(result is None and "unknown model" in str(error), error)
            continue
        check(error is None and result.get_response().id == str(i), i, error)
        check(np.array_equal(result.as_numpy("y"), slow if i == 0 else x + i if i < 201 else x), i)
    client.stop_stream()
    client.close()


def case_stream_error_mode(t):
    server = t.start()
    client = triton.InferenceServerClient(f"127.0.0.1:{server.grpc}")
    results = queue.Queue()
    client.start_stream(callback=lambda result, error: results.put((result, error)),
                        headers={"triton_grpc_error": "true"})
    client.async_stream_infer("none", [item(np.zeros((1, 16), np.float32))])
    _, error = results.get(timeout=PATIENCE_S)
    check(error is not None and "NOT_FOUND" in str(error.status()), error)
    client.close()


def case_typed_contents(t):
    kinds = {"u8": ("UINT8", "uint_contents", [0, 255]), "i8": ("INT8", "int_contents", [-128, 127]),
             "u16": ("UINT16", "uint_contents", [0, 65535]),
             "i16": ("INT16", "int_contents", [-32768, 32767]),
             "u32": ("UINT32", "uint_contents", [0, 2**32 - 1]),
             "i32": ("INT32", "int_contents", [-2**31, 2**31 - 1]),
             "u64": ("UINT64", "uint64_contents", [0, 2**64 - 1]),
             "i64": ("INT64", "int64_contents", [-2**63, 2**63 - 1]),
             "f64": ("FP64", "fp64_contents", [0.1, -1e300]),
             "bool": ("BOOL", "bool_contents", [True, False])}
    formats = {"u8": "B", "i8": "b", "u16": "H", "i16": "h", "u32": "I", "i32": "i", "u64": "Q",
               "i64": "q", "f64": "d", "bool": "?"}
    server = t.start(models=[f"same_{k}" for k in kinds])
    channel, stub = stub_of(server)
    for name, (kind, field, values) in kinds.items():
        request = pb.ModelInferRequest(model_name=f"same_{name}")
        tensor = request.inputs.add(name="x", datatype=kind, shape=[len(values)])
        getattr(tensor.contents, field).extend(values)
        got = stub.ModelInfer(request)
        raw = struct.pack("<2" + formats[name], *values)
        check(got.raw_output_contents[0] == raw, name, got)
    channel.close()


def case_statuses(t):
    server = t.start()
    channel, stub = stub_of(server)
    code = grpc.StatusCode

    def request(raw=b"\0" * 64, shape=(1, 16), kind="FP32", name="x", model="identity"):
        made = pb.ModelInferRequest(model_name=model)
        made.inputs.add(name=name, datatype=kind, shape=shape)
        if raw is not None:
            made.raw_input_contents.append(raw)
        return made

    def bad(status, says, made):
        refused(status, says, lambda: stub.ModelInfer(made, timeout=PATIENCE_S))
    bad(code.NOT_FOUND, "unknown model", request(model="none"))
    bad(code.NOT_FOUND, "unknown model", request(model="../identity"))
    bad(code.INVALID_ARGUMENT, "has no data", request(raw=None))
    bad(code.INVALID_ARGUMENT, "63 bytes", request(raw=b"\0" * 63))
    bad(code.INVALID_ARGUMENT, "unknown datatype", request(kind="FLOAT"))
    bad(code.INVALID_ARGUMENT, "FP64", request(raw=b"\0" * 128, kind="FP64"))
    bad(code.INVALID_ARGUMENT, "negative dimension", request(shape=(-1, 16)))
    bad(code.INVALID_ARGUMENT, "too many elements", request(shape=(2**62, 2**62)))
    bad(code.INVALID_ARGUMENT, "dimensions", request(shape=(1,) * 9))
    bad(code.INVALID_ARGUMENT, "unexpected inference input", request(name="q"))
    both = request()
    both.inputs[0].contents.fp32_contents.append(1.0)
    bad(code.INVALID_ARGUMENT, "contents", both)
    extra = request()
    extra.raw_input_contents.append(b"")
    bad(code.INVALID_ARGUMENT, "more raw_input_contents", extra)
    wrong = request(raw=None)
    wrong.inputs[0].contents.int_contents.extend([0] * 16)
    bad(code.INVALID_ARGUMENT, "another type", wrong)
    refused(code.NOT_FOUND, "unknown model",
            lambda: stub.ModelMetadata(pb.ModelMetadataRequest(name="none")))
    refused(code.UNAVAILABLE, "not allowed",
            lambda: stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="identity")))
    refused(code.UNIMPLEMENTED, "no such method",
            lambda: channel.unary_unary("/inference.GRPCInferenceService/Nothing")(b""))
    refused(code.INVALID_ARGUMENT, "protobuf",
            lambda: channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(b"\xff\xff"))
    channel.close()


def case_health_service(t):
    server = t.start()
    channel, _ = stub_of(server)
    call = channel.unary_unary("/grpc.health.v1.Health/Check")
    check(call(b"") == b"\x08\x01", "SERVING")
    refused(grpc.StatusCode.NOT_FOUND, "no such service", lambda: call(b"\x0a\x01x"))
    channel.close()


def case_deadline_and_cancel(t):
    server = t.start("--instances=1", models=("slow", "identity"))
    channel, stub = stub_of(server)
    x = np.random.rand(512, 256).astype(np.float32)
    made = pb.ModelInferRequest(model_name="slow")
    made.inputs.add(name="x", datatype="FP32", shape=x.shape)
    made.raw_input_contents.append(x.tobytes())
    waiting = [stub.ModelInfer.future(made) for _ in range(20)]
    # Predicted to be late, it is refused at once; otherwise its time runs out.
    refused((grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED), "",
            lambda: stub.ModelInfer(made, timeout=0.002))
    for call in waiting[5:]:
        call.cancel()
    for call in waiting[:5]:
        check(call.result(timeout=PATIENCE_S).raw_output_contents[0] == x.tobytes(), "a kept call")
    # What was cancelled does not run: the queue is soon empty.
    end = time.monotonic() + PATIENCE_S
    while server.metric("nv_inference_pending_request_count", model="slow") > 0:
        check(time.monotonic() < end, "cancelled requests are still pending")
        time.sleep(0.01)
    check(server.metric("nv_inference_request_success", model="slow") < 15, "cancelled ones ran")
    channel.close()


def case_large_messages(t):
    server = t.start("--max-input-size=40", models=("wide",))
    channel, stub = stub_of(server, **{"grpc.max_receive_message_length": -1,
                                       "grpc.max_send_message_length": -1})
    x = np.random.rand(8, 1 << 20).astype(np.float32)
    made = pb.ModelInferRequest(model_name="wide")
    made.inputs.add(name="x", datatype="FP32", shape=x.shape)
    made.raw_input_contents.append(x.tobytes())
    check(stub.ModelInfer(made).raw_output_contents[0] == x.tobytes(), "32 MiB")
    made.raw_input_contents[0] = b"\0" * (41 << 20)
    refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "at most", lambda: stub.ModelInfer(made))
    channel.close()
    server.wait_quiet()


def case_many_connections(t):
    server = t.start()
    failed = []

    def work(seed):
        rng = np.random.default_rng(seed)
        client = triton.InferenceServerClient(
            f"127.0.0.1:{server.grpc}", channel_args=[("grpc.use_local_subchannel_pool", 1)])
        for _ in range(30):
            x = rng.random((int(rng.integers(1, 64)), 16), np.float32)
            if not np.array_equal(client.infer("identity", [item(x)]).as_numpy("y"), x):
                failed.append(seed)
        client.close()
    threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not failed, failed)
