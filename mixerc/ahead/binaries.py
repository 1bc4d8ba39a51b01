"""One kernel compiled for hardware that this machine need not have, and what its compiler reports:
registers, stack, shared memory, instructions of the matrix units.
"""

import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

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
    torch.int8: "*i8",
    torch.bool: "*i1",
}
_MATRIX = re.compile(r"wgmma\.mma|mma\.sync|tcgen05\.mma|v_mfma")


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary:
    """One kernel for one target: what it is `asked` for by, its file and the name in it, threads,
    names of the arguments that are `passed`, and what the compiler says (`tensor`:
    columns of tensor memory, of which an sm_100 has 512). `registers` and `stack`
    (bytes a thread) are -1 where the target's tools do not say."""

    asked: str
    name: str
    file: str
    target: str
    threads: int
    passed: tuple[str, ...]
    registers: int
    stack: int
    shared: int
    tensor: int
    matrix: int
    contractions: int


def compiled(
    kernel: Any, arguments: Mapping[str, Any], target: str, options: Mapping[str, Any]
) -> Any:
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
            if not parameter.do_not_specialize and value % 16 == 0:
                aligned[(index,)] = [["tt.divisibility", 16]]
    hip = TARGETS[target].backend == "hip"
    constants |= {"PREC": "ieee"} if hip else {}
    source = ASTSource(kernel, signature, constexprs=constants, attrs=aligned)
    return triton.compile(source, target=TARGETS[target], options=dict(options))


def written(found: Any, asked: str, target: str, passed: tuple[str, ...], place: Path) -> Binary:
    """The binary at a place (without the ending), and what is known of it."""
    kind = "cubin" if "cubin" in found.asm else "hsaco"
    file = place.with_name(f"{place.name}.{kind}")
    file.write_bytes(found.asm[kind])
    registers, stack = _resources(file) if kind == "cubin" else _of_amd(found.asm["amdgcn"])
    text = found.asm["ptx" if kind == "cubin" else "amdgcn"]
    scratch = getattr(found.metadata, "global_scratch_size", 0)
    assert not scratch, "no kernel asks for memory of its own"
    return Binary(
        asked=asked,
        name=found.metadata.name,
        file=file.name,
        target=target,
        threads=found.metadata.num_warps * TARGETS[target].warp_size,
        passed=passed,
        registers=registers,
        stack=stack,
        shared=found.metadata.shared,
        tensor=getattr(found.metadata, "tmem_size", 0) or 0,
        matrix=len(_MATRIX.findall(text)),
        contractions=found.asm["ttir"].count("tt.dot"),
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
