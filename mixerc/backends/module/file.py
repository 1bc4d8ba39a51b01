"""From a mixer and the text of its kernels to one self-contained file, for any target."""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import jinja2

from mixerc import resources
from mixerc.artifact import GeneratedModule
from mixerc.backends.module.inline import defined_names, needed, used_names
from mixerc.backends.module.layer import layer_text
from mixerc.backends.module.signature import Signature
from mixerc.ir.mixer import Mixer

SHARED = (("module", "elsewhere.py"), ("module", "state.py"), ("module", "steps.py"))
BOUNDARY = ("module", "op.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a target adds to a file: its name, what its file needs beside torch, its helpers (as
    files of the templates folder) and how it is imported."""

    name: str
    needs: str
    helpers: tuple[tuple[str, str], ...]
    imports: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleView:
    """Every slot of module.py.j2."""

    title: str
    spec: str
    needs: str
    imports: str
    helpers: str
    core: str
    layer: str


class FileCore(Protocol):
    """The core of a file: a template over the text of its kernels, and what a layer passes."""

    mixer: Mixer
    template: str
    signature: Signature

    @property
    def logarithms(self) -> frozenset[str]:
        """The decays that are given as logarithms."""

    def view(self, library: str, kernels: str) -> Any:
        """The template's view."""


def module_file(
    core: FileCore, kernels: str, spec: str, target: Target, *, fits: bool = True
) -> GeneratedModule:
    """The generated file; `spec` is the text that it was made from."""
    mixer = core.mixer
    library = f"mixerc_{hashlib.sha256(kernels.encode()).hexdigest()[:12]}"
    body = render("module", core.template, core.view(library, kernels.strip()))
    layer = ""
    if mixer.y is not None:
        signature = core.signature
        layer = layer_text(mixer, core.logarithms, signature.options, signature.mode).strip()
    own = defined_names(body)  # a helper of the same name is another core's
    names = _with_boundary(used_names(f"{body}\n{layer}") - own, target, own)
    files = (*SHARED, *target.helpers, BOUNDARY)
    helpers = "\n\n".join(
        text.strip() + "\n" for file in files if (text := needed(_template_text(*file), names))
    )
    module = ModuleView(
        title=f"{mixer.name}: {' '.join(mixer.citation)}".rstrip(": "),
        spec=_indented(spec),
        needs=target.needs,
        imports=_code(_template_text(*target.imports)) if target.imports else "",
        helpers=helpers.rstrip(),
        core=body.rstrip(),
        layer=layer,
    )
    text = _tidy(render("module", "module.py.j2", module))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return GeneratedModule(
        mixer=mixer.name, target=target.name, text=text, digest=digest, fits=fits
    )


def _code(text: str) -> str:
    """A helper file without the docstring at its head."""
    return text.split('"""\n', 1)[1].strip()


def _with_boundary(names: frozenset[str], target: Target, own: frozenset[str]) -> frozenset[str]:
    """The names used, and what the helpers that a file cannot do without use of each other; but
    for those that the core has itself."""
    found = names
    for file in (BOUNDARY, *target.helpers):
        found |= used_names(needed(_template_text(*file), found)) - own
    return found if found == names else _with_boundary(found, target, own)


def _indented(spec: str) -> str:
    lines = spec.replace("\\", "\\\\").replace('"""', "'''").strip().splitlines()
    return "\n".join(f"    {line}".rstrip() for line in lines)


def _tidy(text: str) -> str:
    """Imports that the file does not use are left out, and it ends with one newline."""
    body = text.split("\n\nimport ", 1)[1]
    for name, line in (
        ("ctypes", "import ctypes\n"),
        ("functools", "import functools\n"),
        ("json", "import json\n"),
        ("pathlib", "import pathlib\n"),
        ("threading", "import threading\n"),
        ("warnings", "import warnings\n"),
        ("math", "import math\n"),
        ("functional", "from torch.nn import functional\n"),
    ):
        if f"{name}." not in body.replace(line, ""):
            text = text.replace(line, "", 1)
    return re.sub(r"\n{4,}", "\n\n\n", f"{text.strip()}\n")


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda path: _template_text(*path.split("/"))),
        undefined=jinja2.StrictUndefined,
        line_statement_prefix="#%",
        line_comment_prefix="##",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def _template_text(folder: str, name: str) -> str:
    return resources.read("templates", folder, name)


def render(folder: str, name: str, view: Any) -> str:
    """A template of a folder, filled from its one view."""
    return _environment().get_template(f"{folder}/{name}").render(view=view)
