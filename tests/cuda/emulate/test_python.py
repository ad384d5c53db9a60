"""The Python package on the emulated GPU: arrays that lie there, as frameworks hand them over.

    DYNO_LIBRARY=libdyno.so python test_python.py PROGRAM
"""
import ctypes
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

TESTS = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(TESTS.parent / "python"), str(TESTS / "cli")]

import dyno  # noqa: E402
import onnx_bytes as ob  # noqa: E402

cuda = ctypes.CDLL("libcuda.so.1")


def works(name, *args):
    code = getattr(cuda, name)(*args)
    assert code == 0, f"{name}: {code}"


class There:
    """What a framework's array of the GPU is to others."""

    def __init__(self, array, **changes):
        self.address, self.host = ctypes.c_uint64(), array
        works("cuMemAlloc_v2", ctypes.byref(self.address), ctypes.c_size_t(array.nbytes))
        works("cuMemcpyHtoDAsync_v2", self.address, ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.nbytes), None)
        works("cuStreamSynchronize", None)
        self.__cuda_array_interface__ = {"shape": array.shape, "typestr": array.dtype.str, "strides": None,
                                         "data": (self.address.value, False), "version": 3, **changes}

    def read(self):
        got = np.empty_like(self.host)
        works("cuMemcpyDtoHAsync_v2", ctypes.c_void_p(got.ctypes.data), self.address, ctypes.c_size_t(got.nbytes), None)
        works("cuStreamSynchronize", None)
        return got


def fails(engine, says, *args, **more):
    try:
        engine.run(*args, **more)
    except dyno.DynoError as error:
        assert says in str(error), error
        return
    raise AssertionError(says)


def main():
    context = ctypes.c_void_p()
    works("cuInit", 0)
    works("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
    works("cuCtxSetCurrent", context)
    x = np.random.default_rng(0).uniform(-1, 1, (2, 3, 6, 6)).astype(np.float32)
    with tempfile.TemporaryDirectory(prefix="dyno-python-") as folder:
        onnx = pathlib.Path(folder, "m.onnx")
        onnx.write_bytes(ob.good(2))
        subprocess.run([sys.argv[1], "build", f"--onnx={onnx}", f"--saveEngine={folder}/m.engine", "--device=cuda",
                        "--builderOptimizationLevel=0"], check=True, stdout=subprocess.DEVNULL)
        with dyno.Engine(f"{folder}/m.engine") as engine:
            want = engine.run({"x": x})["out/y"]
            on_gpu, y = There(x), There(np.zeros_like(want))
            for _ in range(3):
                np.testing.assert_array_equal(engine.run({"x": on_gpu})["out/y"], want)
            for given in (x, on_gpu):
                y = There(np.zeros_like(want))
                assert engine.run({"x": given}, into={"out/y": y})["out/y"] is y
                np.testing.assert_array_equal(y.read(), want)
            strides = There(x, strides=(432, 144, 24, 4))
            np.testing.assert_array_equal(engine.run({"x": strides})["out/y"], want)
            stream = ctypes.c_void_p()
            works("cuStreamCreate", ctypes.byref(stream), 1)
            late = There(np.zeros_like(x), stream=stream.value)
            works("cuMemcpyHtoDAsync_v2", late.address, ctypes.c_void_p(x.ctypes.data), ctypes.c_size_t(x.nbytes), stream)
            np.testing.assert_array_equal(engine.run({"x": late})["out/y"], want)
            fails(engine, "input 'x': stream 0 is two streams", {"x": There(x, stream=0)})
            fails(engine, "input 'x': is not C-contiguous", {"x": There(x, strides=(432, 144, 4, 24))})
            fails(engine, "input 'x': is float64, wants float32", {"x": There(x.astype(np.float64))})
            fails(engine, "output 'out/y': is read-only", {"x": x},
                  into={"out/y": There(want, data=(y.address.value, True))})
            fails(engine, "output 'out/y': has shape (1, 5), wants (2, 5)", {"x": x}, into={"out/y": There(want[:1])})


main()
