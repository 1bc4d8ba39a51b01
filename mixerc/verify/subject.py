"""A mixer on trial: its text, its checked form, its algebra, and the compiled mixer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mixerc.algebra.classify import Algebra
from mixerc.algebra.linear import Linear
from mixerc.compiler import front
from mixerc.ir.expr import Apply, Expr, Number, Read, Size, TimeSum
from mixerc.ir.interval import point
from mixerc.ir.mixer import Mixer, Stack, Value
from mixerc.ir.ranges import environment, range_of
from mixerc.ir.sorts import Kind
from mixerc.ir.walk import core_expressions, walk
from mixerc.pipeline import Pipeline
from mixerc.reference.named import HEADS, group_of, head_dims, plain
from mixerc.reference.sources import source_of
from mixerc.request import Request
from mixerc.runtime.hardware import hardware
from mixerc.runtime.mixer import CompiledMixer
from mixerc.source import Source

FAST = ("parallel", "recurrent")
"""The fast modes that most mixers have."""
LONGEST = 8
SMALL, APART = 3, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """`sizes` are the header sizes that no shape of an input tells, small ones."""

    source: Source
    mixer: Mixer
    algebra: Algebra
    run: CompiledMixer
    sizes: Mapping[str, float]
    target: str = "torch"
    device: str = "cpu"

    @property
    def linear(self) -> Linear:
        """The linear form; only mixers of the linear classes have one."""
        assert self.algebra.linear is not None, f"{self.mixer.name} has no linear form"
        return self.algebra.linear

    @property
    def is_linear(self) -> bool:
        """Whether there is a linear form."""
        return self.algebra.linear is not None

    @property
    def states(self) -> tuple[tuple[str, tuple[str, ...], bool], ...]:
        """The states of a mixer that keeps no tokens: names, axes, whether they are complex."""
        if self.algebra.linear is not None:
            return tuple((s.name, s.axes, False) for s in self.algebra.linear.states)
        found = self.algebra.recurrence
        peak = found.peak.name if found is not None and found.peak is not None else ""
        states = () if found is None else tuple(s for s in found.states if s.name != peak)
        return tuple((s.name, s.sort.axes, s.sort.kind is Kind.COMPLEX) for s in states)

    @property
    def fast(self) -> bool:
        """Whether there are kernels."""
        return self.algebra.fast

    @property
    def modes(self) -> tuple[str, ...]:
        """The fast modes that are legal: a mask or a sum over all tokens may forbid steps."""
        legal = {mode.name for mode in self.algebra.modes if mode.legal}
        return tuple(mode for mode in ("parallel", "newton", "recurrent") if mode in legal)

    @property
    def carries(self) -> bool:
        """Whether a run may go on where another stopped."""
        return "recurrent" in self.modes

    def other(self, mode: str) -> str:
        """The other fast mode; the same where there is but one."""
        return next((other for other in self.modes if other != mode), mode)

    @property
    def streams(self) -> tuple[str, ...]:
        """The inputs that differ from token to token, without tables."""
        names = self.mixer.core.inputs
        return tuple(name for name in names if source_of(self.mixer, name).stream)

    @property
    def decays(self) -> tuple[str, ...]:
        """The inputs that are decays by themselves."""
        return self.algebra.decays

    @property
    def given_as_recurrence(self) -> bool:
        """Whether the reference carries the spec's own states."""
        return bool(self.mixer.core.states) and not self.mixer.core.branches


def subject_of(source: Source, target: str = "torch", device: str = "cpu") -> Subject | Stack:
    """The mixer of a spec, or the stack that it is; raises SpecError for mistakes. The compiled
    mixer runs on `device`."""
    mixer = front(source)
    if isinstance(mixer, Stack):
        return mixer
    sizes = _untold(mixer)
    kind = f"triton:{hardware()}" if target == "triton" else target
    pipeline = Pipeline(Request(source=source, chunk=None, sizes=sizes, target=kind))
    run = pipeline.compiled()
    assert isinstance(run, CompiledMixer), "a stack has no core"
    return Subject(
        source=source,
        mixer=mixer,
        algebra=pipeline.algebra,
        run=run,
        sizes=sizes,
        target=target,
        device=device,
    )


def told_sizes(mixer: Mixer) -> tuple[str, ...]:
    """The sizes that the shapes of the core's inputs tell, the number of heads aside."""
    found: dict[str, None] = {}
    for name in mixer.core.inputs:
        source = source_of(mixer, name)
        dims = (*head_dims(source.sort.heads), *source.sort.axes)
        found.update(dict.fromkeys(group_of(d) or plain(d) for d in dims if d != HEADS))
    return tuple(name for name in found if name.isidentifier() and name != "heads")


def _untold(mixer: Mixer) -> dict[str, float]:
    """Header sizes with a number as default that no shape tells: that number, but small.

    Those that differ stay in their order: a block of L with C of it marked is no block of C.
    """
    told = told_sizes(mixer)
    found = {
        size.name: float(size.default.value)
        for size in mixer.sizes
        if isinstance(size.default, Number) and size.name not in (*told, "heads")
    }
    order = sorted(set(found.values()))
    small = {name: min(x, SMALL + APART * order.index(x)) for name, x in found.items()}
    return {name: int(x) if x == int(x) else x for name, x in small.items()}


def fixed_heads(mixer: Mixer) -> int | None:
    """The number of heads where the header says it."""
    for size in mixer.sizes:
        if size.name == "heads" and isinstance(size.default, Number):
            return int(size.default.value)
    return None


def looks_ahead(subject: Subject) -> str:
    """Why a token may depend on later ones; empty where it does not."""
    mixer = subject.mixer
    if any(isinstance(e, TimeSum) for e in _core_nodes(mixer)):
        return "it sums over every token of the sequence"
    if any(isinstance(e, Size) and e.name == "T" for e in _core_nodes(mixer)):
        return "it reads the length of the sequence"
    for branch in mixer.core.branches:
        if not _implies_order(subject, branch.mask):
            return "its mask lets a token see later ones"
    return ""


def _core_nodes(mixer: Mixer) -> Iterator[Expr]:
    """Every node of the core and of the lines that it reads."""
    masks = (branch.mask for branch in mixer.core.branches)
    lines = (line for line in mixer.lines if isinstance(line, Value))
    read = (line.expr for line in lines if line.name in mixer.core.inputs)
    for root in (*core_expressions(mixer.core), *masks, *read):
        yield from walk(root)


def _implies_order(subject: Subject, mask: Expr) -> bool:
    """Whether the mask is false for every s > t of a short sequence, at the sizes on trial."""
    mixer = subject.mixer
    env = environment([size.name for size in mixer.sizes], mixer.lines)
    env |= {name: point(int(value)) for name, value in subject.sizes.items()}
    env["T"] = point(LONGEST)
    return not any(
        range_of(mask, {**env, "t": point(t), "s": point(s)}).high > 0
        for t in range(LONGEST)
        for s in range(t + 1, LONGEST)
    )


def divides_by_sums(algebra: Algebra) -> bool:
    """Whether the output divides by a sum: the sign of that has to be known then."""
    linear = algebra.linear
    if linear is None:
        return algebra.attention is not None
    return any(
        isinstance(e, Apply) and e.primitive == "div" and _reads_state(e.operands[1])
        for e in walk(linear.output)
    )


def _reads_state(expr: Expr) -> bool:
    return any(isinstance(e, Read) and e.name.startswith("#") for e in walk(expr))
