"""From a mixer and its plan to the text of one self-contained file of plain PyTorch."""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jinja2

from mixerc import resources
from mixerc.algebra.linear import Linear
from mixerc.artifact import GeneratedModule
from mixerc.backends.torch.core import Core
from mixerc.backends.torch.inline import needed, used_names
from mixerc.backends.torch.layer import layer_text
from mixerc.backends.torch.programs import ProgramView
from mixerc.ir.mixer import Mixer
from mixerc.plan.plan import Plan

HELPERS = ("state.py", "steps.py", "chunks.py", "op.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleView:
    """Every slot of module.py.j2."""

    title: str
    spec: str
    helpers: str
    core: str
    layer: str


def emit(mixer: Mixer, linear: Linear, plan: Plan, spec: str) -> GeneratedModule:
    """The generated file; `spec` is the text that it was made from."""
    view = Core(mixer, linear, plan)
    core = _core(view)
    layer = ""
    if mixer.y is not None:
        layer = layer_text(mixer, plan.logarithms, view.options).strip()
    names = names_with(used_names(f"{core}\n{layer}"))
    helpers = "\n\n".join(
        text.strip() + "\n" for name in HELPERS if (text := needed(_template_text(name), names))
    )
    module = ModuleView(
        title=f"{mixer.name}: {' '.join(mixer.citation)}".rstrip(": "),
        spec=_indented(spec),
        helpers=helpers.rstrip(),
        core=core.rstrip(),
        layer=layer,
    )
    text = _tidy(_render("module.py.j2", module))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return GeneratedModule(mixer=mixer.name, target="torch", text=text, digest=digest)


def names_with(names: frozenset[str]) -> frozenset[str]:
    """The names used, and what the op boundary's own helpers use of the other files."""
    return names | used_names(needed(_template_text("op.py"), names))


def _core(core: Core) -> str:
    programs = "\n\n".join(_program(view) for view in core.programs())
    library = f"mixerc_{hashlib.sha256(programs.encode()).hexdigest()[:12]}"
    return _render("core.py.j2", core.view(library, programs.strip()))


def _program(view: ProgramView) -> str:
    kernels = [_render(f"{template}.py.j2", kernel) for template, kernel in view.kernels]
    return "\n\n".join((*kernels, _render("program.py.j2", view)))


def _indented(spec: str) -> str:
    lines = spec.replace("\\", "\\\\").replace('"""', "'''").strip().splitlines()
    return "\n".join(f"    {line}".rstrip() for line in lines)


def _tidy(text: str) -> str:
    """Imports that the file does not use are left out, and it ends with one newline."""
    body = text.split("\n\nimport ", 1)[1]
    for name, line in (
        ("math", "import math\n"),
        ("functional", "from torch.nn import functional\n"),
    ):
        if f"{name}." not in body.replace(line, ""):
            text = text.replace(line, "", 1)
    return re.sub(r"\n{4,}", "\n\n\n", f"{text.strip()}\n")


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(_template_text),
        undefined=jinja2.StrictUndefined,
        line_statement_prefix="#%",
        line_comment_prefix="##",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def _template_text(name: str) -> str:
    return resources.read("templates", "torch", name)


def _render(name: str, view: Any) -> str:
    return _environment().get_template(name).render(view=view)
