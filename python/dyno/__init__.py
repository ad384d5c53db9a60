"""Run Dyno engines from Python.

    import dyno
    e = dyno.Engine("m.engine")
    outs = e.run({"x": array})

A thin layer over the C API (dyno/engine.h) by ctypes.  Inputs that are C-contiguous and of the
engine's type are read in place; outputs are new numpy arrays that the engine writes into directly.
An Engine may be shared by threads: each thread gets a context of its own.
"""
import ctypes
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
            value = np.asarray(feeds[tensor.name])
            if value.dtype != tensor.dtype:
                raise DynoError(f"input {tensor.name!r}: is {value.dtype}, wants {tensor.dtype}")
            if value.ndim > 8:
                raise DynoError(f"input {tensor.name!r}: has {value.ndim} dimensions, at most 8")
            value = np.ascontiguousarray(value).reshape(value.shape)  # no copy when it is already so
            keep.append(value)
            slot.data, slot.bytes = value.ctypes.data, value.nbytes
            slot.dtype, slot.rank = tensor.onnx_dtype, value.ndim
            slot.dims[: value.ndim] = value.shape
        return arrays, keep

    def run(self, feeds):
        """Run on a dict of name -> array; returns a dict of name -> new array."""
        if not self._engine:
            raise DynoError("the engine is closed")
        context, err = self._context(), Err()
        inputs, keep = self._bind_inputs(feeds)
        outputs = (Array * max(1, len(self.outputs)))()
        check(self._lib.dyno_context_bind(context, inputs, outputs, ctypes.byref(err)), err)
        results = []
        for slot, tensor in zip(outputs, self.outputs):
            array = None
            if slot.rank >= 0 and tensor.dtype is not None:
                array = np.empty(tuple(slot.dims[: slot.rank]), tensor.dtype)
                slot.data, slot.bytes = array.ctypes.data, array.nbytes
            results.append(array)
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
