"""Limits of tenants: rate, requests at one time, quotas; over HTTP, gRPC and by message of a stream."""
import json
import queue
import re
import signal
import socket
import threading

import grpc
import numpy as np
from harness import PATIENCE_S, check
from test_gate import BODY, DB, INFER, add, bearer, code_of, comes_true, request_of, status, stub_of, tenant


def case_rate(t):
    key = add(t, "a", "--rate=0.02", "--burst=3")
    server = t.start(DB)
    check([status(server, key) for _ in range(4)] == [200, 200, 200, 429])
    got, head, text = server.request("POST", INFER, BODY, bearer(key))
    check(got == 429 and 45 < int(head["retry-after"]) <= 50, got, head)
    check(re.fullmatch(r"tenant 'a' has used up its 0.02 requests a second: again in \d+ s",
                       json.loads(text)["error"]), text)
    check(status(server, key, "/v2", None) == 200, "what is no inference takes no token")
    # The head is enough: nothing of the body is waited for.
    with socket.create_connection(("127.0.0.1", server.http), timeout=PATIENCE_S) as sock:
        sock.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
                     "Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n".encode())
        check(sock.recv(1000).startswith(b"HTTP/1.1 429 "))
    got, error = code_of(lambda: stub_of(server).ModelInfer(
        request_of(), metadata=(("x-api-key", key),), timeout=PATIENCE_S))
    check(got == "RESOURCE_EXHAUSTED" and "0.02 requests a second" in error.details(), error)
    told = dict(error.initial_metadata() or ()) | dict(error.trailing_metadata() or ())
    check(45 < int(told["retry-after"]) <= 50, told)
    never = queue.Queue()
    channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc}")
    got, error = code_of(lambda: channel.stream_unary(
        "/inference.GRPCInferenceService/ModelInfer")(
            iter(never.get, None), metadata=(("x-api-key", key),), timeout=PATIENCE_S))
    check(got == "RESOURCE_EXHAUSTED", error)
    never.put(None)
    channel.close()
    tenant(t, "set", "a", "--rate=0")
    comes_true("no limit", lambda: status(server, key) == 200)


def case_concurrency(t):
    key = add(t, "a", "--concurrent=1")
    free = add(t, "b")
    server = t.start(DB, models=("identity", "slow"))
    started = threading.Event()

    def hold():
        """A request whose body does not come is in flight."""
        with socket.create_connection(("127.0.0.1", server.http), timeout=PATIENCE_S) as sock:
            sock.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
                         "Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n".encode())
            check(b"100 Continue" in sock.recv(100))
            started.set()
            done.wait(30)
    done = threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    check(started.wait(30))
    got, head, text = server.request("POST", INFER, BODY, bearer(key))
    check(got == 429 and head["retry-after"] == "1" and b"1 requests in flight" in text, text)
    got, error = code_of(lambda: stub_of(server).ModelInfer(
        request_of(), metadata=(("x-api-key", key),), timeout=PATIENCE_S))
    check(got == "RESOURCE_EXHAUSTED", error)
    check(status(server, free) == 200)
    done.set()
    thread.join()
    comes_true("the client that went gives its place back", lambda: status(server, key) == 200)
    # Bad requests, cancelled ones and lost ones give it back, too.
    for body in ("{", BODY.replace("FP32", "INT8"), "{}"):
        check(status(server, key, body=body) == 400)
    check(status(server, key, "/v2/models/none/infer") == 404)
    stub = stub_of(server)
    meta = (("x-api-key", key),)
    for timeout in (0.001, 0.02, 0.1):
        code_of(lambda: stub.ModelInfer(request_of("slow", (512, 256)), metadata=meta,
                                        timeout=timeout))
    comes_true("the slow ones end", lambda: status(server, key) == 200)
    # Of a stream each message counts, as long as it is not answered.
    answers = list(stub.ModelStreamInfer(iter([request_of("slow", (512, 256), "1"),
                                               request_of(request_id="2")]), metadata=meta,
                                         timeout=60))
    check(not answers[0].error_message and "1 requests in flight" in answers[1].error_message,
          [a.error_message for a in answers])
    check(answers[1].infer_response.id == "2")
    check(status(server, key) == 200)


def case_stream_is_judged_by_message(t):
    key = add(t, "a", "--model=identity", "--rate=0.01", "--burst=3")
    server = t.start(DB, models=("identity", "add_sub"))
    stub = stub_of(server)
    meta = (("x-api-key", key),)
    answers = list(stub.ModelStreamInfer(iter([
        request_of("add_sub", request_id="0"),
        *(request_of(request_id=str(i)) for i in range(1, 5))]), metadata=meta, timeout=PATIENCE_S))
    check([bool(a.error_message) for a in answers] == [True, False, False, False, True], answers)
    check("may not use this model" in answers[0].error_message, answers[0])
    check("0.01 requests a second" in answers[4].error_message, answers[4])
    got, error = code_of(lambda: list(stub.ModelStreamInfer(
        iter([request_of()]), metadata=(*meta, ("triton_grpc_error", "true")), timeout=PATIENCE_S)))
    check(got == "RESOURCE_EXHAUSTED", error)
    told = dict(error.initial_metadata() or ()) | dict(error.trailing_metadata() or ())
    check(0 < int(told["retry-after"]) <= 100, told)
    tenant(t, "set", "a", "--rate=0")
    comes_true("no limit", lambda: status(server, key) == 200)
    # A key that ends while its stream is open.
    todo, results = queue.Queue(), []
    stream = stub.ModelStreamInfer(iter(todo.get, None), metadata=meta, timeout=PATIENCE_S)
    todo.put(request_of(request_id="first"))
    results.append(next(stream))
    tenant(t, "revoke", "a")
    comes_true("revoked", lambda: status(server, key) == 401)
    todo.put(request_of(request_id="last"))
    results.append(next(stream))
    todo.put(None)
    check(not results[0].error_message and "the key is not known" in results[1].error_message,
          results)
    check(results[1].infer_response.id == "last" and list(stream) == [])


def case_quota_outlives_the_server(t):
    key = add(t, "a", "--quota-requests=5", "--period=month")
    server = t.start(DB)
    check([status(server, key) for _ in range(3)] == [200] * 3)
    server.stop()
    check(tenant(t, "show", "a")["quota"]["used_requests"] == 3)
    server = t.start(DB)
    check([status(server, key) for _ in range(3)] == [200, 200, 429])
    got, head, text = server.request("POST", INFER, BODY, bearer(key))
    says = r"tenant 'a' has used its 5 requests of this month: again at 20\d\d-\d\d-01T00:00:00Z"
    check(got == 429 and re.fullmatch(says, json.loads(text)["error"]), text)
    check(0 < int(head["retry-after"]) <= 31 * 86400, head)
    # It is written while it runs: a server that is killed loses the last seconds at most.
    comes_true("written", lambda: tenant(t, "show", "a")["quota"]["used_requests"] == 5)
    server.kill()
    server.stop(code=-signal.SIGKILL)
    server = t.start(DB)
    check(status(server, key) == 429)
    tenant(t, "set", "a", "--quota-requests=6")
    comes_true("one more", lambda: status(server, key) == 200)


def case_device_quota(t):
    key = add(t, "a", "--quota-device-secs=0.001")
    free = add(t, "b")
    server = t.start(DB, models=("slow", "identity"))
    x = np.zeros((512, 256), np.float32)
    head = json.dumps({"inputs": [{"name": "x", "shape": list(x.shape), "datatype": "FP32",
                                   "parameters": {"binary_data_size": x.nbytes}}]}).encode()

    def ask(who):
        return server.request("POST", "/v2/models/slow/infer", head + x.tobytes(),
                              {**bearer(who), "Inference-Header-Content-Length": str(len(head))})
    check(ask(key)[0] == 200)
    got, _, text = ask(key)
    check(got == 429 and b"has used its 0.001 device-seconds of this day" in text, text)
    check(ask(free)[0] == 200 and ask(free)[0] == 200)
    server.stop()
    used = tenant(t, "show", "b")["quota"]
    check(used["used_requests"] == 2 and 0.001 < used["used_device_s"] < 60, used)
    check(tenant(t, "show", "a")["quota"]["used_requests"] == 1)
