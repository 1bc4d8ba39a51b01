"""From the syntax tree to the checked mixer or stack: every name, axis, head and time is right.

`check` reads the statements in order, collects all mistakes, and raises them as one SpecError.
"""

from mixerc.diagnostics.diagnostic import Diagnostic, SpecError
from mixerc.diagnostics.span import Span
from mixerc.frontend import errors, errors_layer, syntax
from mixerc.frontend.check_lines import check_output
from mixerc.frontend.check_mixer import MixerChecker
from mixerc.frontend.check_sizes import check_sizes
from mixerc.frontend.declare import check_header, define
from mixerc.frontend.errors_core import missing_output
from mixerc.frontend.mentions import defined_names, mentions
from mixerc.frontend.rules import SETTABLE
from mixerc.frontend.scope import POISONED, Role, Scope, Symbol
from mixerc.ir.mixer import Block, Mixer, Stack

STACK_GIVEN = frozenset({"x", "x0"})
MISREAD = frozenset({"unknown-name", "unknown-axis", "unknown-function", "unknown-step"})


def check(spec: syntax.Spec) -> Mixer | Stack:
    """The checked spec; raises SpecError with every mistake, in the order of the text."""
    return _check_stack(spec) if spec.header.stack else _check_mixer(spec)


def _check_mixer(spec: syntax.Spec) -> Mixer:
    scope = Scope(name=spec.header.name, stack=False, places=defined_names(spec))
    sizes = check_header(scope, spec.header)
    checker = MixerChecker(scope, spec, sizes)
    for statement in spec.statements:
        checker.read(statement)
    core = checker.core()
    check_sizes(scope, sizes)
    _report_unused(scope, spec)
    _raise(scope.diagnostics)
    assert core is not None, "a core that cannot be built has a mistake"
    return Mixer(
        name=spec.header.name,
        citation=spec.header.citation,
        sizes=sizes,
        lines=tuple(checker.lines),
        core=core,
        y=checker.y,
        span=spec.header.span,
    )


def _check_stack(spec: syntax.Spec) -> Stack:
    headers = {used.header.name: used.header for used in spec.uses}
    scope = Scope(name=spec.header.name, stack=True, places=defined_names(spec), mixers=headers)
    sizes = check_header(scope, spec.header)
    blocks, y = [], None
    for statement in spec.statements:
        match statement:
            case syntax.BlockLine():
                blocks.append(_check_block(scope, statement))
            case syntax.Define(declared=(syntax.Declared(name="y", axes=()),), grouped=None):
                y = check_output(scope, statement.expr, "`y`", STACK_GIVEN)
            case _:
                scope.report(errors_layer.foreign_line(statement.span, stack=True))
    if "y" not in scope.places:
        scope.report(missing_output(spec.header.span, ("y = …",)))
    check_sizes(scope, sizes)
    _report_unused(scope, spec)
    mixers = _check_used(scope, spec)
    _raise(scope.diagnostics)
    assert y is not None, "a stack whose y cannot be built has a mistake"
    return Stack(
        name=spec.header.name,
        citation=spec.header.citation,
        sizes=sizes,
        blocks=tuple(block for block in blocks if block is not None),
        y=y,
        mixers=mixers,
        span=spec.header.span,
    )


def _check_block(scope: Scope, line: syntax.BlockLine) -> Block | None:
    expr = check_output(scope, line.expr, f"`{line.name}`", STACK_GIVEN)
    define(scope, Symbol(name=line.name, role=Role.BLOCK, sort=POISONED, span=line.span))
    if expr is None:
        return None
    return Block(name=line.name, shared=line.shared, expr=expr, span=line.span)


def _check_used(scope: Scope, spec: syntax.Spec) -> tuple[Mixer, ...]:
    """The specs that a stack uses; their mistakes are reported with its own."""
    mixers = []
    for used in spec.uses:
        try:
            checked = check(used)
        except SpecError as error:
            scope.diagnostics.extend(error.diagnostics)
            continue
        assert isinstance(checked, Mixer), "resolve lets a stack use mixers only"
        mixers.append(checked)
    return tuple(mixers)


def _report_unused(scope: Scope, spec: syntax.Spec) -> None:
    """A name is read at least once; `o` by y if there is one, `v` by a sum without `value`."""
    if any(each.slug in MISREAD for each in scope.diagnostics):
        return  # a misspelt name leaves the one that was meant unread
    read = {name for name, _ in mentions(spec)} | SETTABLE
    if _takes_v(spec):
        read.add("v")
    if "y" not in scope.places:
        read.add("o")
    known: dict[str, Span] = {**scope.sizes}
    for symbol in scope.symbols.values():
        if symbol.role != Role.STATE or not _sums(spec):
            known[symbol.name] = symbol.span
    for name, span in known.items():
        if name not in read:
            scope.report(errors.unused_name(span, name))


def _sums(spec: syntax.Spec) -> bool:
    """True where the core is written as sums, whose states nothing reads."""
    return any(isinstance(each, syntax.Clause | syntax.BranchLine) for each in spec.statements)


def _takes_v(spec: syntax.Spec) -> bool:
    groups: list[tuple[syntax.Statement, ...]] = [
        each.clauses for each in spec.statements if isinstance(each, syntax.BranchLine)
    ]
    if any(isinstance(each, syntax.Clause) for each in spec.statements):
        groups.append(spec.statements)
    return any(
        all(not (isinstance(each, syntax.Clause) and each.keyword == "value") for each in group)
        for group in groups
    )


def _raise(diagnostics: list[Diagnostic]) -> None:
    if diagnostics:
        ordered = sorted(
            diagnostics, key=lambda each: (each.span.file, each.span.line, each.span.column)
        )
        raise SpecError(tuple(ordered))
