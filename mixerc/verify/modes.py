"""Parallel = recurrent = reference: outputs, states, and gradients of all that goes in."""

from torch import Tensor

from mixerc.verify.cases import Case, as_logarithms, draw
from mixerc.verify.outcome import (
    Outcome,
    Run,
    Tensors,
    by_equations,
    differences,
    in_mode,
    outcome,
    prefixed,
)
from mixerc.verify.result import Result, distance, judged
from mixerc.verify.states import initial_states, state_names
from mixerc.verify.subject import Subject


def reference_law(subject: Subject, case: Case) -> Result:
    """Every fast mode against the equations, which share nothing with the plan."""
    inputs = draw(subject, case)
    finals = state_names(subject) if subject.given_as_recurrence else ()
    want = outcome(in_mode(subject, "reference"), inputs, finals=finals)
    errors: dict[str, float] = {}
    for mode in subject.modes:
        got = outcome(in_mode(subject, mode), inputs, finals=finals)
        errors |= prefixed(mode, differences(got, want))
    return judged("modes", errors, where=case.where)


def states_law(subject: Subject, case: Case) -> Result:
    """From a first state to a final one, with gradients into one and out of the other.

    Of mixers with states: what others keep are tokens, which `pasts_law` hands over.
    """
    want = _from_state(subject, case)
    inputs, first = draw(subject, case), initial_states(subject, case)
    errors: dict[str, float] = {}
    for mode in subject.modes:
        got = outcome(in_mode(subject, mode), inputs, first, finals=state_names(subject))
        errors |= prefixed(mode, differences(got, want))
    return judged("states", errors, where=case.where)


def chunk_law(subject: Subject, case: Case, chunk: int) -> Result:
    """Any chunk length gives the same."""
    inputs, first = draw(subject, case), initial_states(subject, case)
    run = in_mode(subject, "parallel", chunk=chunk)
    got = outcome(run, inputs, first, finals=state_names(subject))
    errors = differences(got, _from_state(subject, case))
    return judged("chunks", errors, where=f"chunk {chunk}, {case.where}")


def logarithm_law(subject: Subject, case: Case) -> Result:
    """Decays given as logarithms, which may be minus infinity.

    What a cache holds of them are logarithms too: masked sums go without a first state.
    """
    inputs = as_logarithms(subject, draw(subject, case))
    first = initial_states(subject, case) if subject.states else None
    finals = state_names(subject) if subject.states else ()
    want = outcome(_exponentiated(subject), inputs, first, finals=finals)
    errors: dict[str, float] = {}
    for mode in subject.modes:
        got = outcome(in_mode(subject, mode), inputs, first, finals=finals)
        errors |= prefixed(mode, differences(got, want))
    return judged("logarithms", errors, where=case.where)


def check_law(subject: Subject, case: Case) -> Result:
    """The check of a call's values accepts what the declared ranges allow."""
    inputs, mode = draw(subject, case), subject.modes[-1]
    plain, _ = in_mode(subject, mode)(inputs, None)
    checked, _ = in_mode(subject, mode, check=True)(inputs, None)
    return judged("check", {"o": distance(checked, plain)}, where=case.where)


def _from_state(subject: Subject, case: Case) -> Outcome:
    inputs, first = draw(subject, case), initial_states(subject, case)
    return outcome(by_equations(subject), inputs, first, finals=state_names(subject))


def _exponentiated(subject: Subject) -> Run:
    """The equations, from logarithms."""
    plain = by_equations(subject)

    def run(inputs: Tensors, state: Tensors | None) -> tuple[Tensor, Tensors]:
        given = {}
        for name, x in inputs.items():
            bare = name.removeprefix("log_")
            given[bare if bare in subject.decays else name] = x.exp() if bare != name else x
        return plain(given, state)

    return run
