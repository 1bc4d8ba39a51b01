"""A stack finds the specs that its pipes use; a mixer stands for itself."""

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeAlias

from mixerc import resources
from mixerc.diagnostics.diagnostic import Diagnostic, SpecError
from mixerc.diagnostics.span import Span
from mixerc.frontend import errors_layer, syntax
from mixerc.frontend.rules import FUNCTIONS, RESERVED, STEPS

Load: TypeAlias = Callable[[str], syntax.Spec | None]
Step: TypeAlias = syntax.Name | syntax.Call

INHERITED = frozenset({"d_model", "heads"})
"""Sizes that a mixer takes from its stack where they are not given."""


def resolve(spec: syntax.Spec, load: Load) -> syntax.Spec:
    """The spec with those that it uses, found by name; raises SpecError with every mistake."""
    if not spec.header.stack:
        return spec
    diagnostics: list[Diagnostic] = []
    uses: dict[str, syntax.Spec] = {}
    for step in _foreign_steps(spec):
        try:
            used = uses.get(step.id) or _used(spec, step, load)
        except SpecError as error:
            diagnostics.extend(each for each in error.diagnostics if each not in diagnostics)
            continue
        diagnostics.extend(_sizes(step, used.header))
        uses[step.id] = resolve(used, load)
    if diagnostics:
        raise SpecError(tuple(diagnostics))
    return replace(spec, uses=tuple(uses.values()))


def _used(spec: syntax.Spec, step: Step, load: Load) -> syntax.Spec:
    """The mixer that a step names; raises SpecError where there is none."""
    if step.id == spec.header.name:
        raise SpecError((errors_layer.recursive_stack(_span(step), step.id),))
    used = _load(step.id, load)
    if used is None:
        known = [*STEPS, *FUNCTIONS, *_blocks(spec), *_shipped()]
        raise SpecError((errors_layer.unknown_mixer(_span(step), step.id, known),))
    if used.header.stack:
        recursive = _reaches(used, spec.header.name, load, set())
        mistake = errors_layer.recursive_stack if recursive else errors_layer.stack_in_stack
        name = spec.header.name if recursive else step.id
        raise SpecError((mistake(_span(step), name),))
    return used


def _load(name: str, load: Load) -> syntax.Spec | None:
    """A file whose spec has another name does not count."""
    used = load(name)
    return used if used is not None and used.header.name == name else None


def _shipped() -> list[str]:
    """The specs that come with the compiler, which a spelling mistake may have meant."""
    names = (entry.name for entry in resources.folder("specs").iterdir())
    return [name.removesuffix(".mix") for name in names if name.endswith(".mix")]


def _blocks(spec: syntax.Spec) -> list[str]:
    return [line.name for line in spec.statements if isinstance(line, syntax.BlockLine)]


def _foreign_steps(spec: syntax.Spec) -> Iterator[Step]:
    """The steps of a stack that are neither of the language nor its own blocks, as written."""
    own = RESERVED | {*_blocks(spec), *(name for name, _, _ in spec.header.sizes)}
    for step in _steps(spec.statements):
        if step.id not in own:
            yield step


def _steps(node: Any) -> Iterator[Step]:
    """What stands behind a `|` or in `repeat`, left to right."""
    if isinstance(node, tuple):
        for item in node:
            yield from _steps(item)
    elif isinstance(node, syntax.Pipe):
        yield from _steps(node.source)
        yield node.step
        if isinstance(node.step, syntax.Call):
            yield from _steps(node.step.arguments)
            if node.step.id == "repeat":
                repeated = node.step.arguments[1:]
                yield from (each for each in repeated if isinstance(each, Step))
    elif is_dataclass(node) and not isinstance(node, Span):
        for field in fields(node):
            yield from _steps(getattr(node, field.name))


def _span(step: Step) -> Span:
    return step.id_span if isinstance(step, syntax.Call) else step.span


def _reaches(spec: syntax.Spec, name: str, load: Load, seen: set[str]) -> bool:
    """True if a stack is the named one, or uses it, directly or through others."""
    if spec.header.name == name:
        return True
    seen.add(spec.header.name)
    for step in _foreign_steps(spec):
        if step.id == name:
            return True
        used = None if step.id in seen else _load(step.id, load)
        if used is not None and used.header.stack and _reaches(used, name, load, seen):
            return True
    return False


def _sizes(step: Step, header: syntax.Header) -> Iterator[Diagnostic]:
    """Sizes are given by name, each once, and those without a default must be."""
    known = {name: span for name, _, span in header.sizes}
    given: dict[str, Span] = {}
    if isinstance(step, syntax.Call):
        if step.axis:
            yield errors_layer.axis_bracket(step.id_span, step.id)
        for argument in step.arguments:
            yield errors_layer.positional_size(argument.span, step.id)
        for keyword in step.keywords:
            if keyword.name in given:
                yield errors_layer.repeated_argument(keyword.span, keyword.name)
            elif keyword.name not in {*known, "heads"}:
                sizes = (*known, "heads")
                yield errors_layer.unknown_size(keyword.span, step.id, keyword.name, sizes)
            given[keyword.name] = keyword.span
    for name, default, span in header.sizes:
        if default is None and name not in INHERITED | given.keys():
            yield errors_layer.missing_size(_span(step), step.id, name, span)
