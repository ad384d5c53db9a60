"""Settings, the repository and what is told of the server, over HTTP and gRPC."""
import json
import re

import grpc
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from harness import Failure, check, while_it_drains
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as pb_grpc
from tritonclient.utils import InferenceServerException


def stub_of(server):
    channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc}")
    return channel, pb_grpc.GRPCInferenceServiceStub(channel)


def refused(code, says, call):
    try:
        call()
    except grpc.RpcError as error:
        check(error.code() == code and re.search(says, error.details()), error.code(),
              error.details())
        return
    raise Failure("not refused:", says)


def case_extensions(t):
    """What the server says that it has, it has; and it says nothing else."""
    want = {"classification", "model_repository", "model_repository(unload_dependents)",
            "schedule_policy", "model_configuration", "binary_tensor_data", "parameters",
            "statistics", "logging", "generate"}
    for flags, more in (((), set()), (("--allow-client-shm",), {"system_shared_memory"})):
        server = t.start(*flags)
        told = server.json("GET", "/v2")
        check(set(told) == {"name", "version", "extensions"}, told)
        check(set(told["extensions"]) == want | more, told)
        client = triton_grpc.InferenceServerClient(f"127.0.0.1:{server.grpc}")
        check(list(client.get_server_metadata().extensions) == told["extensions"])
        client.close()
        server.stop()


def case_logging(t):
    """Levels are switched one by one, and lines come or do not."""
    server = t.start()
    server.expected = ["logging was set", "identity"]

    def lines():
        return server.log.read_text().splitlines()
    before = {"log_file": "", "log_info": False, "log_warning": True, "log_error": True,
              "log_verbose_level": 0, "log_format": "default"}
    check(server.json("GET", "/v2/logging") == before)
    check(server.json("POST", "/v2/logging", {}) == before and lines() == [])
    check(server.request("POST", "/v2/logging")[0] == 200)
    got = server.json("POST", "/v2/logging", {"log_info": True, "log_error": None})
    check(got == {**before, "log_info": True}, got)
    check(lines() == ["info: logging was set: errors 1, warnings 1, details 0"], lines())
    got = server.json("POST", "/v2/logging", {"log_format": "ISO8601", "log_verbose_level": 7,
                                              "log_warning": False, "log_error": False})
    check(got == {**before, "log_info": True, "log_warning": False, "log_error": False,
                  "log_verbose_level": 1, "log_format": "ISO8601"}, got)
    check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ info: logging was set: errors 0, "
                       r"warnings 0, details 1", lines()[-1]), lines())
    # Details are told of requests that fail.
    bad = {"name": "q\nerror: x", "shape": [1, 16], "datatype": "FP32", "data": [0] * 16}
    server.json("POST", "/v2/models/identity/infer", {"inputs": [bad]}, status=400)
    check(re.search(r"debug: .*'identity' failed: unexpected inference input 'q\?error: x'",
                    lines()[-1]), lines())
    count = len(lines())
    server.json("POST", "/v2/logging", {"log_info": False, "log_verbose_level": 0,
                                        "log_format": "default"})
    server.json("POST", "/v2/models/identity/infer", {"inputs": []}, status=400)
    check(len(lines()) == count, lines())
    for body, status, says in (({"log_file": "/tmp/x"}, 501, "log_file cannot be set"),
                               ({"log_file": ""}, 501, "log_file cannot be set"),
                               ({"log_info": 1}, 400, "log_info' must be a boolean"),
                               ({"log_verbose_level": -1}, 400, "must be a boolean, a whole number"),
                               ({"log_verbose_level": True}, 400, "must be a whole number"),
                               ({"log_format": "xml"}, 400, "default or ISO8601"),
                               ({"log_format": 1}, 400, "default or ISO8601"),
                               ({"log_colour": True}, 400, "no setting 'log_colour'"),
                               ({"log_info": {}}, 400, "must be a boolean"),
                               ([], 400, "must be an object")):
        server.error("POST", "/v2/logging", status, says, json.dumps(body))
    # All or nothing.
    server.error("POST", "/v2/logging", 501, "log_file",
                 json.dumps({"log_info": True, "log_file": "/etc/x"}))
    check(not server.json("GET", "/v2/logging")["log_info"])
    server.error("DELETE", "/v2/logging", 405, "Method Not Allowed")


def case_logging_grpc(t):
    server = t.start()
    server.expected = ["logging was set"]
    client = triton_grpc.InferenceServerClient(f"127.0.0.1:{server.grpc}")
    told = client.get_log_settings(as_json=True)["settings"]
    check(told["log_error"] == {"bool_param": True} and told["log_format"] ==
          {"string_param": "default"} and told["log_verbose_level"] == {"uint32_param": 0}, told)
    told = client.update_log_settings({"log_info": True, "log_verbose_level": 1}, as_json=True)
    check(told["settings"]["log_info"] == {"bool_param": True}, told)
    check(server.json("GET", "/v2/logging")["log_verbose_level"] == 1)
    http = triton_http.InferenceServerClient(f"127.0.0.1:{server.http}")
    check(http.update_log_settings({"log_info": False})["log_info"] is False)
    check(http.get_log_settings()["log_verbose_level"] == 1)
    http.close()
    client.close()
    channel, stub = stub_of(server)

    def asked(name, **value):
        request = pb.LogSettingsRequest()
        request.settings[name].SetInParent()
        for kind, content in value.items():
            setattr(request.settings[name], kind, content)
        return lambda: stub.LogSettings(request)
    code = grpc.StatusCode
    refused(code.UNIMPLEMENTED, "log_file cannot be set", asked("log_file", string_param="/tmp/x"))
    refused(code.INVALID_ARGUMENT, "must be a boolean", asked("log_info", string_param="yes"))
    refused(code.INVALID_ARGUMENT, "must be a whole number",
            asked("log_verbose_level", string_param="1"))
    refused(code.INVALID_ARGUMENT, "default or ISO8601", asked("log_format", uint32_param=1))
    refused(code.INVALID_ARGUMENT, "no setting 'q'", asked("q", bool_param=True))
    asked("log_info")()
    many = pb.LogSettingsRequest()
    for i in range(65):
        many.settings[f"s{i}"].bool_param = True
    refused(code.INVALID_ARGUMENT, "more than 64 settings", lambda: stub.LogSettings(many))
    channel.close()


def case_trace_settings(t):
    """Nothing is traced: settings are told, set to what they are, and else refused."""
    server = t.start()
    want = {"trace_level": ["OFF"], "trace_rate": "1000", "trace_count": "-1",
            "log_frequency": "0", "trace_file": "", "trace_mode": "triton"}
    for path in ("/v2/trace/setting", "/v2/models/identity/trace/setting",
                 "/v2/models/identity/versions/1/trace/setting"):
        check(server.json("GET", path) == want, path)
        check(server.json("POST", path, {}) == want, path)
        check(server.json("POST", path, {"trace_level": ["OFF"], "trace_rate": "1000",
                                         "trace_count": None, "log_frequency": []}) == want)
        for body, status, says in (({"trace_level": ["TIMESTAMPS"]}, 501, "does not trace"),
                                   ({"trace_level": ["OFF", "TENSORS"]}, 501, "does not trace"),
                                   ({"trace_rate": "1"}, 501, "does not trace"),
                                   ({"trace_rate": 1000}, 400, "must be a string"),
                                   ({"trace_file": "/tmp/x"}, 501, "trace_file cannot be set"),
                                   ({"q": "1"}, 400, "no setting 'q'")):
            server.error("POST", path, status, says, json.dumps(body))
    server.error("GET", "/v2/models/none/trace/setting", 404, "unknown model")
    server.error("POST", "/v2/models/none/trace/setting", 404, "unknown model", b"{}")
    server.error("GET", "/v2/models/identity/versions/2/trace/setting", 404, "unknown model")
    client = triton_grpc.InferenceServerClient(f"127.0.0.1:{server.grpc}")
    told = client.get_trace_settings(as_json=True)["settings"]
    check({k: v["value"] for k, v in told.items()} ==
          {k: v if isinstance(v, list) else [v] for k, v in want.items()}, told)
    told = client.update_trace_settings("identity", {"trace_level": "OFF", "trace_rate": None})
    check(told.settings["trace_level"].value == ["OFF"], told)
    for settings, says in (({"trace_level": ["TIMESTAMPS", "TENSORS"]}, "does not trace"),
                           ({"trace_file": "/tmp/x"}, "trace_file cannot be set")):
        try:
            client.update_trace_settings(settings=settings)
            raise Failure("not refused:", settings)
        except InferenceServerException as error:
            check(says in str(error) and "UNIMPLEMENTED" in str(error.status()), error)
    client.close()
    channel, stub = stub_of(server)
    refused(grpc.StatusCode.NOT_FOUND, "unknown model",
            lambda: stub.TraceSetting(pb.TraceSettingRequest(model_name="none")))
    channel.close()


def case_repository(t):
    """Loading and unloading as Triton takes them and KServe tells them; nothing but that."""
    server = t.start("--model-control-mode=explicit", models=("identity", "wide"))
    base = "/v2/repository"
    check(server.json("POST", f"{base}/models/identity/load") == {"name": "identity", "load": True})
    got = server.json("POST", f"{base}/index", {"ready": True})
    check([(m["name"], m["state"]) for m in got] == [("identity", "READY")], got)
    check({m["name"] for m in server.json("POST", f"{base}/index", {})} == {"identity", "wide"})
    check(server.json("POST", f"{base}/any/index", {"ready": True}) == got)
    server.error("POST", f"{base}/index", 400, "ready must be a boolean", b'{"ready": 1}')
    for action in ("load", "unload"):
        path = f"{base}/models/identity/{action}"
        server.error("POST", f"{base}/mine/models/identity/{action}", 501, "cannot be named")
        server.error("POST", path, 501, "'config' is not available",
                     json.dumps({"parameters": {"config": "{}"}}))
        server.error("POST", path, 501, "'file:1/model.plan' is not available",
                     json.dumps({"parameters": {"file:1/model.plan": "AAAA"}}))
        server.error("POST", path, 400, "must be a boolean",
                     json.dumps({"parameters": {"unload_dependents": 1}}))
        server.error("POST", path, 400, "must be an object", json.dumps({"parameters": []}))
        server.error("GET", path, 405, "Method Not Allowed")
    check(server.json("POST", f"{base}/models/identity/unload",
                      {"parameters": {"unload_dependents": True}}) ==
          {"name": "identity", "unload": True})
    channel, stub = stub_of(server)
    code = grpc.StatusCode
    for request, call in ((pb.RepositoryModelLoadRequest, stub.RepositoryModelLoad),
                          (pb.RepositoryModelUnloadRequest, stub.RepositoryModelUnload)):
        made = request(repository_name="mine", model_name="identity")
        refused(code.UNIMPLEMENTED, "cannot be named", lambda c=call, m=made: c(m))
        made = request(model_name="identity")
        made.parameters["config"].string_param = "{}"
        refused(code.UNIMPLEMENTED, "'config' is not available", lambda c=call, m=made: c(m))
    refused(code.UNIMPLEMENTED, "cannot be named",
            lambda: stub.RepositoryIndex(pb.RepositoryIndexRequest(repository_name="mine")))
    client = triton_grpc.InferenceServerClient(f"127.0.0.1:{server.grpc}")
    client.load_model("identity")
    check([m.name for m in stub.RepositoryIndex(pb.RepositoryIndexRequest(ready=True)).models] ==
          ["identity"])
    client.unload_model("identity", unload_dependents=True)
    client.close()
    channel.close()


def case_config_is_the_same_over_both(t):
    """The configuration over gRPC says what it says over HTTP."""
    t.put("named", "identity", version=3)
    t.configure("named", {"labels": {"y": "n.txt"}, "instance_count": 1})
    (t.repository / "named" / "n.txt").write_text("a\n")
    server = t.start(models=("identity", "soft", "add_sub"))
    client = triton_grpc.InferenceServerClient(f"127.0.0.1:{server.grpc}")
    for model in ("identity", "soft", "add_sub", "named"):
        over_http = server.json("GET", f"/v2/models/{model}/config")
        over_grpc = client.get_model_config(model, as_json=True)["config"]
        for key in ("name", "platform", "backend", "max_batch_size"):
            check(over_http[key] == over_grpc.get(key, 0), model, key, over_grpc)
        for kind in ("input", "output"):
            for a, b in zip(over_http[kind], over_grpc[kind], strict=True):
                check((a["name"], a["data_type"], [str(d) for d in a["dims"]]) ==
                      (b["name"], b["data_type"], b["dims"]), model, a, b)
                check(a.get("label_filename", "") == b.get("label_filename", ""), a, b)
        check(over_http["version_policy"]["specific"]["versions"] ==
              over_grpc["version_policy"]["specific"]["versions"], over_grpc)
        check(("dynamic_batching" in over_http) == ("dynamic_batching" in over_grpc), model)
        check(over_grpc["model_transaction_policy"] in ({}, {"decoupled": False}), over_grpc)
        check(over_http["instance_group"][0]["count"] == over_grpc["instance_group"][0]["count"])
    client.close()


def case_draining_is_told(t):
    """From SIGTERM on the server is not ready, whoever asks however, and still serves."""
    told = {}

    def start(seconds):
        server = t.start(f"--drain-secs={seconds}")
        told[server] = stub_of(server)
        check(told[server][1].ServerReady(pb.ServerReadyRequest()).ready)
        return server

    def look(server):
        try:
            not_ready_and_serves(server, *told[server])
        except grpc.RpcError as error:
            raise Failure(str(error)) from error
    while_it_drains(start, look)


def not_ready_and_serves(server, channel, stub):
    check(server.json("GET", "/v2/health/ready", status=400) == {"ready": False})
    check(not stub.ServerReady(pb.ServerReadyRequest()).ready)
    check(stub.ServerLive(pb.ServerLiveRequest()).live)
    check(server.json("GET", "/v2/health/live") == {"live": True})
    check(channel.unary_unary("/grpc.health.v1.Health/Check")(b"") == b"\x08\x02")
    check(server.json("GET", "/v2/models/identity/ready")["ready"])
    channel.close()
