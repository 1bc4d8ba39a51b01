"""Every stage of one compilation as readable text, numbered in the order of the pipeline."""

from pathlib import Path
from pprint import pformat

from mixerc.algebra.classify import classify
from mixerc.algebra.linear import Linear
from mixerc.backends.torch.emit import emit
from mixerc.compiler import front, parse, plan
from mixerc.ir.mixer import Mixer
from mixerc.ir.show import show
from mixerc.plan.show import show_plan
from mixerc.source import Source


def dump(source: Source, folder: Path, chunk: int | None) -> None:
    """Writes 0-source.mix, 1-syntax.txt, 2-mixer.mix, 3-algebra.txt, 4-plan.txt, 5-torch.py."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in stages(source, chunk).items():
        (folder / name).write_text(text, encoding="utf-8")


def stages(source: Source, chunk: int | None) -> dict[str, str]:
    """The text of each stage; the last two for mixers that have a fast form."""
    checked = front(source)
    texts = {
        "0-source.mix": source.text,
        "1-syntax.txt": pformat(parse(source.text, source.file), width=100) + "\n",
        "2-mixer.mix": show(checked),
    }
    if not isinstance(checked, Mixer):
        return texts
    algebra = classify(checked)
    texts["3-algebra.txt"] = pformat(algebra, width=100) + "\n"
    if algebra.linear is not None:
        texts |= _emitted(checked, algebra.linear, source, chunk)
    return texts


def _emitted(mixer: Mixer, linear: Linear, source: Source, chunk: int | None) -> dict[str, str]:
    made = plan(linear, chunk=chunk, logarithms=frozenset())
    text = emit(mixer, linear, made, source.text).text
    return {"4-plan.txt": show_plan(made), "5-torch.py": text}
