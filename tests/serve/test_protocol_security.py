"""What was found in Triton, tried here; and what its users complained of, where the protocol is meant.

Where the other cases of these CVEs are:
  2024-0087, 2024-0100 (log and trace files anywhere)   protocol_control: logging, trace_settings
  2024-0088 (offset of a region not checked)            protocol_tensors: shared_memory_refusals
  2025-23310, 23311 (a stack that grows with chunks)    hostile: chunks
  2025-23317 (overflow while HTTP is read)              hostile, and the fuzz target serve_http
  2025-23318, 23319, 23329, 23333, 23334                regions of a Python backend, of which there is none; a
                                                        key of that kind is refused: shared_memory_refusals
  2025-23321 (division by zero)                         here: nothing_of_anything; generate_refusals
  2025-23322 (a cancelled stream freed twice)           protocol_grpc: streams_cut, stream_error_mode
  2025-23323, 24, 26, 27; 2026-24173 (sizes overflow)   protocol_tensors: ids_names_and_counts
  2025-23336 (bad models)                               fuzz targets engine and run, which the server reads with
  2026-24146 (a huge number of outputs)                 protocol_tensors: ids_names_and_counts
  2026-24206, 24207 (a path around the keys)            one table of routes, judged in one place: app/http.c
  2026-24208, 24209, 24214, 47487                       SageMaker, MLflow, DALI: there are none
Complaints: a priority that gets lost between models (T#7116) cannot here, no model calls another; loading that
stalls requests (T#8958) is life's; streams that answer late (T#6899) is protocol_grpc's.
"""
import json
import os
import re
import socket
import struct
import urllib.parse

import grpc
import numpy as np
from harness import PATIENCE_S, Failure, check
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as pb_grpc

# Every path that takes JSON, with a request that it takes.
JSON_PATHS = ("/v2/models/identity/infer", "/v2/models/identity/generate",
              "/v2/models/identity/generate_stream", "/v2/logging", "/v2/trace/setting",
              "/v2/systemsharedmemory/region/r/register", "/v2/repository/index",
              "/v2/repository/models/identity/load", "/v2/repository/models/identity/unload")


def stub_of(server):
    channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc}", options=[
        ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)])
    return channel, pb_grpc.GRPCInferenceServiceStub(channel)


def case_names_are_only_names(t):
    """2023-31036, 2025-23316: the name of a model is no path and no command, wherever it stands."""
    server = t.start("--model-control-mode=explicit", "--load-model=identity")
    (t.folder / "outside").mkdir()
    before = {p: p.stat().st_mtime for p in t.folder.rglob("*")}
    names = ["..", "../repository/identity", "../outside", "/etc", "identity/../identity", ".",
             "identity/1", "$(touch x)", "`touch x`", "; touch x", "| touch x", "a\nb", "-rf",
             "identity\0", "\u00e4", "x" * 129, "con:stream", "~", "*"]
    channel, stub = stub_of(server)
    for name in names:
        path = urllib.parse.quote(name, safe="")
        for method, rest in (("POST", "/infer"), ("POST", "/generate"), ("GET", ""),
                             ("GET", "/config"), ("GET", "/stats"), ("GET", "/trace/setting"),
                             ("GET", "/ready")):
            status = server.request(method, f"/v2/models/{path}{rest}", b"{}")[0]
            check(status in (400, 404), name, rest, status)
        for action in ("load", "unload"):
            status, _, text = server.request("POST", f"/v2/repository/models/{path}/{action}")
            check(status in (400, 404), name, action, status, text)
        if "\0" in name:
            continue
        for call in (lambda n=name: stub.RepositoryModelLoad(
                         pb.RepositoryModelLoadRequest(model_name=n)),
                     lambda n=name: stub.RepositoryModelUnload(
                         pb.RepositoryModelUnloadRequest(model_name=n)),
                     lambda n=name: stub.ModelConfig(pb.ModelConfigRequest(name=n)),
                     lambda n=name: stub.ModelInfer(pb.ModelInferRequest(model_name=n)),
                     lambda n=name: stub.ModelMetadata(
                         pb.ModelMetadataRequest(name="identity", version=n))):
            try:
                call()
                raise Failure("taken:", name)
            except grpc.RpcError as error:
                check(error.code() in (grpc.StatusCode.NOT_FOUND,
                                       grpc.StatusCode.INVALID_ARGUMENT), name, error)
    channel.close()
    after = {p: p.stat().st_mtime for p in t.folder.rglob("*")}
    log = t.folder / "log0"
    check({p: m for p, m in after.items() if p != log} ==
          {p: m for p, m in before.items() if p != log}, "a file was made or changed")
    server.alive()


def case_errors_tell_nothing_of_the_machine(t):
    """2025-23320: what is refused, however large, names what the client said and nothing else."""
    server = t.start("--allow-client-shm", "--max-input-size=2", models=("identity", "wide"))
    secrets = re.compile(r"/dev/shm|/tmp|/proc|/work|0x[0-9a-f]{4}|memfd|errno|No such|Permission|"
                         rf"\b{server.worker()}\b|\.c:\d|fp32\.engine")
    texts = []

    def http(method, path, body=None, headers=()):
        status, _, text = server.request(method, path, body, headers)
        check(status >= 400, path, status)
        texts.append(text.decode())
    key = f"dyno-none-{os.getpid()}"
    http("POST", "/v2/systemsharedmemory/region/r/register",
         json.dumps({"key": key, "byte_size": 1}))
    http("POST", "/v2/systemsharedmemory/region/r/register",
         json.dumps({"key": "." * 200, "byte_size": 2**62}))
    for size in (2**20, 2**21 - 500):
        http("POST", "/v2/models/identity/infer", b"[" * size)
        http("POST", "/v2/models/identity/infer", b'{"id":"' + b"x" * size + b'"}')
        http("POST", "/v2/models/identity/generate", b'{"x":"' + b"x" * size + b'"}')
    http("POST", "/v2/models/identity/infer", b"x" * (3 << 20))
    http("POST", "/v2/models/identity/infer", json.dumps({"inputs": [
        {"name": "x", "shape": [1, 16], "datatype": "FP32", "parameters": {
            "shared_memory_region": "triton_python_backend_shm_region_1",
            "shared_memory_byte_size": 64}}]}))
    http("GET", "/v2/models/none")
    http("POST", "/v2/logging", b'{"log_file": "/x"}')
    channel, stub = stub_of(server)
    for request in (pb.ModelInferRequest(model_name="x" * 9000),
                    pb.ModelInferRequest(model_name="identity", raw_input_contents=[b"\0" * 10**6] * 5),
                    pb.ModelInferRequest(model_name="identity", raw_input_contents=[b"\0" * 10**6])):
        try:
            stub.ModelInfer(request)
            raise Failure("taken")
        except grpc.RpcError as error:
            texts.append(error.details())
    channel.close()
    for text in texts:
        check(not secrets.search(text) and len(text) < 1200, text[:300])
    server.alive()
    server.wait_quiet()


def case_deep_json_everywhere(t):
    """JSON in itself without end is refused on each path, and costs no stack."""
    server = t.start("--model-control-mode=explicit", "--load-model=identity", "--allow-client-shm")
    for path in JSON_PATHS:
        for deep in (b"[" * 60000, b'{"a":' * 10000, b'{"inputs":' + b"[" * 60000,
                     b'{"x":' + b"[" * 60000):
            status, _, text = server.request("POST", path, deep)
            check(status == 400 and json.loads(text)["error"], path, status, text[:200])
    server.alive()


def case_large_control_requests(t):
    """2025-33201: what is larger than a request of its kind needs is refused, whatever it is."""
    server = t.start("--model-control-mode=explicit", "--load-model=identity", "--allow-client-shm",
                     "--max-input-size=4")
    for path in JSON_PATHS[3:]:
        body = b'{"a":"' + b"x" * 70000 + b'"}'
        status, _, text = server.request("POST", path, body)
        check(status == 400 and b"more than 65536 bytes" in text, path, status, text[:200])
    for path in JSON_PATHS:
        got = server.raw(b"POST %s HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n" % path.encode())
        check(got.startswith(b"HTTP/1.1 413 "), path, got[:100])
    channel, stub = stub_of(server)
    for call in (stub.LogSettings, stub.TraceSetting, stub.SystemSharedMemoryRegister,
                 stub.RepositoryModelLoad, stub.ModelMetadata):
        path = call._method if hasattr(call, "_method") else None
        path = path.decode() if isinstance(path, bytes) else path
        try:
            channel.unary_unary(path)(b"\x0a\xff\xff\xbf\x02" + b"x" * ((5 << 20) - 1))
            raise Failure("taken:", path)
        except grpc.RpcError as error:
            check(error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, path, error)
    channel.close()
    server.alive()
    server.wait_quiet()


def case_claims_cost_nothing(t):
    """Shapes and counts that nothing stands behind take no memory."""
    server = t.start(models=("wide", "identity"))
    before = server.rss_kib()
    channel, stub = stub_of(server)
    for shape in ((1, 4194304), (16, 4194304), (2**31, 2**31), (2**62, 1), (1, 2**63 - 1)):
        for kind in ("FP32", "BYTES", "UINT8"):
            request = pb.ModelInferRequest(model_name="wide")
            tensor = request.inputs.add(name="x", datatype=kind, shape=shape)
            tensor.contents.SetInParent()
            for data in ({"data": []}, {"data": [1]}, {"parameters": {"binary_data_size": 0}},
                         {"parameters": {"binary_data_size": 2**62}}):
                status, _, text = server.request("POST", "/v2/models/wide/infer", json.dumps({
                    "inputs": [{"name": "x", "shape": shape, "datatype": kind, **data}]}))
                check(status == 400, shape, kind, data, status, text)
            try:
                stub.ModelInfer(request)
                raise Failure("taken:", shape)
            except grpc.RpcError as error:
                check(error.code() == grpc.StatusCode.INVALID_ARGUMENT, error)
    channel.close()
    check(server.rss_kib() < before + (64 << 10), before, server.rss_kib())
    server.wait_quiet()


def case_nothing_of_anything(t):
    """2025-23321: zero elements, zero bytes, zero classes, wherever one may say so."""
    server = t.start("--allow-client-shm", models=("identity", "wide", "nonzero", "same_i8"))
    for shape in ([0], [0, 0], [1, 0], [0, 16], []):
        for model in ("identity", "wide", "same_i8"):
            for data in ({"data": []}, {"parameters": {"binary_data_size": 0}}):
                body = {"inputs": [{"name": "x", "shape": shape, "datatype": "FP32", **data}],
                        "outputs": [{"name": "y", "parameters": {"classification": 1}}]}
                status = server.request("POST", f"/v2/models/{model}/infer", json.dumps(body))[0]
                check(status == 400, shape, model, data, status)
    # An output of nothing is nothing, also as classes.
    for classes in (0, 1, 5):
        got = server.json("POST", "/v2/models/nonzero/infer", {
            "inputs": [{"name": "x", "shape": [8], "datatype": "FP32", "data": [0] * 8}],
            "outputs": [{"name": "y", "parameters": {"classification": classes}}]})
        check(got["outputs"][0]["data"] == [] and 0 in got["outputs"][0]["shape"], got)
    for length in ("0", "00", "1"):
        server.request("POST", "/v2/models/identity/infer", b"",
                       {"Inference-Header-Content-Length": length})
    server.json("POST", "/v2/models/identity/infer", {"inputs": [], "outputs": []}, status=400)
    server.alive()


def case_answers_that_nobody_reads(t):
    """A client that is gone, or deaf, while a large answer comes: no signal, and nothing is kept."""
    server = t.start(models=("wide",))
    x = np.zeros((4, 1 << 20), np.float32)
    head = json.dumps({"inputs": [{"name": "x", "shape": x.shape, "datatype": "FP32",
                                   "parameters": {"binary_data_size": x.nbytes}}],
                       "parameters": {"binary_data_output": True}}).encode()
    whole = b"POST /v2/models/wide/infer HTTP/1.1\r\nInference-Header-Content-Length: %d\r\n" \
            b"Content-Length: %d\r\n\r\n" % (len(head), len(head) + x.nbytes) + head + x.tobytes()
    for linger in (True, False):
        for _ in range(5):
            sock = socket.create_connection(("127.0.0.1", server.http), timeout=PATIENCE_S)
            if linger:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.sendall(whole)
            sock.recv(1000)
            sock.close()
    server.alive()
    server.wait_quiet(20)


def case_duplicate_keys_and_odd_json(t):
    """What JSON parsers disagree about is refused, or read in one way."""
    server = t.start(models=("identity",))
    tensor = '{"name":"x","shape":[1,16],"datatype":"FP32","data":[%s]}' % ",".join(["0"] * 16)

    def bad(says, text):
        body = text if isinstance(text, bytes) else text.encode()
        server.error("POST", "/v2/models/identity/infer", 400, says, body)
    bad("inputs appears twice", '{"inputs":[%s],"inputs":[%s]}' % (tensor, tensor))
    bad("outputs appears twice", '{"inputs":[%s],"outputs":[{"name":"y"}],"outputs":[{"name":"y"}]}'
        % tensor)
    bad("JSON", '{"inputs":[%s],}' % tensor)
    bad("JSON", "{'inputs':[]}")
    bad("JSON", '{"inputs":[%s]} // c' % tensor)
    bad("JSON", '{"inputs":[%s]}{}' % tensor)
    bad("JSON", tensor.replace("[1,16]", "[01,16]"))
    bad("JSON|whole number", '{"inputs":[%s]}' % tensor.replace("[1,16]", "[1,0x10]"))
    bad("whole number", '{"inputs":[%s]}' % tensor.replace("[1,16]", "[1,16.0]"))
    bad("whole number", '{"inputs":[%s]}' % tensor.replace("[1,16]", "[1,1.6e1]"))
    bad("JSON", '{"inputs":[%s]}' % tensor.replace("[0,", "[NaN,"))
    bad("JSON", '{"inputs":[%s]}' % tensor.replace("[0,", "[Infinity,"))
    bad("UTF-8", b'{"id":"\xff","inputs":[]}')
    bad("zero byte", '{"id":"a\\u0000b","inputs":[]}')
    bad("surrogate", '{"id":"\\ud800","inputs":[]}')
    bad("JSON", "\ufeff{}")
    check(server.json("POST", "/v2/models/identity/infer", json.loads('{"inputs":[%s]}' % tensor)))
