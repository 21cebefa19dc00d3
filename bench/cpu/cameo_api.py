"""Cameo through its C interface, as much of it as the benchmark needs."""
import ctypes
import pathlib

import numpy as np

_DTYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16,
           11: np.float64, 12: np.uint32, 13: np.uint64}


class _Tensor(ctypes.Structure):
    _fields_ = [("dtype", ctypes.c_int32), ("rank", ctypes.c_size_t), ("dims", ctypes.POINTER(ctypes.c_int64)), ("data", ctypes.c_void_p),
                ("bytes", ctypes.c_size_t)]


class _Info(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("type", ctypes.c_char_p), ("dtype", ctypes.c_int32), ("rank", ctypes.c_int32)]


class _ContextOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("threads", ctypes.c_int32)]


class Cameo:
    """A plan, loaded and ready to run with some threads."""

    def __init__(self, library, plan, threads):
        self._lib = ctypes.CDLL(str(library))
        self._lib.cameo_last_error.restype = ctypes.c_char_p
        self._lib.cameo_engine_num_inputs.restype = ctypes.c_size_t
        self._lib.cameo_engine_num_outputs.restype = ctypes.c_size_t
        handle = ctypes.c_void_p()
        self._call("cameo_plan_load", str(plan).encode(), ctypes.byref(handle))
        self._engine = ctypes.c_void_p()
        self._call("cameo_engine_load", handle, ctypes.byref(self._engine))
        self._context = ctypes.c_void_p()
        options = _ContextOptions(ctypes.sizeof(_ContextOptions), threads)
        self._call("cameo_context_create_with", self._engine, ctypes.byref(options), ctypes.byref(self._context))
        self._outputs = []
        for i in range(self._lib.cameo_engine_num_outputs(self._engine)):
            info = _Info()
            self._call("cameo_engine_output", self._engine, ctypes.c_size_t(i), ctypes.byref(info))
            self._outputs.append(info.name)

    def _call(self, name, *args):
        if getattr(self._lib, name)(*args) != 0:
            raise RuntimeError(f"{name}: {self._lib.cameo_last_error().decode()}")

    def run(self, feeds):
        """The outputs as arrays that share the context's memory until the next run."""
        for name, value in feeds.items():
            key = name.encode()
            dims = (ctypes.c_int64 * value.ndim)(*value.shape)
            self._call("cameo_context_set_input_shape", self._context, key, dims, ctypes.c_size_t(value.ndim))
            self._call("cameo_context_set_tensor_address", self._context, key, ctypes.c_void_p(value.ctypes.data), ctypes.c_size_t(value.nbytes))
        self._call("cameo_context_run", self._context)
        outputs = []
        for name in self._outputs:
            t = _Tensor()
            self._call("cameo_context_output", self._context, name, ctypes.byref(t))
            shape = tuple(t.dims[: t.rank])
            if t.bytes == 0:
                outputs.append(np.empty(shape, _DTYPES[t.dtype]))
                continue
            memory = (ctypes.c_char * t.bytes).from_address(t.data)
            outputs.append(np.frombuffer(memory, _DTYPES[t.dtype]).reshape(shape))
        return outputs


def library_in(build):
    """The shared library in a build folder."""
    for name in ("libcameo.so", "src/libcameo.so"):
        if (pathlib.Path(build) / name).exists():
            return pathlib.Path(build) / name
    raise SystemExit(f"no libcameo.so in {build}; build it with: cmake --build {build}")
