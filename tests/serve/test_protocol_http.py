"""HTTP beside plain inferences: generate, compression that is asked for, the load in a header."""
import gzip
import json
import zlib

import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from harness import PATIENCE_S, check


def ask(server, model, body, action="generate", status=200, headers=()):
    text = body if isinstance(body, (bytes, str)) else json.dumps(body)
    got, head, answer = server.request("POST", f"/v2/models/{model}/{action}", text, headers)
    check(got == status, model, body, "answers", got, answer[:300], "wants", status)
    return head, answer


def events(text):
    """The objects of server-sent events."""
    check(text.endswith(b"\n\n"), text)
    parts = text[:-2].split(b"\n\n")
    check(all(p.startswith(b"data: ") for p in parts), text)
    return [json.loads(p[6:]) for p in parts]


# --- generate ---

def case_generate(t):
    """Members are inputs by name, whatever their type; outputs are members."""
    kinds = {"u8": [0, 255], "i8": [-128, 127], "u64": [2**64 - 1, 0], "i64": [-2**63, 1],
             "f64": [0.1, -1e300], "bool": [True, False]}
    server = t.start(models=["identity", "wide", "add_sub", "nonzero"] +
                     [f"same_{k}" for k in kinds])
    for name, values in kinds.items():
        for data, want in ((values, values), (values[:1], values[0]), (values[0], values[0])):
            head, text = ask(server, f"same_{name}", {"x": data})
            check(head["content-type"] == "application/json", head)
            check(json.loads(text) == {"model_name": f"same_{name}", "model_version": "1",
                                       "variant": "fp32", "y": want}, text)
    # Known dimensions are taken, the last open one gets what is left.
    for data in (list(range(32)), [list(range(16)), list(range(16, 32))], [[[v] for v in range(32)]]):
        got = json.loads(ask(server, "identity", {"x": data, "id": "7"})[1])
        check(got["y"] == list(range(32)) and got["id"] == "7", got)
    check(json.loads(ask(server, "wide", {"x": [1, 2, 3]})[1])["y"] == [1, 2, 3])
    a, b = list(range(16)), [5] * 16
    for body in ({"INPUT0": a, "INPUT1": b}, {"INPUT0": a, "parameters": {"INPUT1": b, "n": 1}},
                 {"parameters": {"INPUT0": a, "INPUT1": b}}):
        got = json.loads(ask(server, "add_sub", body)[1])
        check(got["OUTPUT0"] == [v + 5 for v in a] and got["OUTPUT1"] == [v - 5 for v in a], got)
    got = json.loads(ask(server, "nonzero", {"x": [0] * 8})[1])
    check(got["y"] == [], got)
    # Everything else is a parameter: ignored, or judged as in any request.
    body = {"x": a, "text_input": "t", "stream": False, "temperature": 0.5, "priority": 1,
            "timeout": 10**8, "binary_data_output": True, "parameters": {"top_k": 3}}
    check(json.loads(ask(server, "identity", body)[1])["y"] == a)
    ask(server, "identity", {"x": a}, "versions/../generate", 404)
    got = server.json("POST", "/v2/models/identity/versions/1/generate", {"x": a})
    check(got["model_version"] == "1", got)


def case_generate_stream(t):
    """One event, which is the answer; errors of a request that does not run are plain."""
    server = t.start("--instances=1", models=("identity", "slow"))
    x = list(range(16))
    for path in ("generate_stream", "versions/1/generate_stream"):
        head, text = ask(server, "identity", {"id": "a\n\nb", "x": x}, path)
        check(head["content-type"] == "text/event-stream; charset=utf-8", head)
        check(events(text) == [{"id": "a\n\nb", "model_name": "identity", "model_version": "1",
                                "variant": "fp32", "y": x}], text)
    head, text = ask(server, "identity", {"x": [1]}, "generate_stream", 400)
    check(head["content-type"] == "application/json" and "do not fill" in json.loads(text)["error"])
    # A run that fails is an event: here one that waited too long behind others.
    client = triton.InferenceServerClient(f"127.0.0.1:{server.http}", concurrency=4,
                                          network_timeout=PATIENCE_S)
    item = triton.InferInput("x", [512, 256], "FP32")
    item.set_data_from_numpy(np.zeros((512, 256), np.float32))
    running = [client.async_infer("slow", [item]) for _ in range(3)]
    while server.metric("nv_inference_pending_request_count", model="slow") < 2:
        pass
    got, head, text = server.request("POST", "/v2/models/slow/generate_stream",
                                     json.dumps({"x": [0] * 512 * 256, "timeout": 1}))
    check(got != 200 and head["content-type"] == "text/event-stream; charset=utf-8", got, head)
    check(list(events(text)[0]) == ["error"], text)
    for future in running:
        future.get_result()
    client.close()


def case_generate_refusals(t):
    server = t.start(models=("identity", "same_i8", "same_f16", "to_f16", "add_sub"))
    x = list(range(16))

    def bad(says, body, model="identity", status=400):
        for action in ("generate", "generate_stream"):
            text = body if isinstance(body, (bytes, str)) else json.dumps(body)
            server.error("POST", f"/v2/models/{model}/{action}", status, says, text)
    bad("JSON line 1", b"")
    bad("must be an object", [])
    bad("text after the value", json.dumps({"x": x}) + "1")
    bad("unknown model", {"x": x}, "none", 404)
    bad("expected 1 inputs but got 0", {})
    bad("expected 2 inputs but got 1", {"INPUT0": x}, "add_sub")
    bad("15 values do not fill", {"x": x[:15]})
    bad("0 values do not fill|dimension 0 is 0", {"x": []})
    bad("dimension 0 is 65", {"x": [0] * 16 * 65})
    bad("a number expected", {"x": ["a"] * 16})
    bad("a number expected", {"x": [None] * 16})
    bad("a value or an array of values", {"x": [{}] * 16})
    bad("a number expected|do not fill", {"x": {}})
    bad("range of its datatype", {"x": 128}, "same_i8")
    bad("range of its datatype", {"x": [1, 1.5]}, "same_i8")
    bad("only as binary", {"x": 1}, "same_f16")
    # Known only once the output is there: an error of the run.
    check(b"JSON cannot hold" in ask(server, "to_f16", {"x": 1}, "generate", 400)[1])
    check("JSON cannot hold" in events(ask(server, "to_f16", {"x": 1}, "generate_stream",
                                           400)[1])[0]["error"])
    bad("'x' is given twice", {"x": x, "parameters": {"x": x}})
    bad("'x' is given twice", '{"x":%s,"x":%s}' % (x, x))
    bad("a parameter appears twice", {"x": x, "a": 1, "parameters": {"a": 2}})
    bad("parameters must be an object", {"x": x, "parameters": 1})
    bad("a parameter must be", {"x": x, "parameters": {"parameters": {"a": 1}}})
    bad("a parameter must be", {"x": x, "more": [1]})
    bad("a string expected", {"x": x, "id": 7})
    bad("no model here keeps a state", {"x": x, "sequence_id": 5})
    bad("more than 64 parameters", {"x": x, **{f"p{i}": i for i in range(65)}})
    bad("nested deeper", b'{"x":' + b"[" * 100000)
    server.error("GET", "/v2/models/identity/generate", 405, "Method Not Allowed")
    server.error("POST", "/v2/models/identity/generate", 501, "Content-Encoding", b"x",
                 {"Content-Encoding": "br"})
    server.alive()
    server.wait_quiet()


def case_generate_compressed(t):
    """Requests may be packed, and answers are if that is asked for."""
    server = t.start(models=("wide",))
    body = json.dumps({"x": [0] * 5000}).encode()
    for action in ("generate", "generate_stream"):
        head, text = ask(server, "wide", gzip.compress(body), action,
                         headers={"Content-Encoding": "gzip", "Accept-Encoding": "deflate"})
        check(head["content-encoding"] == "deflate" and len(text) < 1000, head, len(text))
        text = zlib.decompress(text)
        got = events(text)[0] if action == "generate_stream" else json.loads(text)
        check(got["y"] == [0] * 5000)


# --- compression of answers ---

def case_accept_encoding(t):
    """Accept-Encoding is read with its weights."""
    server = t.start(models=("wide",))
    body = json.dumps({"inputs": [{"name": "x", "shape": [1, 5000], "datatype": "FP32",
                                   "data": [0] * 5000}]})
    for accept, want in (("gzip", "gzip"), ("deflate", "deflate"), ("gzip;q=0", None),
                         ("gzip;q=0.1, deflate;q=0.2", "deflate"), ("br", None), ("*", "gzip"),
                         ("identity, gzip;q=0.5", None), ("", None)):
        status, head, _ = server.request("POST", "/v2/models/wide/infer", body,
                                         {"Accept-Encoding": accept})
        check(status == 200 and head.get("content-encoding") == want, accept, head)


def case_text_is_in_the_budget(t):
    """Numbers that are told as text take several times their bytes, which are not had for nothing."""
    server = t.start("--max-in-flight=8", "--max-input-size=8", models=("wide",))
    x = np.full((1, 500000), 1 / 3, np.float32)
    head = json.dumps({"inputs": [{"name": "x", "shape": x.shape, "datatype": "FP32",
                                   "parameters": {"binary_data_size": x.nbytes}}]}).encode()
    server.error("POST", "/v2/models/wide/infer", 503, "too many bytes in flight",
                 head + x.tobytes(), {"Inference-Header-Content-Length": str(len(head))})
    server.wait_quiet()
    x = x[:, :50000]
    head = json.dumps({"inputs": [{"name": "x", "shape": x.shape, "datatype": "FP32",
                                   "parameters": {"binary_data_size": x.nbytes}}]}).encode()
    status, _, text = server.request("POST", "/v2/models/wide/infer", head + x.tobytes(),
                                     {"Inference-Header-Content-Length": str(len(head))})
    check(status == 200 and np.array_equal(np.float32(json.loads(text)["outputs"][0]["data"]),
                                           x.reshape(-1)), status)
    server.wait_quiet()


# --- load ---

def case_load_header(t):
    """endpoint-load-metrics, if it is asked for in one of its forms."""
    server = t.start()
    body = json.dumps({"inputs": [{"name": "x", "shape": [1, 16], "datatype": "FP32",
                                   "data": [0] * 16}]})
    names = ("requests_in_flight", "model_requests_waiting", "queue_time_us")
    for action, text in (("infer", body), ("generate", json.dumps({"x": [0] * 16}))):
        path = f"/v2/models/identity/{action}"
        status, head, _ = server.request("POST", path, text,
                                         {"endpoint-load-metrics-format": "json"})
        told = head["endpoint-load-metrics"]
        check(status == 200 and told.startswith("JSON "), head)
        metrics = json.loads(told[5:])["named_metrics"]
        check(tuple(metrics) == names and metrics["requests_in_flight"] == 1, metrics)
        _, head, _ = server.request("POST", path, text, {"endpoint-load-metrics-format": "text"})
        told = head["endpoint-load-metrics"]
        check(told.startswith("TEXT "), told)
        pairs = dict(p.split("=") for p in told[5:].split(", "))
        check(tuple(pairs) == tuple("named_metrics." + n for n in names), pairs)
        for wrong in ("TEXT", "bin", ""):
            _, head, _ = server.request("POST", path, text,
                                        {"endpoint-load-metrics-format": wrong})
            check("endpoint-load-metrics" not in head, head)
    check("endpoint-load-metrics" not in server.request("POST", path, text)[1])


def case_asyncio_client(t):
    """The stock client for asyncio."""
    import asyncio
    server = t.start("--model-control-mode=explicit", "--load-model=identity")
    x = np.random.rand(2, 16).astype(np.float32)

    def item(value):
        tensor = triton.InferInput("x", value.shape, "FP32")
        tensor.set_data_from_numpy(value)
        return tensor

    async def main():
        client = triton_aio.InferenceServerClient(f"127.0.0.1:{server.http}")
        check(await client.is_server_live() and await client.is_server_ready())
        check(await client.is_model_ready("identity") and not await client.is_model_ready("none"))
        check((await client.get_server_metadata())["name"] == "dyno")
        check((await client.get_model_config("identity"))["name"] == "identity")
        check((await client.get_log_settings())["log_error"])
        check((await client.get_trace_settings())["trace_level"] == ["OFF"])
        await client.load_model("identity")
        check((await client.get_model_repository_index())[0]["state"] == "READY")
        got = await asyncio.gather(*(client.infer("identity", [item(x + i)], request_id=str(i),
                                                  response_compression_algorithm="gzip")
                                     for i in range(50)))
        for i, one in enumerate(got):
            check(np.array_equal(one.as_numpy("y"), x + i), i)
            check(one.get_response()["id"] == str(i), i)
        await client.unload_model("identity")
        await client.close()
    asyncio.run(main())
