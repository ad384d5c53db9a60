"""gRPC beside inferences: health that is watched, compression, streams."""
import queue
import socket
import struct
import threading
import time
import zlib

import grpc
import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from harness import PATIENCE_S, Failure, check
from test_hostile import PREFACE, frame, literal
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as pb_grpc


def item(x, name="x", kind="FP32"):
    tensor = triton.InferInput(name, x.shape, kind)
    tensor.set_data_from_numpy(x)
    return tensor


def channel_to(server, **options):
    return grpc.insecure_channel(f"127.0.0.1:{server.grpc}", options=list(options.items()))


def text_field(number, text):
    """A short string field of protobuf."""
    return bytes([number << 3 | 2, len(text)]) + text


# --- health ---

def case_health_watch(t):
    """Watch tells the state, each change of it, and the end."""
    t.put("slow", "slow")
    server = t.start("--drain-secs=1", models=("identity",), ready=False)
    channel = channel_to(server)
    watch = channel.unary_stream("/grpc.health.v1.Health/Watch")
    calls = [watch(b""), watch(text_field(1, b"inference.GRPCInferenceService")),
             watch(text_field(1, b"grpc.reflection.v1.ServerReflection"))]
    unknown = watch(text_field(1, b"nobody"))
    check(next(unknown) == b"\x08\x03", "SERVICE_UNKNOWN")
    for call in calls:
        states = [next(call)]
        while states[-1] != b"\x08\x01":  # loading may have ended before the first answer
            states.append(next(call))
        check(states in ([b"\x08\x01"], [b"\x08\x02", b"\x08\x01"]), states)
    check(channel.unary_unary("/grpc.health.v1.Health/Check")(b"") == b"\x08\x01")
    cancelled = watch(b"")
    check(next(cancelled) == b"\x08\x01")
    cancelled.cancel()
    late = watch(b"", timeout=0.5)
    check(next(late) == b"\x08\x01")
    try:
        next(late)
        raise Failure("a change without a change")
    except grpc.RpcError as error:
        check(error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error)
    server.tell_to_end()
    for call in calls:
        check(next(call) == b"\x08\x02", "NOT_SERVING while it drains")
    for call in (*calls, unknown):
        try:
            next(call)
            raise Failure("the stream goes on")
        except grpc.RpcError as error:
            check(error.code() == grpc.StatusCode.UNAVAILABLE, error)
    channel.close()
    server = t.start("--drain-secs=0")
    channel = channel_to(server)
    call = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
    check(next(call) == b"\x08\x01")
    server.tell_to_end()
    check(next(call) == b"\x08\x02", "NOT_SERVING before the end")
    channel.close()


def case_health_many_watchers(t):
    """Watchers come and go, on several threads of the server, and leave nothing."""
    server = t.start("--io-threads=2")
    for _ in range(3):
        channels = [channel_to(server, **{"grpc.use_local_subchannel_pool": 1}) for _ in range(8)]
        calls = [c.unary_stream("/grpc.health.v1.Health/Watch")(b"") for c in channels
                 for _ in range(20)]
        for call in calls:
            check(next(call) == b"\x08\x01")
        for call in calls[::2]:
            call.cancel()
        for channel in channels:
            channel.close()
    server.alive()
    server.wait_quiet()


def case_health_too_many_watchers(t):
    """Watching asks nobody who he is, so there is an end to it; who leaves makes room."""
    server = t.start("--io-threads=1")
    channels = [channel_to(server, **{"grpc.use_local_subchannel_pool": 1}) for _ in range(17)]
    calls = []

    def watch(channel):
        calls.append(channel.unary_stream("/grpc.health.v1.Health/Watch")(b""))
    for channel in channels[:16]:
        for _ in range(256):
            watch(channel)
    for call in calls:
        check(next(call) == b"\x08\x01")
    try:
        watch(channels[16])
        list(calls[-1])
        raise Failure("one more")
    except grpc.RpcError as error:
        check(error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, error)
    check(server.json("GET", "/v2/health/ready")["ready"])
    channels[0].close()
    end = time.monotonic() + PATIENCE_S
    while True:
        watch(channels[16])
        try:
            check(next(calls[-1]) == b"\x08\x01")
            break
        except grpc.RpcError:
            check(time.monotonic() < end, "nobody made room")
            time.sleep(0.05)
    for channel in channels[1:]:
        channel.close()
    server.alive()


# --- clients that do not read ---


def streaming(path):
    """The head of a streaming call on stream 1, from a client whose window is nothing: what the
    server answers stays there."""
    head = b"".join(literal(n, v) for n, v in (
        (b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", path),
        (b"content-type", b"application/grpc"), (b"te", b"trailers")))
    return PREFACE + frame(4, 0, 0, b"\0\x04\0\0\0\0") + frame(4, 1, 0) + frame(1, 4, 1, head)


class Slow:
    """A client that reads no more than it must to know how much it may send."""

    def __init__(self, sock):
        self.sock, self.rooms, self.got_bytes = sock, {0: 65535, 1: 65535}, 0

    def take(self, count):
        got = b""
        while len(got) < count:
            more = self.sock.recv(count - len(got))
            check(more, "the server has had enough")
            got += more
        return got

    def read(self):
        head = self.take(9)
        text = self.take(int.from_bytes(head[:3], "big"))
        check(head[3] in (0, 1, 4, 6, 8), "the server has had enough", head)
        if head[3] == 0:
            self.got_bytes += len(text)
        if head[3] == 8:
            self.rooms[struct.unpack(">I", head[5:])[0]] += struct.unpack(">I", text)[0]
        for at in range(0, len(text) if head[3] == 4 else 0, 6):
            kind, value = struct.unpack(">HI", text[at:at + 6])
            self.rooms[1] += value - 65535 if kind == 4 else 0

    def send(self, data):
        while data:
            room = min(*self.rooms.values(), 16384, len(data))
            if room == 0:
                self.read()
                continue
            self.sock.sendall(frame(0, 0, 1, data[:room]))
            data = data[room:]
            self.rooms = {stream: was - room for stream, was in self.rooms.items()}


def case_stream_unread(t):
    """Who does not read what a stream of inferences answers may send no more until he does."""
    server = t.start(models=("wide",))
    x = np.zeros((1, 16384), np.float32)
    one = pb.ModelInferRequest(model_name="wide", raw_input_contents=[x.tobytes()])
    one.inputs.add(name="x", datatype="FP32", shape=x.shape)
    one = one.SerializeToString()
    message, count = b"\0" + struct.pack(">I", len(one)) + one, 0
    with socket.create_connection(("127.0.0.1", server.grpc), timeout=2) as sock:
        sock.sendall(streaming(b"/inference.GRPCInferenceService/ModelStreamInfer"))
        client = Slow(sock)
        try:
            while count < 1000:
                client.send(message)
                count += 1
            raise Failure("nothing held it up")
        except TimeoutError:
            check(50 < count < 400, "messages of 64 KiB", count)
        sock.settimeout(20)
        sock.sendall(frame(8, 0, 0, struct.pack(">I", 1 << 30)) +
                     frame(8, 0, 1, struct.pack(">I", 1 << 30)))
        while client.got_bytes < count * x.nbytes or not all(client.rooms.values()):
            client.read()
    server.wait_quiet()


# --- compression ---

def raw_call(server, path, message, headers, flag=0):
    """One unary call by hand: the names of headers (never packed by HPACK here) and the messages."""
    fields = ((b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a"),
              (b":path", path), (b"content-type", b"application/grpc"), (b"te", b"trailers"),
              *headers)
    head = b"".join(literal(n, v) for n, v in fields)
    body = bytes([flag]) + struct.pack(">I", len(message)) + message
    frames, text = [], b""
    with socket.create_connection(("127.0.0.1", server.grpc), timeout=PATIENCE_S) as sock:
        pieces = [body[i:i + 16384] for i in range(0, len(body), 16384)]
        sock.sendall(PREFACE + frame(4, 0, 0) + frame(1, 4, 1, head) +
                     b"".join(frame(0, p is pieces[-1], 1, p) for p in pieces))
        while not any(f[0] == 1 and f[1] & 1 for f in frames):
            chunk = sock.recv(65536)
            check(chunk, "the connection ended")
            text += chunk
            while len(text) >= 9 and len(text) >= 9 + int.from_bytes(text[:3], "big"):
                size = int.from_bytes(text[:3], "big")
                frames.append((text[3], text[4], text[9:9 + size]))
                text = text[9 + size:]
    return b"".join(f[2] for f in frames if f[0] == 0)


def case_compressed_answers(t):
    """Answers are packed as requests are, if the client takes that and it pays."""
    server = t.start(models=("wide",))
    x = np.zeros((4, 2048), np.float32)
    made = pb.ModelInferRequest(model_name="wide", raw_input_contents=[x.tobytes()])
    made.inputs.add(name="x", datatype="FP32", shape=x.shape)
    message = made.SerializeToString()
    path = b"/inference.GRPCInferenceService/ModelInfer"
    gzip = zlib.compressobj(wbits=31)
    packed = {b"gzip": gzip.compress(message) + gzip.flush(), b"deflate": zlib.compress(message)}
    for coding, bits in ((b"gzip", 31), (b"deflate", 15)):
        for accepts, is_packed in ((b"identity,deflate,gzip", True), (b"identity, gzip , deflate", True),
                                   (b"identity", False), (b"gzipped,deflated", False)):
            for flag, body in ((1, packed[coding]), (0, message)):
                got = raw_call(server, path, body, ((b"grpc-encoding", coding),
                                                    (b"grpc-accept-encoding", accepts)), flag)
                check(got[0] == is_packed, coding, accepts, got[:5])
                text = zlib.decompress(got[5:], bits) if is_packed else got[5:]
                check(pb.ModelInferResponse.FromString(text).raw_output_contents[0] == x.tobytes())
                check(not is_packed or len(got) < 2000, len(got))
    # Who does not pack gets nothing packed; nor does a small answer, nor one that would grow.
    got = raw_call(server, path, message, ((b"grpc-accept-encoding", b"gzip"),))
    check(got[0] == 0 and len(got) > x.nbytes)
    small = np.zeros((1, 4), np.float32)
    noise = np.frombuffer(np.random.default_rng(1).bytes(16 * 2048), np.float32).reshape(4, 2048)
    for y in (small, noise):
        made = pb.ModelInferRequest(model_name="wide", raw_input_contents=[y.tobytes()])
        made.inputs.add(name="x", datatype="FP32", shape=y.shape)
        got = raw_call(server, path, made.SerializeToString(),
                       ((b"grpc-encoding", b"gzip"), (b"grpc-accept-encoding", b"gzip")))
        check(got[0] == 0 and y.tobytes() in got)
    # The stock client, and both of its ways.
    client = triton.InferenceServerClient(f"127.0.0.1:{server.grpc}")
    for coding in ("gzip", "deflate"):
        x = np.random.rand(8, 50000).astype(np.float32).round(2)
        got = client.infer("wide", [item(x)], compression_algorithm=coding)
        check(np.array_equal(got.as_numpy("y"), x), coding)
        results = queue.Queue()
        client.start_stream(callback=lambda result, error: results.put((result, error)),
                            compression_algorithm=coding)
        for i in range(5):
            client.async_stream_infer("wide", [item(x + i)])
        for i in range(5):
            result, error = results.get(timeout=PATIENCE_S)
            check(error is None and np.array_equal(result.as_numpy("y"), x + i), error)
        client.stop_stream()
    client.close()
    server.wait_quiet()


def case_compression_limits(t):
    """What does not unpack, unpacks to too much, or is of an unknown kind gives everything back."""
    server = t.start("--max-input-size=1", models=("wide",))
    path = b"/inference.GRPCInferenceService/ModelInfer"
    channel = channel_to(server)
    call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    for _ in range(20):
        try:
            call(b"\0" * (8 << 20), compression=grpc.Compression.Gzip)
            raise Failure("taken")
        except grpc.RpcError as error:
            check(error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, error)
    got = raw_call(server, path, b"not gzip", ((b"grpc-encoding", b"gzip"),), 1)
    check(got == b"", got)
    raw_call(server, path, b"x", ((b"grpc-encoding", b"snappy"),), 1)
    channel.close()
    server.alive()
    server.wait_quiet()


# --- streams ---

def case_final_response(t):
    """Each answer in a stream says that it is the last of its request; errors do, too."""
    server = t.start()
    channel = channel_to(server)
    stub = pb_grpc.GRPCInferenceServiceStub(channel)

    def request(name, model="identity", rows=1, **params):
        made = pb.ModelInferRequest(model_name=model, id=name, model_version="1",
                                    raw_input_contents=[b"\0" * 64 * rows])
        made.inputs.add(name="x", datatype="FP32", shape=[rows, 16])
        for key, value in params.items():
            made.parameters[key].bool_param = value
        return made
    requests = [request("a"), request("b", triton_enable_empty_final_response=True),
                request("c", "none"), request("d", rows=65), request("e")]
    got = list(stub.ModelStreamInfer(iter(requests)))
    check([g.infer_response.id for g in got] == list("abcde"), got)
    check([bool(g.error_message) for g in got] == [False, False, True, True, False], got)
    for one in got:
        check(one.infer_response.parameters["triton_final_response"].bool_param is True, one)
        check(one.infer_response.model_version == "1" and one.infer_response.model_name, one)
        check(bool(one.infer_response.outputs) != bool(one.error_message), one)
    check("triton_final_response" not in stub.ModelInfer(requests[0]).parameters)
    # A request that cannot be read has no id to tell.
    call = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer",
                                 response_deserializer=pb.ModelStreamInferResponse.FromString)
    bad = list(call(iter([b"\xff", requests[0].SerializeToString()])))
    check("protobuf" in bad[0].error_message and bad[0].infer_response.id == "", bad)
    check(bad[1].infer_response.id == "a", bad)
    channel.close()


def case_stream_error_mode(t):
    """triton_grpc_error: the first error ends the stream; what else was asked comes to nothing."""
    server = t.start("--instances=1", models=("identity", "slow"))
    channel = channel_to(server)
    stub = pb_grpc.GRPCInferenceServiceStub(channel)
    x = np.zeros((512, 256), np.float32)

    def requests():
        slow = pb.ModelInferRequest(model_name="slow", raw_input_contents=[x.tobytes()])
        slow.inputs.add(name="x", datatype="FP32", shape=x.shape)
        for i in range(6):
            yield pb.ModelInferRequest(model_name="none", id="bad") if i == 1 else slow
    for _ in range(5):
        got = []
        try:
            for one in stub.ModelStreamInfer(requests(), metadata=(("triton_grpc_error", "true"),)):
                got.append(one)
            raise Failure("no error")
        except grpc.RpcError as error:
            check(error.code() == grpc.StatusCode.NOT_FOUND and len(got) == 1, error, len(got))
    # Without it, the same is six answers.
    got = list(stub.ModelStreamInfer(requests()))
    check([bool(g.error_message) for g in got] == [False, True] + [False] * 4, got)
    channel.close()
    server.wait_quiet(20)


def case_streams_cut(t):
    """Streams that end at any moment leave nothing in flight."""
    server = t.start("--instances=1", models=("slow", "identity"))
    x = np.zeros((512, 256), np.float32)
    slow = pb.ModelInferRequest(model_name="slow", raw_input_contents=[x.tobytes()])
    slow.inputs.add(name="x", datatype="FP32", shape=x.shape)
    for mode in ("cancel", "close", "deadline"):
        for reads in (0, 1):
            channel = channel_to(server, **{"grpc.use_local_subchannel_pool": 1})
            stub = pb_grpc.GRPCInferenceServiceStub(channel)
            release = threading.Event()

            def requests():
                for _ in range(8):
                    yield slow
                release.wait(20)
            call = stub.ModelStreamInfer(requests(), timeout=0.3 if mode == "deadline" else None)
            try:
                for _ in range(reads):
                    next(call)
                if mode == "cancel":
                    call.cancel()
                if mode == "deadline":
                    list(call)
            except grpc.RpcError as error:
                check(error.code() in (grpc.StatusCode.DEADLINE_EXCEEDED,
                                       grpc.StatusCode.CANCELLED), error)
            channel.close()
            release.set()
    end = time.monotonic() + PATIENCE_S
    while server.metric("nv_inference_pending_request_count", model="slow") > 0:
        check(time.monotonic() < end, "still pending")
        time.sleep(0.02)
    server.alive()
    server.wait_quiet(20)


def case_asyncio_client(t):
    """The stock client for asyncio: unary calls and a stream."""
    import asyncio
    server = t.start()
    x = np.random.rand(2, 16).astype(np.float32)

    async def main():
        client = triton_aio.InferenceServerClient(f"127.0.0.1:{server.grpc}")
        check(await client.is_server_live() and await client.is_server_ready())
        check(await client.is_model_ready("identity"))
        check((await client.get_server_metadata()).name == "dyno")
        check((await client.get_log_settings()).settings["log_error"].bool_param)
        got = await asyncio.gather(*(client.infer("identity", [item(x + i)], request_id=str(i))
                                     for i in range(50)))
        for i, one in enumerate(got):
            check(np.array_equal(one.as_numpy("y"), x + i) and one.get_response().id == str(i), i)

        async def requests():
            for i in range(20):
                yield {"model_name": "identity", "inputs": [item(x + i)], "request_id": str(i),
                       "enable_empty_final_response": True}
        i = 0
        async for result, error in client.stream_infer(requests()):
            check(error is None and np.array_equal(result.as_numpy("y"), x + i), i, error)
            check(result.get_response().parameters["triton_final_response"].bool_param)
            i += 1
        check(i == 20, i)
        await client.close()
    asyncio.run(main())
