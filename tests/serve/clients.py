"""What several test_*.py do with clients."""
import threading
import time

import numpy as np
import tritonclient.grpc
import tritonclient.http
from harness import PATIENCE_S, check


def wait_for(what, seconds=PATIENCE_S):
    end = time.monotonic() + seconds
    while not what():
        check(time.monotonic() < end, "it did not come in", seconds, "seconds")
        time.sleep(0.005)


class Load:
    """Clients of the model `identity`, `each` over HTTP and as many over gRPC: one request after
    the other, each another one, and each answer is checked.  Ends with its `with`."""

    def __init__(self, host, http, grpc, each):
        self.stop, self.results = threading.Event(), []  # (start, end, failure or None)
        self.began = {}  # thread -> start of its last request
        self.threads = [threading.Thread(target=self.work, args=(module, f"{host}:{port}", i),
                                         daemon=True)
                        for module, port in ((tritonclient.http, http), (tritonclient.grpc, grpc))
                        for i in range(each)]
        for thread in self.threads:
            thread.start()

    def work(self, module, address, seed):
        client = module.InferenceServerClient(address)
        x = np.arange(16, dtype=np.float32).reshape(1, 16) + 1000 * seed
        item = module.InferInput("x", list(x.shape), "FP32")
        while not self.stop.is_set():
            x += 1
            item.set_data_from_numpy(x)
            start, failure = time.monotonic(), None
            self.began[threading.get_ident()] = start
            try:
                got = client.infer("identity", [item]).as_numpy("y")
                failure = None if np.array_equal(got, x) else "a wrong answer"
            except Exception as error:  # whatever a client of the kind says
                failure = str(error) or repr(error)
            self.results.append((start, time.monotonic(), failure))
        client.close()

    def failed_since(self, at):
        """(seconds from `at` to the start, what the client heard) of each request that ended later
        than that, and failed."""
        return [(start - at, failure) for start, end, failure in list(self.results)
                if end > at and failure]

    def waiting_since(self, at):
        """How many clients began nothing since."""
        return sum(start < at for start in list(self.began.values()))

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.end()

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()
