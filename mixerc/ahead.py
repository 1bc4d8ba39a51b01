"""Kernels compiled ahead of time, for hardware that this machine need not have.

A generated file is run once on small tensors with its launches written down instead of done;
each is then compiled as it would be on its first call, and the compiler's own report is read:
registers, stack, shared memory, instructions of the matrix units.
"""

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from mixerc.ir.expr import Number
from mixerc.ir.mixer import Mixer
from mixerc.pipeline import Pipeline
from mixerc.runtime.load import load_module

Launch = tuple[Any, int, dict[str, Any]]
"""A kernel, its warps of 32 threads, and its arguments by name."""

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
POINTERS = {
    torch.float64: "*fp64",
    torch.float32: "*fp32",
    torch.bfloat16: "*bf16",
    torch.float16: "*fp16",
    torch.int64: "*i64",
    torch.int32: "*i32",
    torch.bool: "*i1",
}
HEADS, TOKENS, LENGTH = 4, 70, 64
_MATRIX = re.compile(r"wgmma\.mma|mma\.sync|tcgen05\.mma|v_mfma")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """One kernel for one target; `registers` and `stack` (bytes a thread) are -1 where the
    target's tools do not say."""

    name: str
    target: str
    registers: int
    stack: int
    shared: int
    matrix: int
    contractions: int
    file: str


def aot(pipeline: Pipeline, folder: Path, target: str, dtype: str) -> tuple[Compiled, ...]:
    """Writes the binaries of a mixer's kernels for some hardware, and kernels.json about them.

    They are for the header sizes of the request (64 for an axis without one), inputs of `dtype`
    and 4 heads. Raises ValueError where Triton's kernels are interpreted in this process.
    """
    if os.environ.get("TRITON_INTERPRET") == "1":
        raise ValueError("kernels are interpreted where TRITON_INTERPRET=1 is set: unset it first")
    module = load_module(pipeline.layer_file())
    made: list[Compiled] = []
    texts: set[str] = set()
    inputs = _inputs(pipeline, module, getattr(torch, dtype))
    for kernel, warps, arguments in launches(module, inputs):
        options = vars(module)["OPTIONS"] | {"num_warps": warps * 32 // TARGETS[target].warp_size}
        found = compiled(kernel, arguments, target, options)
        if found.asm["ttir"] not in texts:
            texts.add(found.asm["ttir"])
            made.append(_written(found, kernel.__name__, target, folder, len(made)))
    record = [asdict(one) for one in made]
    (folder / "kernels.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return tuple(made)


def _inputs(pipeline: Pipeline, module: ModuleType, dtype: torch.dtype) -> dict[str, Any]:
    """Small inputs of a file's `mix`, of the shapes that a layer gives it."""
    mixer, sizes = pipeline.mixer, pipeline.request.sizes
    given: dict[str, Any] = {name: _length(mixer, name, sizes) for name in module.GIVEN}
    for line in mixer.lines:
        if line.name not in (*module.STREAMS, *module.PARAMS):
            continue
        copies = () if line.sort.heads.shared else (1 if line.sort.heads.group else HEADS,)
        lengths = (int(_length(mixer, axis.rstrip("'"), sizes)) for axis in line.sort.axes)
        shape = (*((1, TOKENS) if line.sort.times else ()), *copies, *lengths)
        name = f"log_{line.name}" if line.name in pipeline.layer_logarithms else line.name
        given[name] = torch.zeros(shape, dtype=dtype, requires_grad=True)
    return given


def _length(mixer: Mixer, name: str, sizes: Mapping[str, float]) -> float:
    """A header size: the one given, or a plain number of the header, or 64."""
    default = next((s.default for s in mixer.sizes if s.name == name), None)
    number = float(default.value) if isinstance(default, Number) else LENGTH
    return sizes.get(name, number)


def launches(module: ModuleType, inputs: Mapping[str, Any]) -> list[Launch]:
    """What a call would launch, forward and backward, in both modes."""
    found: list[Launch] = []
    real = vars(module)["start"]
    vars(module)["start"] = lambda kernel, programs, *launch: found.append((kernel, *launch))
    try:
        module.mix(**inputs, mode="parallel")[0].sum().backward()
        with torch.no_grad():
            module.mix(**inputs, mode="recurrent")
    finally:
        vars(module)["start"] = real
    return found


def compiled(kernel: Any, arguments: dict[str, Any], target: str, options: dict[str, Any]) -> Any:
    """A kernel as its launch with these arguments and options would compile it."""
    signature, constants, aligned = {}, {}, {}
    for index, parameter in enumerate(kernel.params):
        value = arguments[parameter.name]
        if parameter.is_constexpr or value is None:
            signature[parameter.name] = "constexpr"
            constants[parameter.name] = value
        elif isinstance(value, torch.Tensor):
            signature[parameter.name] = POINTERS[value.dtype]
            aligned[(index,)] = [["tt.divisibility", 16]]
        else:
            signature[parameter.name] = "i32"
    hip = TARGETS[target].backend == "hip"
    constants |= {"PREC": "ieee"} if hip else {}
    source = ASTSource(kernel, signature, constexprs=constants, attrs=aligned)
    return triton.compile(source, target=TARGETS[target], options=options)


def _written(found: Any, name: str, target: str, folder: Path, index: int) -> Compiled:
    """The binary in the folder, and what is known of it."""
    kind = "cubin" if "cubin" in found.asm else "hsaco"
    file = folder / f"{index:02}_{name}.{kind}"
    file.write_bytes(found.asm[kind])
    registers, stack = _resources(file) if kind == "cubin" else _of_amd(found.asm["amdgcn"])
    text = found.asm["ptx" if kind == "cubin" else "amdgcn"]
    return Compiled(
        name=name,
        target=target,
        registers=registers,
        stack=stack,
        shared=found.metadata.shared,
        matrix=len(_MATRIX.findall(text)),
        contractions=found.asm["ttir"].count("tt.dot"),
        file=file.name,
    )


def _resources(cubin: Path) -> tuple[int, int]:
    """Registers and stack bytes a thread, from NVIDIA's own tool, which comes with Triton."""
    tool = Path(str(triton.__file__)).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.TemporaryDirectory() as folder:
        command = [str(tool), "--dump-resource-usage", str(cubin)]
        text = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=folder
        ).stdout
    match = re.search(r"REG:(\d+) STACK:(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (-1, -1)


def _of_amd(assembly: str) -> tuple[int, int]:
    """Vector registers and scratch bytes a thread, as the assembly's metadata has them."""
    registers = re.search(r"\.vgpr_count:\s*(\d+)", assembly)
    scratch = re.search(r"\.private_segment_fixed_size:\s*(\d+)", assembly)
    return (int(registers[1]) if registers else -1, int(scratch[1]) if scratch else -1)
