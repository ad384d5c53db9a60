"""The C structures of dyno/engine.h and the way to libdyno.so."""
import ctypes
import os
import pathlib

_RANK = 8


class DynoError(RuntimeError):
    """What a call of Dyno failed with: one sentence."""


class Err(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("file", ctypes.c_char_p), ("line", ctypes.c_int),
                ("text", ctypes.c_char * 1024)]


class IoInfo(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("dtype", ctypes.c_int), ("rank", ctypes.c_int),
                ("min", ctypes.c_int64 * _RANK), ("opt", ctypes.c_int64 * _RANK),
                ("max", ctypes.c_int64 * _RANK)]


class Array(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("bytes", ctypes.c_size_t), ("dtype", ctypes.c_int),
                ("rank", ctypes.c_int), ("dims", ctypes.c_int64 * _RANK), ("location", ctypes.c_int)]


def _candidates():
    here = pathlib.Path(__file__).resolve().parent
    if "DYNO_LIBRARY" in os.environ:
        yield os.environ["DYNO_LIBRARY"]
    yield str(here / "libdyno.so")                                       # an installed package
    yield str(here.parent.parent / "build" / "release" / "libdyno.so")  # the source tree
    yield "libdyno.so"


_P = ctypes.c_void_p
_SIGNATURES = {
    "dyno_status_text": (ctypes.c_char_p, [ctypes.c_int]),
    "dyno_threads_create": (ctypes.c_int, [ctypes.c_int, ctypes.c_int, _P, _P]),
    "dyno_threads_destroy": (None, [_P]),
    "dyno_engine_open": (ctypes.c_int, [ctypes.c_char_p, _P, _P]),
    "dyno_engine_close": (None, [_P]),
    "dyno_engine_warning": (ctypes.c_char_p, [_P]),
    "dyno_engine_input_count": (ctypes.c_uint32, [_P]),
    "dyno_engine_output_count": (ctypes.c_uint32, [_P]),
    "dyno_engine_input": (None, [_P, ctypes.c_uint32, _P]),
    "dyno_engine_output": (None, [_P, ctypes.c_uint32, _P]),
    "dyno_context_create": (ctypes.c_int, [_P, _P, _P, _P]),
    "dyno_context_destroy": (None, [_P]),
    "dyno_context_bind": (ctypes.c_int, [_P, _P, _P, _P]),
    "dyno_context_run": (ctypes.c_int, [_P, _P, _P, _P]),
}
_loaded = None


def library():
    """libdyno.so, loaded once: $DYNO_LIBRARY, beside this package, the build tree, the system."""
    global _loaded
    if _loaded is not None:
        return _loaded
    tried = []
    for path in _candidates():
        try:
            lib = ctypes.CDLL(path)
        except OSError as error:
            tried.append(str(error))
            continue
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(lib, name)
            function.restype, function.argtypes = result, arguments
        _loaded = lib
        return lib
    raise DynoError("libdyno.so was not found: " + "; ".join(tried))


def check(status, err):
    if status != 0:
        raise DynoError(err.text.decode(errors="replace") or library().dyno_status_text(status).decode())
