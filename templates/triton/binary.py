"""Launches of kernels that were compiled beforehand, by the driver's own calls.

No compiler, and no Triton, is needed. The binaries lie beside the file, with kernels.json, which
says what each is for.
"""

import ctypes
import functools
import json
import pathlib
import threading

import torch

FOLDER = pathlib.Path(__file__).parent


def asked(kernel, arguments, dtype):
    """What a launch needs a binary for: the kernel, the dtype of products, types of pointers, and
    the fixed numbers."""
    parts = [str(dtype).removeprefix("torch.")]
    for name, value in sorted(arguments.items()):
        if isinstance(value, torch.Tensor):
            parts.append(f"{name}: {str(value.dtype).removeprefix('torch.')}")
        elif not isinstance(value, int | float | None):
            continue
        elif not passed(name):
            parts.append(f"{name}={value}")
    return f"{kernel.__name__}({', '.join(parts)})"


def passed(name):
    """Whether a number is given at the launch, and is not fixed in the binary."""
    return name in ("length", "HEADS", "tokens", "sequences") or name.endswith("_heads")


@functools.cache
def binaries():
    """The record of each binary, by what it is for."""
    record = json.loads((FOLDER / "kernels.json").read_text())
    return {one["asked"]: one for one in record}


@functools.cache
def bound(thread, device):
    """Gives a thread the device's context, by any call of CUDA's runtime."""
    torch.cuda.mem_get_info(device)


@functools.cache
def driver():
    """The driver's calls: load a module, get a function of it, let it use much shared memory
    (AMD's need no leave), launch it."""
    if torch.version.hip:
        library = ctypes.CDLL("libamdhip64.so")
        names = ("hipModuleLoadData", "hipModuleGetFunction", None, "hipModuleLaunchKernel")
    else:
        library = ctypes.CDLL("libcuda.so.1")
        names = ("cuModuleLoadData", "cuModuleGetFunction", "cuFuncSetAttribute", "cuLaunchKernel")
    return tuple(name and getattr(library, name) for name in names)


def done(code, one):
    """Raises RuntimeError for an error of the driver."""
    if code:
        raise RuntimeError(f"{one['file']}, made for {one['target']}: the driver's error {code}")


@functools.cache
def loaded(key, device):
    """A binary in the memory of a device, and its record."""
    one = binaries().get(key)
    if one is None:
        known = "\n  ".join(sorted(binaries()))
        raise RuntimeError(f"there is no binary for\n  {key}\nbut for\n  {known}")
    load, get, allow, _ = driver()
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    done(load(ctypes.byref(module), (FOLDER / one["file"]).read_bytes()), one)
    done(get(ctypes.byref(function), module, one["name"].encode()), one)
    if allow is not None and one["shared"] > 48 * 1024:
        done(allow(function, ctypes.c_int(8), ctypes.c_int(one["shared"])), one)
    return function, one


def start(kernel, programs, options, arguments, dtype):
    """Every launch of the file goes through here; nothing is tuned or compiled while it runs."""
    device = next(x.device for x in arguments.values() if isinstance(x, torch.Tensor))
    if device.type == "cpu":
        raise RuntimeError("these kernels are binaries for a GPU, and the tensors are on a CPU")
    with torch.cuda.device(device):
        bound(threading.get_ident(), device.index)
        function, one = loaded(asked(kernel, arguments, dtype), device.index)
        stream = torch.cuda.current_stream(device).cuda_stream
        launch(function, one, programs, stream, [arguments[name] for name in one["passed"]])


def launch(function, one, programs, stream, values):
    """A launch with the values that are passed; two more pointers are those of Triton's scratch."""
    held = [
        ctypes.c_void_p(x.data_ptr()) if isinstance(x, torch.Tensor) else ctypes.c_int32(x)
        for x in values
    ]
    held += [ctypes.c_void_p(), ctypes.c_void_p()]
    pointers = (ctypes.c_void_p * len(held))(*(ctypes.addressof(x) for x in held))
    sizes = [programs, 1, 1, one["threads"], 1, 1, one["shared"]]
    call = driver()[3]
    done(call(function, *map(ctypes.c_uint, sizes), ctypes.c_void_p(stream), pointers, None), one)
