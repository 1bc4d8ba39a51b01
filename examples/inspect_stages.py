"""The stages of specs/gla.mix, and a part of the kernel made from it: what the README shows."""

from pathlib import Path

from mixerc.algebra.classify import classify
from mixerc.compiler import front, plan, read_source
from mixerc.diagnostics.diagnostic import SpecError
from mixerc.diagnostics.render import render
from mixerc.dump import stages
from mixerc.explain import explain_mixer
from mixerc.pipeline import Pipeline
from mixerc.plan.show import show_plan
from mixerc.request import Request
from mixerc.source import Source

ROOT = Path(__file__).parents[1]
SPEC = ROOT / "specs" / "gla.mix"
MISTAKE = ROOT / "tests" / "bad" / "check" / "axes-mismatch.mix"


def mistaken() -> str:
    """What `mixerc check` says of a spec with a mistake."""
    text = MISTAKE.read_text(encoding="utf-8")
    try:
        front(Source(text=text, file=MISTAKE.name, folder=None))
    except SpecError as error:
        return render(error.diagnostics, {MISTAKE.name: text})
    raise AssertionError(f"{MISTAKE.name} has no mistake")


def explained() -> str:
    """What `mixerc explain` says of it, up to the forms."""
    source = read_source(SPEC)
    mixer = front(source)
    text = explain_mixer(mixer, classify(mixer), {"K": 64.0, "V": 64.0})
    return text.split("\n\nState in fp32")[0]


def planned() -> str:
    """Its forward program for chunks of two tokens: small enough to read."""
    linear = classify(front(read_source(SPEC))).linear
    text = show_plan(plan(linear, chunk=2, logarithms=frozenset()))
    return "program forward" + text.split("program forward")[1].split("\n\nprogram")[0]


def generated() -> str:
    """The first kernel of the file for chunks of four tokens."""
    request = Request(source=read_source(SPEC), chunk=4, sizes={})
    text = stages(Pipeline(request))["5-torch.py"]
    return "def forward_1" + text.split("def forward_1")[1].split("\n\n\n")[0]


if __name__ == "__main__":
    print("\n\n".join((mistaken(), explained(), planned(), generated())))
