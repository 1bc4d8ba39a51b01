"""The stages of specs/gla.mix, and a part of the kernel made from it: what the README shows."""

from pathlib import Path

from mixerc.algebra.classify import classify
from mixerc.compiler import front, plan, read_source
from mixerc.dump import stages
from mixerc.explain import explain_mixer
from mixerc.plan.show import show_plan

SPEC = Path(__file__).parents[1] / "specs" / "gla.mix"


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
    text = stages(read_source(SPEC), 4)["5-torch.py"]
    return "def forward_1" + text.split("def forward_1")[1].split("\n\n\n")[0]


if __name__ == "__main__":
    print("\n\n".join((explained(), planned(), generated())))
