"""Service classes: who gets which variant, whose turn it is, and who is refused early."""
import threading

import numpy as np
import tritonclient.grpc as triton
import tritonclient.http as http
from clients import wait_for
from harness import check
from tritonclient.utils import InferenceServerException


def item(array):
    made = triton.InferInput("x", array.shape, "FP32")
    made.set_data_from_numpy(array)
    return made


def ask(server, model, array, **how):
    """One inference over gRPC: (answer, variant)."""
    with triton.InferenceServerClient(f"127.0.0.1:{server.grpc}") as client:
        got = client.infer(model, [item(array)], **how)
    return got.as_numpy("y"), got.get_response().parameters["variant"].string_param


def ask_http(server, model, array, headers=(), **how):
    made = http.InferInput("x", array.shape, "FP32")
    made.set_data_from_numpy(array)
    with http.InferenceServerClient(f"127.0.0.1:{server.http}") as client:
        got = client.infer(model, [made], headers=dict(headers), **how)
    return got.as_numpy("y"), got.get_response()["parameters"]["variant"]


def refused(call, *args, **how):
    try:
        call(*args, **how)
    except InferenceServerException as error:
        return error
    check(False, "not refused")


class Load:
    """Clients that ask as long as it lasts; counts answers by what they were asked with."""

    def __init__(self, server, model, array):
        self.server, self.model, self.array = server, model, array
        self.stopping, self.threads = threading.Event(), []
        self.counts, self.errors = {}, []

    def add(self, name, clients, **how):
        self.counts[name] = 0
        for _ in range(clients):
            thread = threading.Thread(target=self.run, args=(name, how))
            self.threads.append(thread)
            thread.start()

    def run(self, name, how):
        with triton.InferenceServerClient(f"127.0.0.1:{self.server.grpc}") as client:
            while not self.stopping.is_set():
                try:
                    client.infer(self.model, [item(self.array)], **how)
                    self.counts[name] += 1
                except InferenceServerException as error:
                    self.errors.append((name, str(error)))

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def case_class_of_a_request(t):
    server = t.start("--service-class=night,deadline=0,weight=1", models=("identity",))
    row = np.ones((1, 16), np.float32)
    for sla in ("realtime", "standard", "batch", "night"):
        ask(server, "identity", row, parameters={"sla": sla})
        check(server.metric("dyno_request_seconds_count", **{"class": sla}) == 1, sla)
    ask(server, "identity", row)
    check(server.metric("dyno_request_seconds_count", **{"class": "standard"}) == 2)
    ask(server, "identity", row, headers={"sla": "batch"})
    ask_http(server, "identity", row, headers={"sla": "batch"})
    ask_http(server, "identity", row, priority=3)
    ask(server, "identity", row, priority=3)
    check(server.metric("dyno_request_seconds_count", **{"class": "batch"}) == 5)
    check("no service class 'gold'" in str(refused(ask, server, "identity", row,
                                                   parameters={"sla": "gold"})))
    check("must be a string" in str(refused(ask, server, "identity", row, parameters={"sla": 1})))
    server.error("POST", "/v2/models/identity/infer", 400, "no service class 'x'",
                 b'{"inputs":[]}', {"sla": "x"})


def case_early_refusal_says_when(t):
    server = t.start(models=("slow",))
    x = np.ones((512, 256), np.float32)
    load = Load(server, "slow", x)
    load.add("load", 4)
    # It has learnt how long one takes, and there are some before it.
    wait_for(lambda: load.counts["load"] > 4 and
             server.metric("nv_inference_pending_request_count", model="slow") > 1)
    status, head, text = server.request(
        "POST", "/v2/models/slow/infer", http_body(x, timeout=2000), {
            "Inference-Header-Content-Length": str(http_head_bytes(x, timeout=2000))})
    load.stop()
    check(status == 503 and int(head["retry-after"]) >= 1, status, head, text[:200])
    check(b"cannot be met" in text or b"timeout expired" in text, text)
    check(not load.errors, load.errors[:3])


def http_made(x, timeout):
    made = http.InferInput("x", x.shape, "FP32")
    made.set_data_from_numpy(x)
    return http.InferenceServerClient.generate_request_body([made], timeout=timeout)


def http_body(x, timeout):
    return http_made(x, timeout)[0]


def http_head_bytes(x, timeout):
    return http_made(x, timeout)[1]


def case_classes_share_the_device(t):
    """A flood of one class leaves another its share, and nobody starves."""
    server = t.start("--service-class=realtime,deadline=0,weight=8",
                     "--service-class=batch,weight=1", "--instances=1", models=("rows",))
    load = Load(server, "rows", np.ones((16, 64, 64), np.float32))
    load.add("batch", 24, parameters={"sla": "batch"})
    load.add("realtime", 24, parameters={"sla": "realtime"})
    # While the clients are slow there may be nobody of a class in the queue, and the other one has its turn.  Without
    # weights both come to the same, however long it takes.
    counts = load.counts
    wait_for(lambda: load.errors or (counts["batch"] > 20 and counts["realtime"] > 2.5 * counts["batch"]))
    load.stop()
    check(not load.errors, load.errors[:3])


def two_of_one_model(t, exact, cheap, accuracy=0.9):
    """Model m: a slow variant that is exact, and a quick one that is not."""
    t.put("m", exact, variant="exact")
    t.put("m", cheap, variant="cheap")
    t.configure("m", {"variants": {"cheap": {"accuracy": accuracy}}})


def case_variant_by_class(t):
    """Who wants the exact one gets it; who wants it cheap, the cheaper one of those that are accurate enough."""
    two_of_one_model(t, "rows", "two_rows")
    server = t.start("--service-class=exact,accuracy=1,prefer=cheap", "--service-class=near,accuracy=0.85,prefer=cheap",
                     models=())
    x = np.ones((2, 64, 64), np.float32)
    want = {"realtime": "exact", "standard": "exact", "batch": "cheap", "exact": "exact", "near": "cheap"}
    for sla, variant in want.items():
        for made in (ask, ask_http):
            got, name = made(server, "m", x, parameters={"sla": sla})
            check(name == variant and np.array_equal(got, x), made, sla, name)
    for variant in ("exact", "cheap"):  # by name, whatever the class would rather have
        check(ask(server, "m", x, parameters={"sla": "batch", "variant": variant})[1] == variant)
    check(server.metric("nv_inference_request_success", variant="exact") == 7)


def case_not_accurate_enough(t):
    two_of_one_model(t, "rows", "two_rows", accuracy=0.98)
    server = t.start("--model-control-mode=explicit", "--load-model=m", "--service-class=exact,accuracy=0.99",
                     "--service-class=near,accuracy=0.98", models=())
    x = np.ones((1, 64, 64), np.float32)
    check(ask(server, "m", x, parameters={"sla": "exact"})[1] == "exact")
    error = refused(ask, server, "m", x, parameters={"sla": "exact", "variant": "cheap"})
    says = "no variant of model 'm' that is loaded has the accuracy of service class 'exact', 0.99"
    check(error.message() == says and "UNAVAILABLE" in error.status(), error)
    server.json("POST", "/v2/repository/models/m/unload", {"parameters": {"variant": "exact"}})
    error = refused(ask, server, "m", x, parameters={"sla": "exact"})
    check(error.message() == says and "UNAVAILABLE" in error.status(), error)
    check(says in str(refused(ask_http, server, "m", x, headers={"sla": "exact"})))
    for sla in ("near", "standard", "batch"):
        check(ask(server, "m", x, parameters={"sla": sla})[1] == "cheap", sla)
    # What a variant is worth can be said anew without loading it again.
    t.configure("m", {"variants": {"cheap": {"accuracy": 0.995}}})
    server.json("POST", "/v2/repository/models/m/load", {"parameters": {"variant": "cheap"}})
    check(ask(server, "m", x, parameters={"sla": "exact"})[1] == "cheap")
    check(server.metric("nv_inference_request_success", variant="cheap") == 4)


def case_degrades_rather_than_be_late(t):
    """A deadline that the exact one cannot meet: a class that may degrade gets the cheap one, another is refused."""
    two_of_one_model(t, "slow", "quick")
    server = t.start("--service-class=strict,degrade=no", models=())
    x = np.ones((512, 256), np.float32)

    def run_us():
        before = server.metric("dyno_compute_seconds_sum", variant="exact") if runs else 0
        check(ask(server, "m", x)[1] == "exact", "there is time")
        return int((server.metric("dyno_compute_seconds_sum", variant="exact") - before) * 1e6)
    runs = []
    for _ in range(4):
        runs.append(run_us())
    timeout = min(runs) // 3  # whatever the server has learnt, it is more

    def in_time(call, **how):
        """On a machine that others use, too, even the cheap one may be late: of a few one is not."""
        for _ in range(20):
            try:
                return call(server, "m", x, timeout=timeout, **how)[1]
            except InferenceServerException as error:
                check("cannot be met" in str(error) or "expired" in str(error), error)
        return None
    check(in_time(ask) == "cheap" and in_time(ask_http) == "cheap", runs)
    error = refused(ask, server, "m", x, timeout=timeout, parameters={"sla": "strict"})
    check("cannot be met" in str(error) or "expired" in str(error), error)
    check(ask(server, "m", x, timeout=max(runs) * 100)[1] == "exact", runs)


def case_lanes(t):
    """Two lanes: two runs at one time, every answer its own."""
    server = t.start("--lanes=2", "--threads=2", models=("rows", "slow"))
    load = Load(server, "rows", np.ones((3, 64, 64), np.float32))
    load.add("rows", 6)
    slow = np.ones((512, 256), np.float32)
    for _ in range(5):
        check(np.allclose(ask(server, "slow", slow)[0], slow))
    wait_for(lambda: load.counts["rows"] > 10)
    load.stop()
    check(not load.errors and load.counts["rows"] > 10, load.counts, load.errors[:3])
