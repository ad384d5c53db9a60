"""HTTP: routes, shapes of answers, JSON and binary tensors, the stock client, curl."""
import json
import shutil
import struct
import subprocess

import numpy as np
import tritonclient.http as triton
from harness import PATIENCE_S, Failure, check

JSON_TYPES = {"u8": "UINT8", "i8": "INT8", "u16": "UINT16", "i16": "INT16", "u32": "UINT32",
              "i32": "INT32", "u64": "UINT64", "i64": "INT64", "f64": "FP64", "bool": "BOOL"}


def binary(inputs, tail, **rest):
    """A body with raw tensors behind its JSON, and its headers."""
    head = json.dumps({"inputs": inputs, **rest}).encode()
    return head + tail, {"Inference-Header-Content-Length": str(len(head))}


def tensor(data, name="x", kind="FP32"):
    array = np.asarray(data)
    return {"name": name, "shape": list(array.shape), "datatype": kind,
            "data": array.reshape(-1).tolist()}


def case_health_and_metadata(t):
    server = t.start()
    # The status is what Triton's clients look at; the body is what OIP's are told.
    check(server.json("GET", "/v2/health/live") == {"live": True})
    check(server.json("GET", "/v2/health/ready") == {"ready": True})
    for model, version, status in (("identity", "", 200), ("identity", "/versions/1", 200),
                                   ("none", "", 400), ("identity", "/versions/2", 400)):
        told = server.json("GET", f"/v2/models/{model}{version}/ready", status=status)
        check(told == {"name": model, "ready": status == 200}, told)
    for path in ("/v2/health/live", "/v2/models/identity/ready"):
        check(server.request("HEAD", path)[::2] == (200, b""), path)
    told = server.json("GET", "/v2")
    check(told["name"] == "dyno" and told["version"] and "binary_tensor_data" in told["extensions"])
    want = {"name": "identity", "versions": ["1"], "platform": "dyno_engine",
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 16]}],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 16]}]}
    check(server.json("GET", "/v2/models/identity") == want)
    check(server.json("GET", "/v2/models/identity/versions/1") == want)
    check(server.json("GET", "/v2/models") == {"models": ["identity"]})
    config = server.json("GET", "/v2/models/identity/config")
    check(config["input"][0]["data_type"] == "TYPE_FP32", config)
    check(config["model_transaction_policy"] == {"decoupled": False}, config)


def case_errors(t):
    server = t.start()
    server.error("GET", "/", 404, "^Not Found$")
    server.error("GET", "/v3", 404, "^Not Found$")
    server.error("GET", "/v2/models/identity/versions/x", 404, "^Not Found$")
    server.error("POST", "/v2/health/live", 405, "^Method Not Allowed$")
    server.error("DELETE", "/v2", 405, "^Method Not Allowed$")
    server.error("GET", "/v2/models/none", 404, "^Request for unknown model: 'none' is not found$")
    server.error("GET", "/v2/models/identity/versions/9", 404,
                 "^Request for unknown model: 'identity' version 9 is not found$")
    server.error("GET", "/v2/models/%2e%2e%2fetc", 400, "malformed path")
    server.error("GET", "/v2/models/%00", 400, "malformed path")
    server.error("GET", "/v2/models/..", 404, "unknown model")
    body = json.dumps({"inputs": [tensor(np.zeros((1, 16)))]})
    server.error("POST", "/v2/models/none/infer", 404, "unknown model", body)
    server.error("POST", "/v2/models/identity/versions/2/infer", 404, "unknown model", body)


def case_no_model_name(t):
    """An empty name is no name, least of all that of every model."""
    for flags, models in ((("--model-control-mode=explicit",), ()), ((), ("identity", "wide"))):
        server = t.start(*flags, models=models)
        for path in ("/ready", "/config", "/stats", "/versions/1", "/versions/1/config"):
            check(server.request("GET", "/v2/models/" + path)[0] == 404, path)
        check(server.request("GET", "/v2/models//")[0] == 404)
        check(server.request("POST", "/v2/models//infer", b"{}")[0] == 404)
        server.json("GET", "/v2")
        server.stop()


def case_json_infer(t):
    server = t.start(models=("identity", "add_sub"))
    values = [float(np.float32(v)) for v in (0.1, -1e-30, 3.4e38, 1 / 3)] * 4
    for data in (values, [values], [[[v] for v in values]]):  # flat, nested, nested deeper
        got = server.json("POST", "/v2/models/identity/infer", {
            "id": "id-1", "inputs": [{"name": "x", "shape": [1, 16], "datatype": "FP32",
                                      "data": data}]})
        check(got["id"] == "id-1" and got["model_name"] == "identity", got)
        check(got["model_version"] == "1" and got["parameters"]["variant"] == "fp32", got)
        out = got["outputs"][0]
        check((out["name"], out["datatype"], out["shape"]) == ("y", "FP32", [1, 16]), out)
        check(np.array_equal(np.float32(out["data"]), np.float32(values)), out["data"])
    a, b = np.arange(32).reshape(2, 16), np.full((2, 16), 7)
    request = {"inputs": [tensor(b, "INPUT1", "INT32"), tensor(a, "INPUT0", "INT32")],
               "outputs": [{"name": "OUTPUT1"}]}
    got = server.json("POST", "/v2/models/add_sub/versions/1/infer", request)
    check(len(got["outputs"]) == 1 and got["outputs"][0]["name"] == "OUTPUT1", got)
    check(got["outputs"][0]["data"] == (a - b).reshape(-1).tolist(), got)
    check("id" not in got, got)


def case_members_in_any_order(t):
    server = t.start()
    data = ",".join(str(i) for i in range(16))
    body = ('{"outputs":[],"inputs":[{"data":[%s],"unknown":{"a":[1]},"datatype":"FP32",'
            '"shape":[1,16],"name":"\\u0078"}]}' % data)
    status, _, text = server.request("POST", "/v2/models/identity/infer", body)
    check(status == 200 and json.loads(text)["outputs"][0]["data"] == list(range(16)), text)


def case_every_datatype(t):
    names = list(JSON_TYPES) + ["f16", "bf16"]
    server = t.start(models=[f"same_{n}" for n in names])
    values = {"bool": [True, False, True], "f64": [0.1, -1e300, 5e-324],
              "u64": [0, 2**64 - 1, 2**63], "i64": [-2**63, 2**63 - 1, 0]}
    for name, kind in JSON_TYPES.items():
        bits = int(name[1:]) if name not in ("bool", "f64") else 0
        low = -2**(bits - 1) if name[0] == "i" else 0
        high = 2**(bits - (name[0] == "i")) - 1
        data = values.get(name, [low, high, 1])
        got = server.json("POST", f"/v2/models/same_{name}/infer",
                          {"inputs": [{"name": "x", "shape": [3], "datatype": kind, "data": data}]})
        check(got["outputs"][0]["data"] == data and got["outputs"][0]["datatype"] == kind, name, got)
        if bits:
            for wrong in (low - 1, high + 1, 0.5):
                body = {"inputs": [{"name": "x", "shape": [1], "datatype": kind, "data": [wrong]}]}
                server.error("POST", f"/v2/models/same_{name}/infer", 400, "range",
                             json.dumps(body))
    for name, kind in (("f16", "FP16"), ("bf16", "BF16")):
        raw = struct.pack("<3H", 0x3c00, 0x1234, 0xffff)
        info = {"name": "x", "shape": [3], "datatype": kind, "parameters": {"binary_data_size": 6}}
        body, head = binary([info], raw, parameters={"binary_data_output": True})
        status, got_head, text = server.request("POST", f"/v2/models/same_{name}/infer", body, head)
        check(status == 200 and text.endswith(raw), name, text)
        server.error("POST", f"/v2/models/same_{name}/infer", 400, "only as binary",
                     json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": kind,
                                             "data": [1]}]}))
        body, head = binary([info], raw)
        server.error("POST", f"/v2/models/same_{name}/infer", 400, "ask for binary", body, head)


def case_binary_both_ways(t):
    server = t.start(models=("add_sub",))
    a = np.arange(16, dtype=np.int32).reshape(1, 16)
    b = np.ones((1, 16), np.int32)

    def info(name):
        return {"name": name, "shape": [1, 16], "datatype": "INT32",
                "parameters": {"binary_data_size": 64}}
    body, head = binary([info("INPUT0"), info("INPUT1")], a.tobytes() + b.tobytes(),
                        outputs=[{"name": "OUTPUT0", "parameters": {"binary_data": True}},
                                 {"name": "OUTPUT1"}])
    status, got_head, text = server.request("POST", "/v2/models/add_sub/infer", body, head)
    check(status == 200, text)
    check(got_head["content-type"] == "application/octet-stream", got_head)
    size = int(got_head["inference-header-content-length"])
    told = json.loads(text[:size])
    check(told["outputs"][0]["parameters"] == {"binary_data_size": 64}, told)
    check(text[size:] == (a + b).tobytes(), "raw output")
    check(told["outputs"][1]["data"] == (a - b).reshape(-1).tolist(), told)
    # Without any binary output the answer is plain JSON.
    body, head = binary([info("INPUT0"), info("INPUT1")], a.tobytes() + b.tobytes())
    status, got_head, text = server.request("POST", "/v2/models/add_sub/infer", body, head)
    check(status == 200 and got_head["content-type"] == "application/json", got_head)
    check("inference-header-content-length" not in got_head and json.loads(text), got_head)


def case_raw_binary_request(t):
    server = t.start(models=("identity", "wide", "add_sub"))
    x = np.arange(16, dtype=np.float32)
    head = {"Inference-Header-Content-Length": "0"}
    for model, shape in (("identity", [1, 16]), ("wide", [1, 16])):
        status, got_head, text = server.request("POST", f"/v2/models/{model}/infer", x.tobytes(),
                                                head)
        check(status == 200, text)
        size = int(got_head["inference-header-content-length"])
        check(json.loads(text[:size])["outputs"][0]["shape"] == shape, text[:size])
        check(text[size:] == x.tobytes(), "raw output")
    server.error("POST", "/v2/models/add_sub/infer", 400, "one input", x.tobytes(), head)
    server.error("POST", "/v2/models/wide/infer", 400, "whole input", b"abc", head)


def case_bad_requests(t):
    server = t.start()
    good = {"name": "x", "shape": [1, 16], "datatype": "FP32", "data": [0] * 16}

    def bad(says, body, headers=(), status=400):
        text = body if isinstance(body, (bytes, str)) else json.dumps(body)
        server.error("POST", "/v2/models/identity/infer", status, says, text, headers)

    def with_input(says, **changes):
        one = {**good, **changes}
        bad(says, {"inputs": [{k: v for k, v in one.items() if v is not None}]})
    bad("JSON line 1", b"")
    bad("JSON line 1", b"{")
    bad("an object", [])
    bad("wants inputs", {})
    bad("expected 1 inputs but got 0", {"inputs": []})
    bad("expected 1 inputs but got 2", {"inputs": [good, good]})
    bad("arrays", {"inputs": good})
    bad("arrays of objects", {"inputs": [1]})
    bad("unexpected inference output 'z'", {"inputs": [good], "outputs": [{"name": "z"}]})
    bad("whole number", {"inputs": [good], "parameters": {"timeout": -1}})
    bad("boolean", {"inputs": [good], "parameters": {"binary_data_output": 1}})
    bad("a parameter must", {"inputs": [good], "parameters": {"a": {}}})
    with_input("unexpected inference input 'q'", name="q")
    with_input("name, datatype and shape", name=None)
    with_input("name, datatype and shape", shape=None)
    with_input("one of them", data=None)
    with_input("unknown datatype", datatype="FLOAT")
    with_input("data-type is 'FP64'", datatype="FP64")
    with_input("BYTES", datatype="BYTES", data=["a"] * 16)
    with_input("not negative", shape=[-1, 16])
    with_input("dimension 0 is 0", shape=[0, 16], data=[])
    with_input("dimension 0 is 65", shape=[65, 16], data=[0] * 65 * 16)
    with_input("1 dimensions, expected 2", shape=[16])
    with_input("more than 8 dimensions", shape=[1] * 9)
    with_input("too many elements|less data", shape=[2**62, 2**62])
    with_input("less data", shape=[2**40, 16])
    with_input("15 elements", data=[0] * 15)
    with_input("more data", data=[0] * 17)
    with_input("a number expected", data=["0"] * 16)
    bad("shared memory of clients is off", {"inputs": [
        {"name": "x", "shape": [1, 16], "datatype": "FP32",
         "parameters": {"shared_memory_region": "r", "shared_memory_byte_size": 64}}]}, status=501)
    raw = {"name": "x", "shape": [1, 16], "datatype": "FP32"}
    for size, says in ((63, "has 63 bytes"), (65, "more than the"), (-1, "more than the"),
                       (2**63 - 1, "more than the")):
        body, head = binary([{**raw, "parameters": {"binary_data_size": size}}], b"\0" * 64)
        bad(says, body, head)
    body, head = binary([{**raw, "parameters": {"binary_data_size": 64}}], b"\0" * 65)
    bad("1 bytes of binary data", body, head)
    for length in ("-1", "x", "", "99999", "184467440737095516160"):
        bad("Inference-Header-Content-Length", body, {"Inference-Header-Content-Length": length})
    bad("Content-Encoding", b"x", {"Content-Encoding": "br"}, status=501)
    bad("damaged", b"x", {"Content-Encoding": "gzip"})
    bad("nested deeper", b'{"other":' + b"[" * 100000)
    server.alive()


def case_tritonclient(t):
    server = t.start("--model-control-mode=explicit", "--load-model=identity",
                     models=("identity", "add_sub"))
    client = triton.InferenceServerClient(f"127.0.0.1:{server.http}", concurrency=4)
    check(client.is_server_live() and client.is_server_ready() and client.is_model_ready("identity"))
    check(not client.is_model_ready("add_sub"))
    check(client.get_server_metadata()["name"] == "dyno")
    check(client.get_model_metadata("identity")["inputs"][0]["shape"] == [-1, 16])
    check(client.get_model_config("identity")["name"] == "identity")
    client.load_model("add_sub")
    states = {m["name"]: m["state"] for m in client.get_model_repository_index()}
    check(states == {"identity": "READY", "add_sub": "READY"}, states)
    x = np.random.rand(3, 16).astype(np.float32)
    for as_binary in (True, False):
        item = triton.InferInput("x", x.shape, "FP32")
        item.set_data_from_numpy(x, binary_data=as_binary)
        for outputs in (None, [triton.InferRequestedOutput("y", binary_data=not as_binary)]):
            for zipped in (None, "gzip", "deflate"):
                got = client.infer("identity", [item], outputs=outputs, request_id="r",
                                   request_compression_algorithm=zipped,
                                   response_compression_algorithm=zipped)
                check(np.array_equal(got.as_numpy("y"), x), as_binary, zipped)
                check(got.get_response()["id"] == "r")
    futures = []
    for i in range(50):
        item = triton.InferInput("x", x.shape, "FP32")
        item.set_data_from_numpy(x + i)
        futures.append(client.async_infer("identity", [item], timeout=10**7, priority=1))
    for i, future in enumerate(futures):
        check(np.array_equal(future.get_result().as_numpy("y"), x + i), "async", i)
    stats = client.get_inference_statistics("identity")["model_stats"][0]
    check(stats["inference_stats"]["success"]["count"] == 62, stats)
    client.unload_model("add_sub")
    try:
        client.get_model_metadata("add_sub")
        raise Failure("an unloaded model is told of")
    except triton.InferenceServerException as error:
        check("unknown model" in str(error) or "no available" in str(error), error)
    index = {m["name"]: m for m in client.get_model_repository_index()}
    check(index["add_sub"]["state"] == "UNAVAILABLE" and index["add_sub"]["reason"] == "unloaded",
          index)
    client.close()


def case_ocr_classifier(t):
    """A trained network: the same numbers as the engine gives in process."""
    if not t.engine("ocr_cls").exists():
        return
    server = t.start(models=("ocr_cls",))
    x = np.random.rand(2, 3, 48, 192).astype(np.float32)
    np.save(t.folder / "x.npy", x)
    subprocess.run([t.build / "dyno", "run", t.engine("ocr_cls"), "--input", f"x={t.folder}/x.npy",
                    "--output", t.folder], check=True, stdout=subprocess.DEVNULL)
    want = {p.stem: np.load(p) for p in t.folder.glob("*.npy") if p.stem != "x"}
    client = triton.InferenceServerClient(f"127.0.0.1:{server.http}")
    item = triton.InferInput("x", x.shape, "FP32")
    item.set_data_from_numpy(x)
    got = client.infer("ocr_cls", [item])
    for output in client.get_model_metadata("ocr_cls")["outputs"]:
        array = got.as_numpy(output["name"])
        check(any(np.array_equal(array, w) for w in want.values()), output, array.shape)
    client.close()


def case_output_of_unknown_shape(t):
    server = t.start(models=("nonzero",))
    for data in ([0, 1, 0, 1, 1, 0, 0, 1], [0] * 8, [1] * 8):
        got = server.json("POST", "/v2/models/nonzero/infer",
                          {"inputs": [{"name": "x", "shape": [8], "datatype": "FP32",
                                       "data": data}]})
        want = [i for i, v in enumerate(data) if v]
        check(got["outputs"][0]["data"] == want, got)
        check(got["outputs"][0]["shape"] == [1, len(want)], got)


def case_large_tensors(t):
    server = t.start("--max-input-size=80", models=("wide",))
    x = np.random.rand(16, 1 << 20).astype(np.float32)
    client = triton.InferenceServerClient(f"127.0.0.1:{server.http}", network_timeout=PATIENCE_S)
    item = triton.InferInput("x", x.shape, "FP32")
    item.set_data_from_numpy(x)
    got = client.infer("wide", [item])
    check(np.array_equal(got.as_numpy("y"), x), "64 MiB")
    client.close()
    server.wait_quiet()


def case_curl(t):
    if shutil.which("curl") is None:
        return
    server = t.start(models=("wide",))
    x = np.random.rand(4, 200000).astype(np.float32)
    body, head = binary([{"name": "x", "shape": [4, 200000], "datatype": "FP32",
                          "parameters": {"binary_data_size": x.nbytes}}], x.tobytes(),
                        parameters={"binary_data_output": True})
    (t.folder / "body").write_bytes(body)
    url = f"http://127.0.0.1:{server.http}/v2/models/wide/infer"
    for flags in ([], ["-H", "Transfer-Encoding: chunked"], ["--http1.0"], ["-H", "Expect:"],
                  ["--compressed"]):
        subprocess.run(["curl", "-sS", "--fail", "-m", "30", "-o", t.folder / "answer",
                        "--data-binary", f"@{t.folder}/body", "-H",
                        f"Inference-Header-Content-Length: {head['Inference-Header-Content-Length']}",
                        *flags, url], check=True)
        check((t.folder / "answer").read_bytes().endswith(x.tobytes()), flags)
