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
