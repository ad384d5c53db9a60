"""A process that may not have what it asks for."""
import resource

from onnx_bytes import good


def address_space(size):
    def set_limit():
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
    return set_limit


def case_streams_that_do_not_start(t):
    t.put("m.onnx", good())
    t.works("build", "--onnx=m.onnx", "--saveEngine=m.engine", "--builderOptimizationLevel=0")
    small = address_space(200 << 20)
    if t.dyno("--version", preexec=small).returncode != 0:
        return  # a sanitizer wants the address space for itself
    t.fails("E_LIMIT", "dyno bench: stream * of 64 did not start: *", "bench",
            "--loadEngine=m.engine", "--streams=64", "--iterations=2", "--duration=0", "--threads=1",
            preexec=small)


def case_no_memory_for_the_inputs(t):
    t.put("m.onnx", good("n"))
    t.works("build", "--onnx=m.onnx", "--saveEngine=m.engine", "--builderOptimizationLevel=0")
    small = address_space(200 << 20)
    if t.dyno("--version", preexec=small).returncode != 0:
        return
    t.fails("E_NOMEM", "dyno run: *", "run", "m.engine", "--shapes=x:1000000x3x6x6", "--threads=1",
            preexec=small)
