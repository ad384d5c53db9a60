"""Dynamic batching: who may share a run, who does, and that everybody gets his own answer."""
import json
import socket
import threading
import time

import numpy as np
import tritonclient.grpc as triton
from harness import PATIENCE_S, check


def send(server, model, arrays, results, **how):
    """All at once over one connection; results[i] is the answer to arrays[i] or an error."""
    client = triton.InferenceServerClient(f"127.0.0.1:{server.grpc}")
    done = threading.Semaphore(0)

    def callback(i):
        def call(result, error):
            results[i] = error if error is not None else result.as_numpy("y")
            done.release()
        return call
    for i, array in enumerate(arrays):
        item = triton.InferInput("x", array.shape, "FP32")
        item.set_data_from_numpy(array)
        client.async_infer(model, [item], callback=callback(i), **how)
    for _ in arrays:
        check(done.acquire(timeout=PATIENCE_S), "an answer is missing")
    client.close()


def stats(server, model):
    return server.json("GET", f"/v2/models/{model}/stats")["model_stats"][0]


def case_who_may(t):
    t.put("alone", "identity")
    t.configure("alone", {"max_batch_size": 0})
    t.put("few", "identity")
    t.configure("few", {"max_batch_size": 5})
    t.put("many", "identity")
    t.configure("many", {"max_batch_size": 1000})
    server = t.start(models=("identity", "add_sub", "soft", "nonzero", "slow"))
    want = {"identity": 64, "add_sub": 8, "soft": 0, "nonzero": 0, "slow": 0, "alone": 0, "few": 5,
            "many": 64}
    for model, size in want.items():
        config = server.json("GET", f"/v2/models/{model}/config")
        check(config["max_batch_size"] == size, model, config["max_batch_size"], "wants", size)
        check(("dynamic_batching" in config) == (size > 0), config)
    dims = [server.json("GET", f"/v2/models/{m}/config")["input"][0]["dims"]
            for m in ("identity", "alone")]
    check(dims == [[16], [-1, 16]], dims)


def send_at_once(server, model, arrays):
    """Each over a connection of its own, all made and written beforehand, so that they come together however slow their
    client is; the answers."""
    socks = []
    for array in arrays:
        head = json.dumps({"inputs": [{"name": "x", "shape": list(array.shape), "datatype": "FP32",
                                       "parameters": {"binary_data_size": array.nbytes}}],
                           "parameters": {"binary_data_output": True}}).encode()
        socks.append((socket.create_connection(("127.0.0.1", server.http), timeout=PATIENCE_S),
                      b"POST /v2/models/%s/infer HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                      b"Inference-Header-Content-Length: %d\r\nContent-Length: %d\r\n\r\n"
                      % (model.encode(), len(head), len(head) + array.nbytes) + head + array.tobytes()))
    for sock, request in socks:
        sock.sendall(request)
    answers = []
    for (sock, _), array in zip(socks, arrays):
        text = b""
        while chunk := sock.recv(65536):
            text += chunk
        sock.close()
        check(text.startswith(b"HTTP/1.1 200 "), text[:300])
        answers.append(np.frombuffer(text[-array.nbytes:], np.float32).reshape(array.shape))
    return answers


def case_rows_share_runs(t):
    server = t.start("--lanes=1", models=("rows",))
    rng = np.random.default_rng(1)
    arrays = [rng.random((int(rng.integers(1, 4)), 64, 64), np.float32) for _ in range(150)]
    rows, runs, before = sum(len(a) for a in arrays), [], 0
    while not runs or min(runs) >= 75 and len(runs) < 20:  # a busy machine may let them trickle
        for got, array in zip(send_at_once(server, "rows", arrays), arrays):
            check(np.allclose(got, array, 1e-5))
        told = stats(server, "rows")
        runs.append(told["execution_count"] - before)
        before = told["execution_count"]
        check(told["inference_count"] == rows * len(runs), told)
        check(told["inference_stats"]["success"]["count"] == 150 * len(runs), told)
    check(min(runs) < 75, "150 requests took", runs, "runs")
    sizes = {b["batch_size"]: b["compute_infer"]["count"] for b in told["batch_stats"]}
    check(max(sizes) <= 16 and sum(sizes.values()) == told["execution_count"], sizes)
    check(sum(k * v for k, v in sizes.items()) == rows * len(runs), sizes)
    print("150 requests took", runs, "runs")


def case_rows_stay_with_their_request(t):
    """Inputs of one request that differ in rows would take rows of others in a batch."""
    server = t.start(models=("two",))
    check(server.json("GET", "/v2/models/two/config")["max_batch_size"] == 16)
    client = triton.InferenceServerClient(f"127.0.0.1:{server.grpc}")
    answers, done = {}, threading.Semaphore(0)

    def infer(name, a_rows, b_rows, b):
        arrays = {"a": np.zeros((a_rows, 64, 64), np.float32),
                  "b": np.full((b_rows, 64, 64), b, np.float32)}
        items = [triton.InferInput(n, x.shape, "FP32") for n, x in arrays.items()]
        for item, x in zip(items, arrays.values()):
            item.set_data_from_numpy(x)

        def callback(result, error):
            answers[name] = error if error is not None else result.as_numpy("y")
            done.release()
        client.async_infer("two", items, callback=callback)
    for wrong in ((1, 2), (2, 1)):
        for _ in range(10):
            for i in range(3):
                infer(f"busy {i}", 16, 16, 5.0)
            infer("wrong", *wrong, 777.0)
            infer("right", 1, 1, 1.0)
            for _ in range(5):
                check(done.acquire(timeout=PATIENCE_S), "an answer is missing")
            check(isinstance(answers["right"], np.ndarray) and (answers["right"] == 1.0).all(),
                  answers["right"])
            check("dimension 0 is" in str(answers["wrong"]), answers["wrong"])
    client.close()


def case_shapes_are_grouped_not_padded(t):
    server = t.start(models=("ragged",))
    rng = np.random.default_rng(2)
    arrays = [rng.random((1, int(m), 64), np.float32) for m in rng.choice([1, 7, 64, 100], 120)]
    results = {}
    send(server, "ragged", arrays, results)
    for i, array in enumerate(arrays):
        check(isinstance(results[i], np.ndarray), results[i])
        check(results[i].shape == array.shape and np.allclose(results[i], array, 1e-5), i)
    told = stats(server, "ragged")
    check(told["execution_count"] < 110 and told["inference_count"] == 120, told)


def case_timeouts(t):
    """What cannot be answered in time is refused, and what waits behind it still runs."""
    server = t.start(models=("rows",))
    arrays = [np.full((16, 64, 64), i, np.float32) for i in range(60)]
    results, late = {}, {}
    other = threading.Thread(target=send, args=(server, "rows", arrays, results))
    other.start()
    time.sleep(0.05)
    send(server, "rows", arrays[:20], late, timeout=1000)
    other.join()
    check(all(isinstance(results[i], np.ndarray) for i in range(60)), results)
    refused = [r for r in late.values() if not isinstance(r, np.ndarray)]
    check(refused and all("Request timeout expired" in str(r) or "the deadline cannot be met" in str(r)
                          for r in refused), late)
    check(server.metric("nv_inference_pending_request_count", model="rows") == 0)


def case_full_queue(t):
    model, dims = ("slow", (512, 256)) if "release" in t.build.name else ("rows", (16, 64, 64))
    server = t.start("--max-queue-size=8", "--lanes=1", models=(model,))
    arrays = [np.full(dims, i, np.float32) for i in range(60)]
    results = {}
    send(server, model, arrays, results)
    good = [i for i in results if isinstance(results[i], np.ndarray)]
    bad = [str(r) for r in results.values() if not isinstance(r, np.ndarray)]
    check(len(good) >= 9 and bad and all("Exceeds maximum queue size" in b for b in bad), bad[:2])
    check(all(np.array_equal(results[i], arrays[i]) for i in good), "wrong answers")
