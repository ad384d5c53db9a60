"""What is in memory: its account, what is thrown out for what, loading on demand."""
import http.client
import json
import re
import subprocess
import threading
import time

import numpy as np
import tritonclient.grpc as triton
from harness import PATIENCE_S, check
from test_models import (BODY, Asking, answering, index, infer, lines_of, load, request_with, slow_engine, unload,
                         variants, wait_for)
from tritonclient.utils import InferenceServerException


# --- memory ---

def memory(server):
    return int(server.metric("dyno_model_memory_bytes"))


def settle(server):
    """The last one that was unloaded goes a moment after the answer."""
    end = time.monotonic() + PATIENCE_S
    while memory(server) != 0:
        check(time.monotonic() < end, "bytes are left:", memory(server))
        time.sleep(0.01)


def bytes_of(server, model, **how):
    """What one takes, with nothing else loaded."""
    load(server, model, **how)
    found = memory(server)
    unload(server, model, **how)
    settle(server)
    return found


def case_memory_is_given_back(t):
    """To the byte: what engines hold, and all that the server has allocated."""
    server = t.start("--model-control-mode=explicit", "--io-threads=1", models=("heavy", "identity", "rows"))
    x = json.dumps({"inputs": [{"name": "x", "shape": [2, 64, 64], "datatype": "FP32", "data": [1.0] * 8192}]})

    def cycle():
        for model in ("heavy", "identity", "rows"):
            load(server, model)
        check(server.request("POST", "/v2/models/rows/infer", x)[0] == 200)
        check(answering(server, "identity"))
        have = memory(server)
        stats = server.json("GET", "/v2/models/stats")["model_stats"]
        check(have == sum(s["memory_usage"][0]["byte_size"] for s in stats) > 16 << 20, have, stats)
        for model in ("heavy", "identity", "rows"):
            unload(server, model)
        settle(server)
        return min(int(server.metric("dyno_heap_bytes")) for _ in range(5))
    for _ in range(3):
        first = cycle()
    got = [cycle() for _ in range(8)]
    check(set(got) == {first}, first, got)


def case_a_thousand_loads(t):
    """The resident memory is what it was, too."""
    if "release" not in t.build.name:
        return  # sanitizers keep what is freed
    server = t.start("--model-control-mode=explicit", models=("identity", "two_rows"))

    def cycle(count):
        conn = http.client.HTTPConnection("127.0.0.1", server.http, timeout=PATIENCE_S)
        for i in range(count):
            for what in ("load", "unload"):
                conn.request("POST", f"/v2/repository/models/{('identity', 'two_rows')[i % 2]}/{what}")
                got = conn.getresponse()
                check(got.status == 200, got.read())
                got.read()
        conn.close()
        settle(server)
        time.sleep(0.2)
        return server.rss_kib()
    # What malloc keeps comes and goes by a tenth: not the first figure, but the most of a few.
    before = max(cycle(50) for _ in range(4))
    after = cycle(800)
    check(after <= before * 1.05, "KiB after 50 to 200 cycles", before, "after 1000", after)


def case_never_fits(t):
    server = t.start("--model-control-mode=explicit", "--model-memory=1M", models=("heavy", "identity"))
    server.expected = ["variant 'fp32'"]
    says = load(server, "heavy", 400)["error"]
    match = re.match(r"failed to load 'heavy': engine 'heavy/1/fp32': it needs (\d+) bytes of memory, more than the "
                     r"1048576 that all models may use$", says)
    check(match and int(match.group(1)) > 16 << 20, says)
    state, reason = index(server, "heavy")["1"]
    check(state == "UNAVAILABLE" and reason in says, state, reason)
    check(memory(server) == 0, memory(server))
    load(server, "identity")
    check(answering(server, "identity") == ("1", "fp32") and server.metric("dyno_model_memory_limit_bytes") == 1 << 20)


def case_least_recently_used_goes(t):
    for name in "abcd":
        t.put(name, "identity")
    t.configure("c", {"variants": {"fp32": {"pinned": True}}})
    server = t.start("--model-control-mode=explicit", models=())
    one = bytes_of(server, "a")
    server.stop()
    server = t.start("--model-control-mode=explicit", f"--model-memory={3 * one + one // 2}", models=())
    for name in "cab":
        load(server, name)
    check(memory(server) == 3 * one, memory(server), one)
    answering(server, "b")
    answering(server, "a")  # of what is not pinned b is now the longest ago
    load(server, "d")
    check(index(server, "b") == {"1": ("UNAVAILABLE", "evicted: others needed its memory")}, index(server, "b"))
    check(all(answering(server, n) for n in "cad") and server.metric("dyno_model_evictions_total") == 1)
    load(server, "b")  # c was used before all others, and stays
    check(index(server, "c")["1"][0] == "READY" and index(server, "a")["1"][0] == "UNAVAILABLE")
    # A reload has both for a moment: there is room for that by eviction, and not of itself.
    t.put("d", "identity")
    load(server, "d")
    check(index(server, "d")["1"][0] == "READY" and index(server, "b")["1"][0] == "UNAVAILABLE")
    check(memory(server) <= 3 * one + one // 2, memory(server))


def case_what_is_pinned_or_busy_stays(t):
    t.put("a", "identity")
    engine, x = slow_engine(t)
    t.put("slow", engine)
    t.configure("a", {"pinned": True})
    server = t.start("--model-control-mode=explicit", models=("identity",))
    one, slow = bytes_of(server, "a"), bytes_of(server, "slow")
    server.stop()
    server = t.start("--model-control-mode=explicit", f"--model-memory={one + slow + one // 2}", models=())
    server.expected = ["variant 'fp32'"]
    load(server, "a")
    load(server, "slow")
    body, headers = request_with(x)
    stopping, failed = threading.Event(), []

    def work():
        while not stopping.is_set():
            got = infer(server, "slow", body, headers)
            failed.extend([got] if got[0] != 200 else [])
    threads = [threading.Thread(target=work) for _ in range(16)]  # some wait whatever the others do
    for thread in threads:
        thread.start()
    while server.metric("nv_inference_pending_request_count", model="slow") < 8:
        time.sleep(0.01)
    says = load(server, "identity", 503)["error"]
    check("all that could go for it is in use" in says, says)
    stopping.set()
    for thread in threads:
        thread.join()
    check(not failed, failed[:1])
    load(server, "identity")
    check(index(server, "slow")["1"] == ("UNAVAILABLE", "evicted: others needed its memory"))
    check(index(server, "a")["1"][0] == "READY")
    unload(server, "identity")
    t.configure("slow", {"pinned": True})
    load(server, "slow")
    says = load(server, "identity", 503)["error"]
    check(re.search(r"it needs \d+ bytes of memory, and of the \d+ that all models may use \d+ are in use$", says), says)


def case_more_than_fits_at_the_start(t):
    """What does not fit is left, pinned ones go first, and nothing is thrown out for what comes after it."""
    for name in "abcdef":
        t.put(name, "identity")
    t.configure("f", {"pinned": True})
    server = t.start("--model-control-mode=explicit", models=())
    one = bytes_of(server, "a")
    server.stop()
    server = t.start(f"--model-memory={3 * one + one // 2}", models=())
    ready = [n for n in "abcdef" if index(server, n)["1"][0] == "READY"]
    check(len(ready) == 3 and "f" in ready and server.metric("dyno_model_evictions_total") <= 1, ready)
    for name in set("abcde") - set(ready):
        check("needs" in index(server, name)["1"][1] or "evicted" in index(server, name)["1"][1], index(server, name))


def case_memory_flag(t):
    def bad(text):
        got = subprocess.run([t.build / "dyno-serve", f"--model-repository={t.repository}", f"--model-memory={text}"],
                             capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        check(got.returncode == 64 and "wants a number of bytes" in got.stderr, got)
    for text in ("M", "-1", "1MM", "1 M", "1.5G", "99999999999999999999", "99999999T", "0x10"):
        bad(text)
    server = t.start("--model-memory=2G")
    check(server.metric("dyno_model_memory_limit_bytes") == 2 << 30)


# --- on demand ---

def together(count, call, *args):
    """What as many threads get at one time."""
    got = [None] * count

    def work(i):
        got[i] = call(*args)
    threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


def case_loaded_on_demand(t):
    for name in ("a", "b", "c", "pinned", "named"):
        t.put(name, "identity")
    t.configure("pinned", {"pinned": True})
    server = t.start("--model-control-mode=demand", "--load-model=named", models=(), env={"DYNO_LOG": "info"})
    server.expected = ["info: "]
    states = {n: index(server, n)["1"] for n in ("a", "b", "c", "pinned", "named")}
    idle = ("UNAVAILABLE", "it is loaded when a request wants it")
    check(states == {"a": idle, "b": idle, "c": idle, "pinned": ("READY", ""), "named": ("READY", "")}, states)
    check(server.request("GET", "/v2/models/a/ready")[0] == 200, "it would be answered")
    check(server.request("GET", "/v2/models/none/ready")[0] == 400)
    check(answering(server, "a") == ("1", "fp32"))
    got = together(16, infer, server, "b")
    check(all(status == 200 for status, _, _ in got), got[:2])
    check(len(lines_of(server, "'b' version 1 variant 'fp32' is ready")) == 1)
    x = triton.InferInput("x", (1, 16), "FP32")
    x.set_data_from_numpy(np.arange(16, dtype=np.float32).reshape(1, 16))
    with triton.InferenceServerClient(f"127.0.0.1:{server.grpc}") as client:
        check(client.is_model_ready("c") and client.infer("c", [x]).as_numpy("y")[0, 5] == 5)
    server.error("POST", "/v2/models/none/infer", 404, "is not found", BODY)
    server.error("POST", "/v2/models/a/versions/2/infer", 404, "version 2 is not found", BODY)
    server.error("POST", "/v2/models/a/infer", 404, "no variant 'x'",
                 BODY[:-1] + ', "parameters": {"variant": "x"}}')
    unload(server, "a")
    check(index(server, "a")["1"] == ("UNAVAILABLE", "unloaded") and answering(server, "a") == ("1", "fp32"))
    server.wait_quiet()


def case_demand_by_every_way(t):
    """Requests that cannot be read without the model wait for it, too."""
    for name in ("raw", "made", "told", "config", "grpc", "stream"):
        t.put(name, "identity")
    server = t.start("--model-control-mode=demand", models=())
    row = np.arange(16, dtype=np.float32)
    status, head, text = infer(server, "raw", row.tobytes(), {"Inference-Header-Content-Length": "0"})
    check(status == 200 and text.endswith(row.tobytes()), status, head, text[:100])
    got = server.json("POST", "/v2/models/made/generate", {"x": [row.tolist()]})
    check(got["y"] == row.tolist(), got)
    check(server.json("GET", "/v2/models/told")["inputs"][0]["shape"] == [-1, 16])
    check(server.json("GET", "/v2/models/config/versions/1/config")["max_batch_size"] == 64)
    with triton.InferenceServerClient(f"127.0.0.1:{server.grpc}") as client:
        check(client.get_model_metadata("grpc").inputs[0].name == "x")
        got = []
        client.start_stream(lambda result, error: got.append((result, error)))
        x = triton.InferInput("x", (1, 16), "FP32")
        x.set_data_from_numpy(row.reshape(1, 16))
        for _ in range(5):
            client.async_stream_infer("stream", [x])
        client.stop_stream()
        check(len(got) == 5 and all(e is None for _, e in got), got)
    check(server.json("GET", "/v2/models/stats")["model_stats"] != [])
    server.wait_quiet()


def case_demand_waits_in_a_queue(t):
    engine, x = slow_engine(t)
    t.put("m", engine)
    server = t.start("--model-control-mode=demand", "--max-load-queue=2", models=())
    body, headers = request_with(x)
    got = together(8, infer, server, "m", body, headers)
    bad = [g for g in got if g[0] != 200]
    check(2 <= 8 - len(bad) and len(bad) >= 1, [g[0] for g in got])
    for status, head, text in bad:
        check(status == 503 and int(head["retry-after"]) == 1 and b"Exceeds maximum queue size" in text, text)
    check(infer(server, "m", body, headers)[0] == 200)
    server.wait_quiet()


def case_who_waits_may_go(t):
    """Deadlines and cancellation hold while a model is loaded, too."""
    engine, array = slow_engine(t)
    for name in "abc":
        t.put(name, engine)
    server = t.start("--model-control-mode=demand", models=())
    body, headers = request_with(array, timeout=20000)
    start = time.monotonic()
    status, _, text = infer(server, "a", body, headers)
    check(status == 503 and b"Request timeout expired" in text, status, text[:200])
    took = time.monotonic() - start
    wait_for(lambda: index(server, "a")["1"][0] == "READY", "the model that nobody waits for")
    check(took < time.monotonic() - start, took)
    x = triton.InferInput("x", array.shape, "FP32")
    x.set_data_from_numpy(array)
    with triton.InferenceServerClient(f"127.0.0.1:{server.grpc}") as client:
        for seconds in (0.03, 0.1, 0.3, 1, 3):  # on a busy machine the first ones are over before they are sent
            try:
                client.infer("b", [x], client_timeout=seconds)
            except InferenceServerException as error:
                check("Deadline Exceeded" in str(error) or "deadline has passed" in str(error), error)
            if index(server, "b")["1"][0] != "UNAVAILABLE":
                break
        wait_for(lambda: index(server, "b")["1"][0] == "READY", "b")
    body, headers = request_with(array)
    for _ in range(5):
        conn = http.client.HTTPConnection("127.0.0.1", server.http, timeout=PATIENCE_S)
        conn.request("POST", "/v2/models/c/infer", body, headers)
        time.sleep(0.01)
        conn.close()
    wait_for(lambda: index(server, "c")["1"][0] == "READY", "c")
    check(infer(server, "c", body, headers)[0] == 200)
    server.wait_quiet()


def case_demand_for_a_bad_engine(t):
    t.put("m", "identity")
    good = (t.repository / "m" / "1" / "fp32.engine").read_bytes()
    (t.repository / "m" / "1" / "fp32.engine").write_bytes(good[:-100])
    server = t.start("--model-control-mode=demand", "--repository-poll-secs=0.2", models=())
    server.expected = ["variant 'fp32'"]
    for status, head, text in together(4, infer, server, "m") + [infer(server, "m")]:
        check(status == 503 and 1 <= int(head["retry-after"]) <= 10, status, head)
        check(b"model 'm' version 1 could not be loaded: engine 'm/1/fp32': " in text, text)
    check(len(lines_of(server, "variant 'fp32'")) == 1, "tried again and again")
    check(index(server, "m")["1"][0] == "UNAVAILABLE")
    (t.repository / "m" / "1" / "fp32.engine").write_bytes(good)
    wait_for(lambda: infer(server, "m")[0] == 200, "the mended one")
    server.wait_quiet()


def case_evicted_comes_back(t):
    """In every mode, and more than fits at one time: all is answered."""
    names = "abcde"
    for name in names:
        t.put(name, "identity")
        t.put(name, "identity", 2)
    server = t.start("--model-control-mode=explicit", models=())
    one = bytes_of(server, "a")
    server.stop()
    for mode in ("none", "explicit", "poll", "demand"):
        server = t.start(f"--model-control-mode={mode}", f"--model-memory={2 * one + one // 2}",
                         "--repository-poll-secs=0.3", models=(),
                         *[f"--load-model={n}" for n in names if mode == "explicit"])
        for _ in range(3):
            for name in names:
                status, _, text = infer(server, name)
                check(status == 200 and json.loads(text)["model_version"] == "2", mode, name, text)
        got = [g for name in names for g in together(3, infer, server, name)]
        check(all(g[0] == 200 for g in got), mode, [g for g in got if g[0] != 200][:2])
        check(server.metric("dyno_model_evictions_total") >= 10, mode)
        check(memory(server) <= 2 * one + one // 2, memory(server))
        server.wait_quiet()
        server.stop()


def case_evicted_under_load(t):
    """Clients of more models than fit, all at once: each answer is right, and none is lost."""
    for name in "abcd":
        t.put(name, "identity")
    server = t.start("--model-control-mode=explicit", models=())
    one = bytes_of(server, "a")
    server.stop()
    server = t.start("--model-control-mode=demand", f"--model-memory={2 * one + one // 2}", models=())
    asking = [Asking(server, name, 2) for name in "abcd"]
    wait_for(lambda: server.metric("dyno_model_evictions_total") > 10, "evictions")
    for at in asking:
        at.stop()
    check(memory(server) <= 2 * one + one // 2, memory(server))
    server.wait_quiet()


def case_another_answers_meanwhile(t):
    """The one that is wanted is not there, another one is that will do: it answers, and the wanted one comes back."""
    t.put("m", "rows", variant="exact")
    t.put("m", "two_rows", variant="cheap")
    t.configure("m", {"variants": {"cheap": {"accuracy": 0.9}}})
    server = t.start("--model-control-mode=demand", models=())
    x = {"inputs": [{"name": "x", "shape": [1, 64, 64], "datatype": "FP32", "data": [1.0] * 4096}]}

    def variant(**parameters):
        got = server.json("POST", "/v2/models/m/infer", {**x, "parameters": parameters})
        return got["parameters"]["variant"]
    check(variant(variant="cheap") == "cheap" and variants(server) == [("1", "cheap")])
    check(variant() == "cheap", "what is there")
    wait_for(lambda: ("1", "exact") in variants(server), "the one that was wanted")
    check(variant() == "exact")
