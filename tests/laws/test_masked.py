"""Every law over masked attention and landmarks: each shipped spec, and random ones."""

import dataclasses
import re

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mixerc.diagnostics.diagnostic import SpecError
from mixerc.verify.carry import batch_law, carry_law, packed_law, pasts_law
from mixerc.verify.cases import Case, draw
from mixerc.verify.causality import rows_law, support_law
from mixerc.verify.emission import language_law
from mixerc.verify.layers import packed_layer_law, whole_law
from mixerc.verify.modes import logarithm_law, reference_law
from mixerc.verify.outcome import by_equations, differences, in_mode, outcome
from mixerc.verify.subject import Subject
from tests.laws.masked_specs import masked_specs
from tests.laws.subjects import MASKED, cases, check, every_law, subject, subject_of_text


@pytest.mark.parametrize("name", MASKED)
def test_every_law(name: str) -> None:
    """The suite of `mixerc verify --quick`: modes, splits, packing, gradients, layers."""
    tried = every_law(name)
    assert {"modes", "support", "precision", "layer", "packed"} <= tried


# Drawn as they come: shrinking a spec takes minutes.
some = settings(
    max_examples=25,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
# What the strategies cannot help to draw: a mask that leaves a token without keys at its sizes,
# and a value of which another one takes the place.
UNFIT = {"row-without-keys", "unused-name"}


@some
@given(text=masked_specs(), seed=st.integers(0, 2**16), data=st.data())
def test_random_specs(text: str, seed: int, data) -> None:
    """Masks, weights, decays, normalisers and values by chance, one sum or two that are joined."""
    try:
        of = subject_of_text(text)
    except SpecError as error:
        if {found.slug for found in error.diagnostics} <= UNFIT:
            return
        raise
    check(language_law(of))
    case = dataclasses.replace(data.draw(cases(of, 20)), seed=seed)
    case = dataclasses.replace(case, tokens=max(case.tokens, 1))
    check(reference_law(of, case))
    check(support_law(of, case, case.tokens // 2, of.modes[seed % len(of.modes)]))
    check(packed_law(of, dataclasses.replace(case, tokens=9), (0, 4, 4, 9), of.modes[-1]))
    if of.decays:
        check(logarithm_law(of, case))
    if of.carries:
        first, second = data.draw(st.sampled_from(of.modes)), data.draw(st.sampled_from(of.modes))
        check(carry_law(of, case, seed % (case.tokens + 1), first, second))
    if of.carries and not of.is_linear:
        check(pasts_law(of, dataclasses.replace(case, tokens=6, batch=3), second, first))
    if of.mixer.y is not None:
        check(whole_law(of, 1 + seed % 11, seed))
        check(packed_layer_law(of, (0, 3, 3, 8), seed))


def forgetting(decay: float) -> tuple[Subject, dict[str, torch.Tensor]]:
    """Forgetting attention with two gates of three at the value."""
    of = subject("forgetting_attention")
    inputs = draw(of, Case(tokens=70, heads=2, axes={"D": 3}, mild=True))
    f = inputs["f"]
    inputs["f"] = torch.where(torch.arange(f.numel()).view(f.shape) % 3 > 0, decay, f)
    return of, inputs


@pytest.mark.parametrize("decay", [0.0, 1e-30, 1 - 1e-7, 1.0])
def test_every_decay_is_extreme(decay: float) -> None:
    """Gradients at exactly 0 included: pairs that cross one reset have a slope there."""
    of, inputs = forgetting(decay)
    want = outcome(by_equations(of), inputs)
    for mode in of.modes:
        got = outcome(in_mode(of, mode), inputs)
        assert max(differences(got, want).values()) < 1e-10


@pytest.mark.parametrize("name", ["mistral", "streaming", "forgetting_attention", "documents"])
@pytest.mark.parametrize("seed", range(3))
def test_long_after_the_ring_has_wrapped(name: str, seed: int) -> None:
    """Blocks of any size in either mode, many windows long, against the whole at once."""
    of = subject(name)
    inputs = draw(of, Case(tokens=45, heads=2, axes={"D": 3, "G": 2}, seed=seed))
    whole, _ = in_mode(of, "parallel")(inputs, None)
    generator = torch.Generator().manual_seed(seed)
    state, made, at = None, [], 0
    while at < 45:
        count = int(torch.randint(1, 8, (), generator=generator))
        mode = of.modes[int(torch.randint(2, (), generator=generator))]
        block = {n: x[:, at : at + count] if n in of.streams else x for n, x in inputs.items()}
        o, state = in_mode(of, mode)(block, state)
        made.append(o)
        at += count
    torch.testing.assert_close(torch.cat(made, 1), whole, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["bigbird", "longformer", "prefix_lm", "dilated", "gqa"])
def test_rows_and_supports(name: str) -> None:
    """What a mask allows is just what gradients reach, at edges of tiles too."""
    of = subject(name)
    axes = {"D": 3, "G": 2}
    for tokens, t in ((130, 127), (129, 128), (40, 0)):
        check(support_law(of, Case(tokens=tokens, heads=2, axes=axes), t, "parallel"))
    check(rows_law(of, Case(batch=3, tokens=20, heads=2, axes=axes)))
    check(batch_law(of, Case(batch=3, tokens=20, heads=2, axes=axes)))


def test_random_specs_are_many() -> None:
    """The strategy reaches every part that it is made of."""
    seen: set[str] = set()

    @settings(max_examples=60, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
    @given(text=masked_specs())
    def collect(text: str) -> None:
        seen.update(
            re.findall(r"\b(branch|decay|normalize|value|mark|doc|link|layout|grouped)\b", text)
        )

    collect()
    assert {"branch", "decay", "normalize", "value", "grouped"} <= seen
