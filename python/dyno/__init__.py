"""Run Dyno engines from Python.

    import dyno
    e = dyno.Engine("m.engine")
    outs = e.run({"x": array})
    e.run({"x": array}, into={"y": tensor})     # written where it lies, on the host or the GPU

A thin layer over the C API (dyno/engine.h) by ctypes.  Inputs that are C-contiguous and of the
engine's type are read in place; outputs are new numpy arrays that the engine writes into directly.
Whatever has a __cuda_array_interface__ (arrays of PyTorch, CuPy, Numba) is read, or written, on the
GPU that the engine runs on.  The stream that such an array names is waited for; PyTorch's name none:
what fills or reads them must have ended before (torch.cuda.synchronize()).  Outputs are there when
run returns.
An Engine may be shared by threads: each thread gets a context of its own.
"""
import ctypes
import functools
import os
import threading

import numpy as np

from ._library import Array, DynoError, Err, IoInfo, check, library

__all__ = ["DynoError", "Engine", "Tensor"]

# ONNX TensorProto.DataType -> numpy
_NUMPY = {
    1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64,
    9: np.bool_, 10: np.float16, 11: np.float64, 12: np.uint32, 13: np.uint64,
    14: np.complex64, 15: np.complex128,
}
_OPEN = 2**63 - 1


def _contiguous_strides(shape, item_bytes):
    strides = []
    for size in reversed(shape):
        strides.insert(0, item_bytes)
        item_bytes *= size
    return tuple(strides)


@functools.lru_cache(maxsize=1)
def _driver():
    return ctypes.CDLL("libcuda.so.1")


def _wait_for(what, stream):
    """What is in a stream of the caller's, by the driver, whose context is current on this thread."""
    if stream == 0:
        raise DynoError(f"{what}: stream 0 is two streams: 1 or 2 is meant")
    try:
        driver = _driver()
    except OSError as error:
        raise DynoError(f"{what}: its stream cannot be waited for: {error}") from None
    code = driver.cuStreamSynchronize(ctypes.c_void_p(stream))
    if code != 0:
        raise DynoError(f"{what}: its stream cannot be waited for, the driver says {code}")


class _Given:
    """An array of the caller's: address, bytes, type, shape, and on which side."""

    def __init__(self, what, value, is_written):
        device = getattr(value, "__cuda_array_interface__", None)
        self.location = 0 if device is None else 1
        self.value = value
        if device is not None:
            self.dtype, self.shape = np.dtype(device["typestr"]), tuple(device["shape"])
            self.address, read_only = device["data"]
            strides = device.get("strides")
            contiguous = strides is None or tuple(strides) == _contiguous_strides(self.shape, self.dtype.itemsize)
            writable = not read_only
            if device.get("stream") is not None:
                _wait_for(what, device["stream"])
        else:
            if not is_written:  # no copy when it is already so
                value = np.asarray(value)
                self.value = value = np.ascontiguousarray(value).reshape(value.shape)
            elif not isinstance(value, np.ndarray):
                raise DynoError(f"{what}: is a {type(value).__name__}, wants a numpy array or one of the GPU's")
            self.dtype, self.shape, self.address = value.dtype, value.shape, value.ctypes.data
            contiguous, writable = value.flags.c_contiguous, value.flags.writeable
        self.bytes = int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize
        if len(self.shape) > 8:
            raise DynoError(f"{what}: has {len(self.shape)} dimensions, at most 8")
        if not contiguous:
            raise DynoError(f"{what}: is not C-contiguous")
        if is_written and not writable:
            raise DynoError(f"{what}: is read-only")

    def check_type(self, what, tensor):
        if self.dtype != tensor.dtype:
            raise DynoError(f"{what}: is {self.dtype}, wants {tensor.dtype}")


class Tensor:
    """Name, numpy type and shape bounds of one input or output.

    min, opt, max are tuples; max is None where a dimension has no upper bound; shape is None where
    it is known only while running.
    """

    def __init__(self, info):
        self.name = info.name.decode()
        self.dtype = np.dtype(_NUMPY[info.dtype]) if info.dtype in _NUMPY else None
        self.onnx_dtype = info.dtype
        known = info.rank >= 0
        self.min = tuple(info.min[: info.rank]) if known else None
        self.opt = tuple(info.opt[: info.rank]) if known else None
        self.max = tuple(None if d == _OPEN else d for d in info.max[: info.rank]) if known else None

    def __repr__(self):
        return f"Tensor({self.name!r}, {self.dtype}, opt={self.opt}, min={self.min}, max={self.max})"


class Engine:
    """An engine file, mapped and ready to run.  threads=0: one a CPU this process may use."""

    def __init__(self, path, threads=0, bind=False):
        self._lib = library()
        self._pool = ctypes.c_void_p()
        self._engine = ctypes.c_void_p()
        self._local = threading.local()
        self._contexts = []
        err = Err()
        check(self._lib.dyno_threads_create(threads, int(bind), ctypes.byref(self._pool), ctypes.byref(err)), err)
        try:
            check(self._lib.dyno_engine_open(os.fsencode(path), ctypes.byref(self._engine), ctypes.byref(err)), err)
        except DynoError:
            self.close()
            raise
        self.warning = self._lib.dyno_engine_warning(self._engine).decode()
        self.inputs = self._tensors(self._lib.dyno_engine_input_count, self._lib.dyno_engine_input)
        self.outputs = self._tensors(self._lib.dyno_engine_output_count, self._lib.dyno_engine_output)

    def _tensors(self, count, describe):
        found = []
        for idx in range(count(self._engine)):
            info = IoInfo()
            describe(self._engine, idx, ctypes.byref(info))
            found.append(Tensor(info))
        return found

    def _context(self):
        context = getattr(self._local, "context", None)
        if context is None:
            context, err = ctypes.c_void_p(), Err()
            check(self._lib.dyno_context_create(self._engine, self._pool, ctypes.byref(context), ctypes.byref(err)), err)
            self._local.context = context
            self._contexts.append(context)
        return context

    def _bind_inputs(self, feeds):
        unknown = set(feeds) - {t.name for t in self.inputs}
        if unknown:
            raise DynoError(f"no input is called {sorted(unknown)[0]!r}; there are {[t.name for t in self.inputs]}")
        arrays, keep = (Array * max(1, len(self.inputs)))(), []
        for slot, tensor in zip(arrays, self.inputs):
            if tensor.name not in feeds:
                raise DynoError(f"input {tensor.name!r} is missing")
            what = f"input {tensor.name!r}"
            given = _Given(what, feeds[tensor.name], is_written=False)
            given.check_type(what, tensor)
            keep.append(given.value)
            slot.data, slot.bytes, slot.location = given.address, given.bytes, given.location
            slot.dtype, slot.rank = tensor.onnx_dtype, len(given.shape)
            slot.dims[: slot.rank] = given.shape
        return arrays, keep

    def _place_output(self, slot, tensor, into):
        """Where an output shall be written: the caller's array, a new one, or None: the context's memory."""
        known = slot.rank >= 0 and tensor.dtype is not None
        shape = tuple(slot.dims[: slot.rank]) if known else None
        if tensor.name not in into:
            array = np.empty(shape, tensor.dtype) if known else None
            if known:
                slot.data, slot.bytes = array.ctypes.data, array.nbytes
            return array
        what = f"output {tensor.name!r}"
        if not known:
            raise DynoError(f"{what}: its shape is known only when it is made")
        given = _Given(what, into[tensor.name], is_written=True)
        given.check_type(what, tensor)
        if given.shape != shape:
            raise DynoError(f"{what}: has shape {given.shape}, wants {shape}")
        slot.data, slot.bytes, slot.location = given.address, given.bytes, given.location
        return into[tensor.name]

    def run(self, feeds, into=None):
        """Run on a dict of name -> array; returns a dict of name -> new array, or the one of `into`."""
        if not self._engine:
            raise DynoError("the engine is closed")
        into = into or {}
        unknown = set(into) - {t.name for t in self.outputs}
        if unknown:
            raise DynoError(f"no output is called {sorted(unknown)[0]!r}; there are {[t.name for t in self.outputs]}")
        context, err = self._context(), Err()
        inputs, keep = self._bind_inputs(feeds)
        outputs = (Array * max(1, len(self.outputs)))()
        check(self._lib.dyno_context_bind(context, inputs, outputs, ctypes.byref(err)), err)
        results = [self._place_output(slot, tensor, into) for slot, tensor in zip(outputs, self.outputs)]
        check(self._lib.dyno_context_run(context, inputs, outputs, ctypes.byref(err)), err)
        del keep
        return {t.name: self._result(a, s, t) for a, s, t in zip(results, outputs, self.outputs)}

    @staticmethod
    def _result(array, slot, tensor):
        if array is not None:
            return array
        shape = tuple(slot.dims[: slot.rank])  # known only now: copy out of the context's memory
        count = int(np.prod(shape, dtype=np.int64))
        raw = ctypes.string_at(slot.data, count * tensor.dtype.itemsize) if count else b""
        return np.frombuffer(raw, tensor.dtype).reshape(shape).copy()

    def close(self):
        """Release the file, the threads and every context; done by itself when collected."""
        for context in self._contexts:
            self._lib.dyno_context_destroy(context)
        self._contexts = []
        self._local = threading.local()
        if self._engine:
            self._lib.dyno_engine_close(self._engine)
        if self._pool:
            self._lib.dyno_threads_destroy(self._pool)
        self._engine = self._pool = None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def __del__(self):
        if getattr(self, "_engine", None):
            self.close()
