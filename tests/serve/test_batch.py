"""Dynamic batching: who may share a run, who does, and that everybody gets his own answer."""
import threading
import time

import numpy as np
import tritonclient.grpc as triton
from clients import wait_for
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


def case_rows_share_runs(t):
    server = t.start("--lanes=1", "--service-class=realtime,deadline=0,weight=1000",
                     "--service-class=standard,deadline=0,weight=1", models=("rows", "two"))
    rng = np.random.default_rng(1)
    arrays = [rng.random((int(rng.integers(1, 4)), 64, 64), np.float32) for _ in range(150)]
    results, all_came = {}, threading.Event()

    def keep_busy():
        """The lane has better things to do until all have come: what they share is not up to their clients' speed."""
        items = [triton.InferInput(name, [16, 64, 64], "FP32") for name in "ab"]
        for item in items:
            item.set_data_from_numpy(np.ones((16, 64, 64), np.float32))
        with triton.InferenceServerClient(f"127.0.0.1:{server.grpc}") as client:
            while not all_came.is_set():
                client.infer("two", items, parameters={"sla": "realtime"})

    def is_answered_or_waits():
        told = stats(server, "rows")["inference_stats"]["success"]["count"]
        return told + server.metric("nv_inference_pending_request_count", model="rows") >= len(arrays)
    busy = [threading.Thread(target=keep_busy) for _ in range(3)]
    for thread in busy:
        thread.start()
    wait_for(lambda: server.metric("nv_inference_pending_request_count", model="two") > 0)
    asking = threading.Thread(target=send, args=(server, "rows", arrays, results))
    asking.start()
    wait_for(is_answered_or_waits)
    all_came.set()
    for thread in [asking, *busy]:
        thread.join()
    for i, array in enumerate(arrays):
        check(isinstance(results[i], np.ndarray), results[i])
        check(results[i].shape == array.shape and np.allclose(results[i], array, 1e-5), i)
    told = stats(server, "rows")
    rows = sum(len(a) for a in arrays)
    check(told["inference_count"] == rows, told)
    check(told["inference_stats"]["success"]["count"] == 150, told)
    check(told["execution_count"] < 75, "150 requests took", told["execution_count"], "runs")
    sizes = {b["batch_size"]: b["compute_infer"]["count"] for b in told["batch_stats"]}
    check(max(sizes) <= 16 and sum(sizes.values()) == told["execution_count"], sizes)
    check(sum(k * v for k, v in sizes.items()) == rows, sizes)


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
