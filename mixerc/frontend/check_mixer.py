"""A mixer's statements in order, and the core that they make."""

from typing import assert_never

from mixerc.diagnostics.span import Span
from mixerc.frontend import errors, errors_core, errors_layer, syntax
from mixerc.frontend.check_core import SumLine, check_branch, check_states
from mixerc.frontend.check_lines import belongs_to_core, check_output, check_update, check_value
from mixerc.frontend.check_sums import check_sums
from mixerc.frontend.declare import check_feature, check_input, check_param, define
from mixerc.frontend.scope import POISONED, Role, Scope, Symbol
from mixerc.ir.expr import Expr, Read
from mixerc.ir.mixer import Branch, Core, CoreLine, LayerLine, SizeDef, State, Value
from mixerc.ir.sorts import Time
from mixerc.ir.walk import walk

OUTSIDE = (Role.STREAM, Role.INPUT, Role.PARAM)


class MixerChecker:
    """Reads the statements of one mixer and keeps what each of them gives."""

    def __init__(self, scope: Scope, spec: syntax.Spec, sizes: tuple[SizeDef, ...]) -> None:
        self.scope = scope
        self.spec = spec
        self.sizes = sizes
        self.lines: list[LayerLine] = []
        self.branches: list[Branch] = []
        self.states: list[State] = []
        self.core_lines: list[CoreLine] = []
        self.output: Value | None = None
        self.y: Expr | None = None
        self.updates: dict[str, Span] = {}
        self.clauses = _top_clauses(spec)
        self.two_forms = any(isinstance(each, syntax.Recurrence) for each in spec.statements)
        self.branch_lines = [
            each for each in spec.statements if isinstance(each, syntax.BranchLine)
        ]

    def read(self, statement: syntax.Statement) -> None:
        """Check one statement."""
        match statement:
            case syntax.InputLine():
                self.lines.extend(check_input(self.scope, statement))
            case syntax.ParamLine():
                self.lines.extend(check_param(self.scope, statement))
            case syntax.Define():
                for declared in statement.declared:
                    self._define(statement, declared)
            case syntax.Feature():
                check_feature(self.scope, statement)
            case syntax.Clause():
                self._clause(statement)
            case syntax.StateLine():
                self._state(statement)
            case syntax.Recurrence():
                self._recurrence(statement)
            case syntax.BranchLine():
                self._branch(statement)
            case syntax.BlockLine():
                self.scope.report(errors_layer.foreign_line(statement.span, stack=False))
            case _:
                assert_never(statement)

    def _define(self, line: syntax.Define, declared: syntax.Declared) -> None:
        if declared.name == "y":
            if declared.axes or line.grouped is not None:
                self.scope.report(errors_core.output_bare(declared.span))
            elif self.y is not None:
                first = self.scope.places["y"]
                self.scope.report(errors.duplicate_name(declared.name_span, "y", first))
            self.y = check_output(self.scope, line.expr, "`y`", frozenset({"x", "o"}))
            return
        core = declared.name == "o" or belongs_to_core(self.scope, line.expr)
        if declared.name == "o" and self.clauses:
            if not self.two_forms and any(isinstance(c, syntax.Clause) for c in self.clauses):
                first = self.clauses[0].span
                self.scope.report(errors_core.implied_output(declared.name_span, first))
            return
        value = check_value(self.scope, line, declared, core=core)
        if declared.name == "o":
            self._output(line, declared, value)
        elif value is not None:
            (self.core_lines if core else self.lines).append(value)

    def _output(self, line: syntax.Define, declared: syntax.Declared, value: Value | None) -> None:
        if not belongs_to_core(self.scope, line.expr):
            self.scope.report(errors_core.stateless_output(declared.name_span))
        symbol = self.scope.symbols["o"]
        self.scope.symbols["o"] = Symbol(
            name="o", role=Role.CORE, sort=symbol.sort, span=symbol.span
        )
        self.output = value

    def _clause(self, line: syntax.Clause) -> None:
        """The clauses of one sum are checked together, where the last of them stands."""
        if line is self.clauses[-1]:
            self._sum()

    def _sum(self) -> None:
        span = self.clauses[0].span
        branch = check_branch(self.scope, "o", span, self.clauses)
        sort = POISONED
        if branch is not None:
            sort = branch.sort
            self.branches.append(branch)
            read = Read(name="o", time=Time.T, sort=sort, span=span)
            self.output = Value(name="o", sort=sort, expr=read, span=span)
        define(self.scope, Symbol(name="o", role=Role.CORE, sort=sort, span=span))

    def _state(self, line: syntax.StateLine) -> None:
        if line in self.clauses:
            if line is self.clauses[-1]:
                self._sum()
        elif self.branch_lines:
            self.scope.report(errors_core.two_forms(line.span, self.branch_lines[0].span))
        else:
            self.states.extend(check_states(self.scope, line))

    def _recurrence(self, line: syntax.Recurrence) -> None:
        others = [*self.clauses, *self.branch_lines]
        if others:
            self.scope.report(errors_core.two_forms(line.span, others[0].span))
            return
        if line.name in self.updates:
            first = self.updates[line.name]
            self.scope.report(errors_core.repeated_update(line.name_span, line.name, first))
            return
        update = check_update(self.scope, line)
        self.updates[line.name] = line.name_span
        if update is not None:
            self.core_lines.append(update)

    def _branch(self, line: syntax.BranchLine) -> None:
        if self.clauses:
            self.scope.report(errors_core.two_forms(line.span, self.clauses[0].span))
            return
        branch = check_branch(self.scope, line.name, line.span, line.clauses)
        if branch is not None:
            self.branches.append(branch)
        sort = POISONED if branch is None else branch.sort
        define(self.scope, Symbol(name=line.name, role=Role.BRANCH, sort=sort, span=line.span))

    def core(self) -> Core | None:
        """The whole core, once every statement was read; None after a mistake."""
        for state in self.states:
            if state.name not in self.updates:
                self.scope.report(errors_core.missing_update(state.span, state.name))
        check_sums(self.scope, self.spec, self.sizes, self.lines, tuple(self.branches))
        if "o" not in self.scope.places and not self.clauses:
            has_core = self.branches or self.states or self.branch_lines
            header = self.spec.header.span
            self.scope.report(
                errors_core.missing_output(header, ("o = …",))
                if has_core
                else errors_core.missing_core(header)
            )
        if self.output is None:
            return None
        lines = tuple(self.core_lines)
        return Core(
            branches=tuple(self.branches),
            states=tuple(self.states),
            lines=lines,
            output=self.output,
            inputs=self._inputs(lines, self.output),
        )

    def _inputs(self, lines: tuple[CoreLine, ...], output: Value) -> tuple[str, ...]:
        exprs = [line.expr for line in (*lines, output)]
        for branch in self.branches:
            parts = (branch.mask, branch.weight, branch.value, branch.decay, branch.normalize)
            exprs.extend(part for part in parts if part is not None)
        read = {node.name for expr in exprs for node in walk(expr) if isinstance(node, Read)}
        symbols = self.scope.symbols.values()
        outside = ["x"] if "x" in read else []
        for symbol in symbols:
            constant = symbol.role == Role.CONSTANT and symbol.learned
            if symbol.name in read and (symbol.role in OUTSIDE or constant):
                outside.append(symbol.name)
        return tuple(outside)


def _top_clauses(spec: syntax.Spec) -> tuple[SumLine, ...]:
    """The clauses of the one sum, with its state; empty where the core has another form."""
    clauses = [
        each
        for each in spec.statements
        if isinstance(each, syntax.Clause) or (isinstance(each, syntax.StateLine) and each.cache)
    ]
    if not clauses:
        return ()
    return tuple(
        each for each in spec.statements if isinstance(each, syntax.Clause | syntax.StateLine)
    )
