"""A GPU that is not there."""
import ctypes

from harness import check
from onnx_bytes import good


def has_driver():
    try:
        return ctypes.CDLL("libcuda.so.1") is not None
    except OSError:
        return False


def case_no_driver(t):
    """One sentence, and no file."""
    if has_driver():
        return
    model = t.put("m.onnx", good())
    for device in ("cuda", "cuda:0", "cuda:7"):
        line = t.fails("E_TARGET", "dyno build: this machine cannot run CUDA: it has no NVIDIA driver (libcuda.so.1 "
                       "cannot be loaded)", "build", f"--onnx={model}", "--saveEngine=m.engine", f"--device={device}")
        check(device.startswith("cuda"), line)
    t.works("build", f"--onnx={model}", "--saveEngine=m.engine", "--device=cpu", "--builderOptimizationLevel=0")
    t.fails("E_TARGET", "dyno inspect: this machine cannot run CUDA: it has no NVIDIA driver (libcuda.so.1 cannot be "
            "loaded)", "inspect", "device", "cuda")
    t.fails("E_ARG", "dyno inspect: 'cpu' names no GPU: wants cuda or cuda:N", "inspect", "device", "cpu")


def case_named_devices(t):
    """An engine for the CPU is not run elsewhere, and a device is called as devices are."""
    model = t.put("m.onnx", good())
    t.works("build", f"--onnx={model}", "--saveEngine=m.engine", "--builderOptimizationLevel=0")
    for command in (["run", "m.engine"], ["bench", "--loadEngine=m.engine", "--duration=0", "--warmUp=0"]):
        t.works(*command, "--device=cpu")
        t.fails("E_TARGET", f"dyno {command[0]}: engine 'm.engine': it was built for the CPU, and is to run on "
                "cuda:1: build it for that", *command, "--device=cuda:1")
        t.fails("E_ARG", f"dyno {command[0]}: there is no device 'gpu1': there are cpu, cuda and cuda:N",
                *command, "--device=gpu1")
    # Of two, only those for a GPU go there.
    t.works("compare", "m.engine", model, "--device=cuda:1")
    if not has_driver():
        t.fails("E_TARGET", "dyno run: this machine cannot run CUDA: *", "run", model, "--device=cuda")


def case_not_certified(t):
    """An engine for the CPU is held against nothing on a GPU."""
    model = t.put("m.onnx", good())
    t.works("build", f"--onnx={model}", "--saveEngine=m.engine", "--builderOptimizationLevel=0")
    t.fails("E_ARG", "dyno certify: --device=cuda: what is to be certified is for the CPU", "certify",
            model, "--engine=m.engine", "--device=cuda")
    t.fails("E_ARG", "dyno certify: --device=gpu1: there are cpu, cuda and cuda:N", "certify", model,
            "--engine=m.engine", "--device=gpu1")
