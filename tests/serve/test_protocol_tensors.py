"""Tensors that do not travel as they are: shared memory, classes; and what parameters say."""
import asyncio
import contextlib
import json
import os
import threading
import uuid

import grpc
import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.grpc.aio as triton_grpc_aio
import tritonclient.http as triton_http
import tritonclient.http.aio as triton_http_aio
import tritonclient.utils.shared_memory as shm
from clients import wait_for
from harness import PATIENCE_S, Failure, check
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as pb_grpc
from tritonclient.utils import InferenceServerException

X = np.arange(64, dtype=np.float32).reshape(4, 16)


def both(server):
    """The stock clients, with the module that makes their tensors."""
    return ((triton_http, triton_http.InferenceServerClient(f"127.0.0.1:{server.http}")),
            (triton_grpc, triton_grpc.InferenceServerClient(f"127.0.0.1:{server.grpc}")))


def item(module, x, name="x", kind="FP32"):
    tensor = module.InferInput(name, x.shape, kind)
    tensor.set_data_from_numpy(x)
    return tensor


def fails(says, call):
    try:
        call()
    except (InferenceServerException, grpc.RpcError) as error:
        text = error.details() if isinstance(error, grpc.RpcError) else str(error)
        check(says in text, text, "wants", says)
        return error
    raise Failure("not refused:", says)


@contextlib.contextmanager
def region(size, name="r", key=None):
    """A shared memory object of this process: its key and its handle."""
    key = key or f"dyno-test-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    handle = shm.create_shared_memory_region(name, key, size)
    try:
        yield key, handle
    finally:
        shm.destroy_shared_memory_region(handle)


def lent(module, name, size, shape, offset=0, as_name="x", kind="FP32"):
    tensor = module.InferInput(as_name, shape, kind)
    tensor.set_shared_memory(name, size, offset)
    return tensor


def into(module, name, size, offset=0, as_name="y"):
    output = module.InferRequestedOutput(as_name)
    output.set_shared_memory(name, size, offset)
    return output


# --- shared memory ---

def case_shared_memory(t):
    """Inputs from regions, outputs to regions, both, neither; regions and raw data mixed."""
    server = t.start("--allow-client-shm", models=("identity", "add_sub"))
    check("system_shared_memory" in server.json("GET", "/v2")["extensions"])
    for module, client in both(server):
        with region(4096) as (key, handle):
            check(not client.get_system_shared_memory_status() or
                  not client.get_system_shared_memory_status().regions)
            client.register_system_shared_memory("r", key, 4096)
            shm.set_shared_memory_region(handle, [X], offset=8)
            got = client.infer("identity", [lent(module, "r", 256, X.shape, 8)])
            check(np.array_equal(got.as_numpy("y"), X), "from a region")
            got = client.infer("identity", [item(module, X + 1)],
                               outputs=[into(module, "r", 300, 1024)])
            told = got.get_output("y")
            shape = told["shape"] if isinstance(told, dict) else list(told.shape)
            check(shape == [4, 16] and "data" not in (told if isinstance(told, dict) else {}), told)
            check(np.array_equal(shm.get_contents_as_numpy(handle, np.float32, [4, 16], 1024), X + 1))
            # In place: from a range of it to the same range.
            client.infer("identity", [lent(module, "r", 256, X.shape, 8)],
                         outputs=[into(module, "r", 256, 8)])
            check(np.array_equal(shm.get_contents_as_numpy(handle, np.float32, [4, 16], 8), X))
            a = np.arange(16, dtype=np.int32).reshape(1, 16)
            shm.set_shared_memory_region(handle, [a], offset=2048)
            got = client.infer(
                "add_sub", [lent(module, "r", 64, a.shape, 2048, "INPUT0", "INT32"),
                            item(module, a + 1, "INPUT1", "INT32")],
                outputs=[into(module, "r", 64, 3000, "OUTPUT0"),
                         module.InferRequestedOutput("OUTPUT1")])
            check(np.array_equal(got.as_numpy("OUTPUT1"), a - (a + 1)), got.get_response())
            check(np.array_equal(shm.get_contents_as_numpy(handle, np.int32, [1, 16], 3000), 2 * a + 1))
            status = client.get_system_shared_memory_status("r")
            one = status[0] if isinstance(status, list) else status.regions["r"]
            name, size = ((one["key"], one["byte_size"]) if isinstance(one, dict)
                          else (one.key, one.byte_size))
            check(name == key and size == 4096, status)
            client.unregister_system_shared_memory("r")
            fails("no shared memory region 'r'",
                  lambda: client.infer("identity", [lent(module, "r", 256, X.shape)]))
        client.close()
    server.wait_quiet()


def case_shared_memory_asyncio(t):
    server = t.start("--allow-client-shm")

    async def use(module, client):
        with region(1024) as (key, handle):
            await client.register_system_shared_memory("a", key, 512, offset=512)
            shm.set_shared_memory_region(handle, [X], offset=512)
            got = await client.infer("identity", [lent(module, "a", 256, X.shape)],
                                     outputs=[into(module, "a", 256, 256)])
            check(got.get_response() is not None)
            check(np.array_equal(shm.get_contents_as_numpy(handle, np.float32, [4, 16], 768), X))
            await client.unregister_system_shared_memory()
        await client.close()

    async def main():
        await use(triton_http, triton_http_aio.InferenceServerClient(f"127.0.0.1:{server.http}"))
        await use(triton_grpc, triton_grpc_aio.InferenceServerClient(f"127.0.0.1:{server.grpc}"))
    asyncio.run(main())


def case_shared_memory_refusals(t):
    server = t.start("--allow-client-shm", models=("identity",))
    base = "/v2/systemsharedmemory"
    with region(4096) as (key, _):
        def register(name, status, says, **body):
            server.error("POST", f"{base}/region/{name}/register", status, says, json.dumps(body))
        register("r", 400, "wants a key", byte_size=1)
        register("r", 400, "wants a key", key=key)
        register("r", 400, "wants a key", key=1, byte_size=1)
        register("r", 400, "byte_size must be a whole number", key=key, byte_size=-1)
        register("r", 400, "offset must be a whole number", key=key, byte_size=1, offset="0")
        for bad in ("../" + key, "/a/b", "..", "/", "", "//x", "sem.x", "a\u0000b",
                    "triton_python_backend_shm_region_7"):
            register("r", 400, "a key is one name|of a kind|wants a key", key=bad, byte_size=1)
        register("r", 400, "its key cannot be opened", key="no-such-" + key, byte_size=1)
        register("r", 400, "not in the object", key=key, byte_size=4097)
        register("r", 400, "not in the object", key=key, byte_size=1, offset=4096)
        register("r", 400, "not in the object", key=key, byte_size=2, offset=2**63 - 1)
        register("r", 400, "not in the object", key=key, byte_size=0)
        register("%0A", 400, "without control characters", key=key, byte_size=1)
        register("%FF", 400, "of UTF-8", key=key, byte_size=1)
        server.error("POST", f"{base}/register", 400, "the name of a shared memory region",
                     json.dumps({"key": key, "byte_size": 1}))
        server.error("GET", f"{base}/region/q/status", 404, "no shared memory region 'q'")
        server.json("POST", f"{base}/region/r/register", {"key": "/" + key, "byte_size": 4096})
        register("r", 400, "registered already", key=key, byte_size=1)
        channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc}")
        stub = pb_grpc.GRPCInferenceServiceStub(channel)
        error = fails("registered already", lambda: stub.SystemSharedMemoryRegister(
            pb.SystemSharedMemoryRegisterRequest(name="r", key=key, byte_size=1)))
        check(error.code() == grpc.StatusCode.ALREADY_EXISTS, error)
        error = fails("no shared memory region", lambda: stub.SystemSharedMemoryStatus(
            pb.SystemSharedMemoryStatusRequest(name="q")))
        check(error.code() == grpc.StatusCode.NOT_FOUND, error)
        for offset, size in ((2**64 - 1, 2), (0, 2**64 - 1), (2**63, 2**63)):
            fails("not in the object", lambda o=offset, s=size: stub.SystemSharedMemoryRegister(
                pb.SystemSharedMemoryRegisterRequest(name="s", key=key, offset=o, byte_size=s)))

        def infer(says, *, status=400, outputs=None, **params):
            body = {"inputs": [{"name": "x", "shape": [4, 16], "datatype": "FP32",
                                "parameters": params}]}
            if outputs is not None:
                body = {"inputs": [{"name": "x", "shape": [4, 16], "datatype": "FP32",
                                    "data": X.reshape(-1).tolist()}],
                        "outputs": [{"name": "y", "parameters": outputs}]}
            server.error("POST", "/v2/models/identity/infer", status, says, json.dumps(body))
        whole = {"shared_memory_region": "r", "shared_memory_byte_size": 256}
        infer("wants a shared_memory_region", shared_memory_byte_size=256,
              binary_data_size=0)
        infer("wants a shared_memory_region", shared_memory_region="r")
        infer("wants a shared_memory_region", **{**whole, "shared_memory_offset": -1})
        infer("wants a shared_memory_region", **{**whole, "shared_memory_region": 1})
        infer("no shared memory region 'q'", status=404, **{**whole, "shared_memory_region": "q"})
        infer("255 bytes of data", **{**whole, "shared_memory_byte_size": 255})
        infer("not in shared memory region", **{**whole, "shared_memory_offset": 3841})
        infer("not in shared memory region", **{**whole, "shared_memory_offset": 2**64 - 1})
        infer("one of them", binary_data_size=0, **whole)
        infer("its shared_memory_byte_size is 255", outputs={**whole, "shared_memory_byte_size": 255})
        infer("not in shared memory region", outputs={**whole, "shared_memory_byte_size": 4097})
        infer("neither classification", outputs={**whole, "classification": 1})
        infer("neither classification", outputs={**whole, "binary_data": True})
        infer("no shared memory region", status=404, outputs={**whole, "shared_memory_region": "q"})
        server.json("POST", "/v2/models/identity/infer", {
            "inputs": [{"name": "x", "shape": [1, 16], "datatype": "FP32", "data": [0] * 16}],
            "outputs": [{"name": "y", "parameters": {**whole, "binary_data": False}}]})
        request = pb.ModelInferRequest(model_name="identity")
        tensor = request.inputs.add(name="x", datatype="FP32", shape=[4, 16])
        tensor.parameters["shared_memory_region"].string_param = "r"
        tensor.parameters["shared_memory_byte_size"].int64_param = 256
        tensor.contents.fp32_contents.append(0)
        fails("beside shared_memory_region", lambda: stub.ModelInfer(request))
        channel.close()
    server.alive()
    server.wait_quiet()


def case_shared_memory_off(t):
    """Without the flag nothing can be lent, and nothing is told of what there is."""
    server = t.start()
    check("system_shared_memory" not in server.json("GET", "/v2")["extensions"])
    base = "/v2/systemsharedmemory"
    check(server.json("GET", f"{base}/status") == [])
    with region(256) as (key, _):
        server.error("POST", f"{base}/region/r/register", 501, "--allow-client-shm",
                     json.dumps({"key": key, "byte_size": 256}))
        server.error("POST", f"{base}/region/r/unregister", 501, "--allow-client-shm")
        server.error("POST", f"{base}/unregister", 501, "--allow-client-shm")
        server.error("GET", f"{base}/region/r/status", 404, "no shared memory region")
        client = triton_grpc.InferenceServerClient(f"127.0.0.1:{server.grpc}")
        error = fails("--allow-client-shm",
                      lambda: client.register_system_shared_memory("r", key, 256))
        check("UNIMPLEMENTED" in str(error.status()), error.status())
        error = fails("--allow-client-shm", lambda: client.infer(
            "identity", [lent(triton_grpc, "r", 256, X.shape)]))
        check("UNIMPLEMENTED" in str(error.status()), error.status())
        check(not client.get_system_shared_memory_status().regions)
        client.close()


def case_cuda_shared_memory(t):
    """There is no GPU: the list is empty, and registering says so."""
    server = t.start("--allow-client-shm")
    check("cuda_shared_memory" not in server.json("GET", "/v2")["extensions"])
    for _, client in both(server):
        told = client.get_cuda_shared_memory_status()
        check(not told if isinstance(told, list) else not told.regions, told)
        fails("memory of GPUs", lambda: client.register_cuda_shared_memory("c", b"\0" * 64, 0, 16))
        client.unregister_cuda_shared_memory()
        client.close()
    server.error("POST", "/v2/cudasharedmemory/region/c/register", 501, "memory of GPUs", b"{}")
    server.error("GET", "/v2/cudasharedmemory/region/c/status", 404, "no shared memory region")


def case_object_shortened(t):
    """A client that cuts its object under the server gets a sentence; the server goes on."""
    server = t.start("--allow-client-shm")
    size = 64 * 16 * 4
    for module, client in both(server):
        with region(size) as (key, handle):
            client.register_system_shared_memory("r", key, size)
            x = np.random.rand(64, 16).astype(np.float32)
            shm.set_shared_memory_region(handle, [x])
            fd = os.open(f"/dev/shm/{key}", os.O_RDWR)
            os.ftruncate(fd, 100)
            fails("not as large any more",
                  lambda: client.infer("identity", [lent(module, "r", size, x.shape)]))
            fails("not as large any more",
                  lambda: client.infer("identity", [item(module, x)], outputs=[into(module, "r", size)]))
            check(os.fstat(fd).st_size == 100, "the server made the object longer")
            # While the server uses it, too.
            stop = threading.Event()

            def cut():
                while not stop.is_set():
                    os.ftruncate(fd, 0)
                    os.ftruncate(fd, size)
            thread = threading.Thread(target=cut)
            thread.start()
            for _ in range(100):
                with contextlib.suppress(InferenceServerException):
                    client.infer("identity", [lent(module, "r", size, x.shape)],
                                 outputs=[into(module, "r", size)])
            stop.set()
            thread.join()
            os.ftruncate(fd, size)
            os.close(fd)
            client.unregister_system_shared_memory()
        client.close()
    server.alive()
    server.wait_quiet()


def case_unregister_in_use(t):
    """A region that a running request holds stays until its answer, whoever unregisters it."""
    server = t.start("--allow-client-shm", "--instances=1", models=("slow",))
    x = np.abs(np.random.rand(512, 256)).astype(np.float32)
    client = triton_http.InferenceServerClient(f"127.0.0.1:{server.http}", concurrency=4,
                                               network_timeout=PATIENCE_S)
    with region(2 * x.nbytes) as (key, handle):
        shm.set_shared_memory_region(handle, [x])
        client.register_system_shared_memory("r", key, 2 * x.nbytes)
        running = [client.async_infer("slow", [lent(triton_http, "r", x.nbytes, x.shape)],
                                      outputs=[into(triton_http, "r", x.nbytes, x.nbytes)])
                   for _ in range(2)]
        wait_for(lambda: server.metric("nv_inference_pending_request_count") +
                 server.metric("nv_inference_request_success") >= 2)  # both were taken in
        client.unregister_system_shared_memory("r")
        check(client.get_system_shared_memory_status() == [])
        for future in running:
            future.get_result()
        got = shm.get_contents_as_numpy(handle, np.float32, x.shape, x.nbytes)
        check(np.array_equal(got, x), "the answer")
    client.close()


# --- classification ---

def case_classification(t):
    """The largest elements, as text, over both protocols, in JSON and in binary."""
    t.put("named", "identity")
    t.configure("named", {"labels": {"y": "names.txt"}})
    (t.repository / "named" / "names.txt").write_text("zero\none\n\nthree\r\n")
    server = t.start(models=("identity", "soft"))
    x = np.zeros((2, 16), np.float32)
    x[0, 3], x[0, 1], x[1, 2], x[1, 15] = 2.5, 1, 1e9, -1
    want = [[b"2.500000:3", b"1.000000:1", b"0.000000:0"],
            [b"1000000000.000000:2", b"0.000000:0", b"0.000000:1"]]
    named = [[b"2.500000:3:three", b"1.000000:1:one", b"0.000000:0:zero"],
             [b"1000000000.000000:2", b"0.000000:0:zero", b"0.000000:1:one"]]
    for module, client in both(server):
        extra = ({"binary_data": True}, {"binary_data": False}) if module is triton_http else ({},)
        for more in extra:
            for model, values in (("identity", want), ("named", named)):
                got = client.infer(model, [item(module, x)], outputs=[
                    module.InferRequestedOutput("y", class_count=3, **more)]).as_numpy("y")
                texts = [[v if isinstance(v, bytes) else v.encode() for v in row] for row in got]
                check(texts == values, got)
            many = client.infer("identity", [item(module, x)], outputs=[
                module.InferRequestedOutput("y", class_count=1000, **more)])
            check(many.as_numpy("y").shape == (2, 16), many.get_response())
            # Rows of this one see each other, so they are one set of classes.
            flat = client.infer("soft", [item(module, x)], outputs=[
                module.InferRequestedOutput("y", class_count=2, **more)])
            check(flat.as_numpy("y").shape == (2,), flat.get_response())
        client.close()
    config = server.json("GET", "/v2/models/named/config")
    check(config["output"][0]["label_filename"] == "names.txt", config)
    server.wait_quiet()


def case_classification_refusals(t):
    t.put("lost", "identity")
    t.configure("lost", {"labels": {"y": "none.txt"}})
    t.put("other", "identity")
    t.configure("other", {"labels": {"z": "config.json"}})
    server = t.start(models=("identity", "same_bool", "same_i8"))
    server.expected = ["labels 'none.txt'", "labels: there is no output 'z'"]
    index = {m["name"]: m for m in server.json("POST", "/v2/repository/index")}
    check(index["lost"]["state"] == "UNAVAILABLE" and "none.txt" in index["lost"]["reason"], index)

    def ask(model, kind, data, count, shape=None):
        return {"inputs": [{"name": "x", "shape": shape or [len(data)], "datatype": kind,
                            "data": data}],
                "outputs": [{"name": "y", "parameters": {"classification": count}}]}, model

    def bad(says, body, model, status=400):
        server.error("POST", f"/v2/models/{model}/infer", status, says, json.dumps(body))
    bad("BOOL, which has no classification", *ask("same_bool", "BOOL", [True], 1))
    for count in (-1, 2**31, 2**64 - 1, 1.5, "1", True):
        bad("classification a whole number", *ask("same_i8", "INT8", [1], count))
    # 0 asks for the tensor itself.
    body, model = ask("same_i8", "INT8", [3, -4], 0)
    got = server.json("POST", f"/v2/models/{model}/infer", body)
    check(got["outputs"][0]["data"] == [3, -4], got)
    # A batch of scalars: a row is one element.
    body, model = ask("same_i8", "INT8", [3, -4], 2)
    got = server.json("POST", f"/v2/models/{model}/infer", body)
    check(got["outputs"][0]["shape"] in ([2, 1], [2]), got)
    data = [float("1e38")] + [0.0] * 15
    body, model = ask("identity", "FP32", data, 1, [1, 16])
    got = server.json("POST", f"/v2/models/{model}/infer", body)
    check(got["outputs"][0]["data"] == [f"{np.float32(1e38):f}:0"], got)


# --- parameters ---

def case_parameters(t):
    """Every kind over both protocols; unknown ones are ignored, reserved ones are judged."""
    server = t.start(models=("identity",))
    good = {"name": "x", "shape": [1, 16], "datatype": "FP32", "data": [0] * 16}
    channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc}")
    stub = pb_grpc.GRPCInferenceServiceStub(channel)

    def over_http(**params):
        return server.json("POST", "/v2/models/identity/infer",
                           {"inputs": [good], "parameters": params})

    def over_grpc(**params):
        request = pb.ModelInferRequest(model_name="identity", raw_input_contents=[b"\0" * 64])
        request.inputs.add(name="x", datatype="FP32", shape=[1, 16])
        for name, (kind, value) in params.items():
            if kind is None:
                request.parameters[name].SetInParent()
            else:
                setattr(request.parameters[name], kind, value)
        return stub.ModelInfer(request)
    over_http(text="a", number=-1, wide=2**64 - 1, half=0.5, yes=True, no=False, headers="x")
    over_grpc(text=("string_param", "a"), number=("int64_param", -1), half=("double_param", 0.5),
              wide=("uint64_param", 2**64 - 1), yes=("bool_param", True))
    over_http(priority=2**64 - 1, timeout=10**8, sequence_id=0, sequence_start=False,
              sequence_end=False)
    for kind in ("int64_param", "uint64_param"):
        over_grpc(priority=(kind, 1), timeout=(kind, 10**8), sequence_id=(kind, 0))
    over_grpc(triton_enable_empty_final_response=("bool_param", True))

    def bad(says, name, value, kind):
        server.error("POST", "/v2/models/identity/infer", 400, says,
                     json.dumps({"inputs": [good], "parameters": {name: value}}))
        if kind is not False:
            error = fails(says, lambda: over_grpc(**{name: (kind, value)}))
            check(error.code() == grpc.StatusCode.INVALID_ARGUMENT, error)
    for name in ("priority", "timeout"):
        bad("whole number", name, -1, "int64_param")
        bad("whole number", name, 1.0, "double_param")
        bad("whole number", name, True, "bool_param")
        bad("whole number", name, "1", "string_param")
        bad("whole number", name, 2**64, False)
    for name, value, kind in (("sequence_id", 7, "int64_param"), ("sequence_id", "s", "string_param"),
                              ("sequence_start", True, "bool_param"),
                              ("sequence_end", True, "bool_param")):
        bad("no model here keeps a state", name, value, kind)
    bad("begin with triton_ are reserved", "triton_mine", 1, "int64_param")
    bad("begin with triton_ are reserved", "triton_enable_empty_final_response", True, False)
    fails("must be a boolean",
          lambda: over_grpc(triton_enable_empty_final_response=("int64_param", 1)))
    fails("'p' has no value", lambda: over_grpc(p=(None, None)))
    bad("must be a string, a number or a boolean", "p", None, False)
    bad("must be a string, a number or a boolean", "p", [1], False)
    many = {f"p{i}": i for i in range(65)}
    server.error("POST", "/v2/models/identity/infer", 400, "more than 64 parameters",
                 json.dumps({"inputs": [good], "parameters": many}))
    fails("more than 64 parameters",
          lambda: over_grpc(**{k: ("int64_param", v) for k, v in many.items()}))
    body = '{"parameters":{"a":1,"a":2},"inputs":[%s]}' % json.dumps(good)
    server.error("POST", "/v2/models/identity/infer", 400, "appears twice", body)
    channel.close()


def case_timeout_is_honoured(t):
    """A request that waits longer than its timeout is not run."""
    server = t.start("--instances=1", models=("slow",))
    x = np.random.rand(512, 256).astype(np.float32)
    client = triton_http.InferenceServerClient(f"127.0.0.1:{server.http}", concurrency=8,
                                               network_timeout=PATIENCE_S)
    first = [client.async_infer("slow", [item(triton_http, x)]) for _ in range(4)]
    late = [client.async_infer("slow", [item(triton_http, x)], timeout=1) for _ in range(4)]
    for future in first:
        future.get_result()
    refused = 0
    for future in late:
        with contextlib.suppress(InferenceServerException):
            future.get_result()
            continue
        refused += 1
    check(refused >= 3, refused)
    client.close()


def case_ids_names_and_counts(t):
    """Ids come back; names that appear twice, and too many of anything, are refused."""
    server = t.start(models=("add_sub",))
    url = "/v2/models/add_sub/infer"

    def tensor(name, rows=1):
        return {"name": name, "shape": [rows, 16], "datatype": "INT32", "data": [1] * 16 * rows}
    pair = [tensor("INPUT0"), tensor("INPUT1")]
    for name in ("a", "\u00e4\n\"\\", "x" * 8192):
        got = server.json("POST", url, {"id": name, "inputs": pair})
        check(got["id"] == name, got["id"][:50])
    check("id" not in server.json("POST", url, {"id": "", "inputs": pair}))

    def bad(says, body):
        server.error("POST", url, 400, says, json.dumps(body))
    bad("more than 8192 bytes", {"id": "x" * 8193, "inputs": pair})
    bad("a string expected", {"id": 7, "inputs": pair})
    bad("unexpected inference input 'INPUT0'", {"inputs": [pair[0], pair[0]]})
    bad("'OUTPUT0' is asked for twice", {"inputs": pair, "outputs": [{"name": "OUTPUT0"}] * 2})
    bad("more than 256 tensors", {"inputs": pair * 200})
    bad("more than 256 tensors", {"inputs": pair, "outputs": [{"name": "OUTPUT0"}] * 257})
    bad("dimension 0 is 0", {"inputs": [tensor("INPUT0", 0), tensor("INPUT1", 0)]})
    bad("dimension 0 is 2, but 1", {"inputs": [tensor("INPUT0"), tensor("INPUT1", 2)]})
    bad("whole number", {"inputs": [{**pair[0], "shape": [1, 2**63]}, pair[1]]})
    bad("too many elements", {"inputs": [{**pair[0], "shape": [2**62, 2**62]}, pair[1]]})
    bad("wants a name", {"inputs": pair, "outputs": [{}]})
    channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc}")
    stub = pb_grpc.GRPCInferenceServiceStub(channel)
    request = pb.ModelInferRequest(model_name="add_sub", id="\u00e4" * 4096,
                                   raw_input_contents=[b"\0" * 64] * 2)
    for name in ("INPUT0", "INPUT1"):
        request.inputs.add(name=name, datatype="INT32", shape=[1, 16])
    check(stub.ModelInfer(request).id == "\u00e4" * 4096)
    request.outputs.add(name="OUTPUT1")
    request.outputs.add(name="OUTPUT1")
    fails("'OUTPUT1' is asked for twice", lambda: stub.ModelInfer(request))
    del request.outputs[:]
    request.id = "x" * 8193
    fails("more than 8192 bytes", lambda: stub.ModelInfer(request))
    request.id = ""
    for shape in ((2**62, 2**62), (-1, 16), (0, 16), (-2**63, -2**63)):
        request.inputs[0].shape[:] = shape
        fails("INPUT0", lambda: stub.ModelInfer(request))
    for count in (257, 5000):
        del request.inputs[:]
        for i in range(count):
            request.inputs.add(name=str(i), datatype="INT32", shape=[1, 16])
        fails("more than 256 tensors", lambda: stub.ModelInfer(request))
    call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    fails("not UTF-8", lambda: call(b"\x0a\x02\xff\xfe"))
    channel.close()
    server.wait_quiet()
