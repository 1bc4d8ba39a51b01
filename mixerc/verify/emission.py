"""The emitted file: the same in every process, and valid Python. The spec: shown and formatted."""

import ast
import os
import subprocess
import sys
from dataclasses import replace

from mixerc.compiler import front
from mixerc.frontend.format import format_spec
from mixerc.frontend.parser import parse
from mixerc.ir.mixer import Mixer, Stack
from mixerc.ir.show import show
from mixerc.pipeline import Pipeline
from mixerc.request import Request
from mixerc.source import Source
from mixerc.verify.result import Result, holds
from mixerc.verify.subject import Subject

CHUNK = 16
SEEDS = ("1", "2")

CHILD = """
import sys
from mixerc.pipeline import Pipeline
from mixerc.request import Request
from mixerc.source import Source
source = Source(text=sys.stdin.read(), file="<text>", folder=None)
chunk = int(sys.argv[1]) if sys.argv[1] else None
request = Request(source=source, chunk=chunk, sizes={}, target=sys.argv[2])
sys.stdout.write(Pipeline(request).lowered(request.chunk, frozenset())[1].text)
"""


def language_law(subject: Subject) -> Result:
    """The shown mixer checks to the same mixer; formatting changes no meaning and is settled."""
    return holds("language", _misread(subject.source, subject.mixer))


def stack_law(source: Source, stack: Stack) -> Result:
    """The same of a stack."""
    return holds("language", _misread(source, stack))


def _misread(source: Source, checked: Mixer | Stack) -> list[str]:
    failures = []
    if front(replace(source, text=show(checked))) != checked:
        failures.append("the shown spec is another")
    once = format_spec(parse(source.text, source.file))
    if format_spec(parse(once, source.file)) != once:
        failures.append("formatting twice gives another text")
    if _ordered(front(replace(source, text=once))) != _ordered(checked):
        failures.append("formatting changes the meaning")
    return failures


def _ordered(spec: Mixer | Stack) -> Mixer | Stack:
    """The same spec in an order of its own: formatting may move parameters above streams."""
    if isinstance(spec, Stack):
        return spec
    lines = tuple(sorted(spec.lines, key=lambda line: line.name))
    core = replace(spec.core, inputs=tuple(sorted(spec.core.inputs)))
    return replace(spec, lines=lines, core=core)


def emission_law(subject: Subject) -> Result:
    """Processes with other hash seeds emit the same text as this one, and it parses."""
    text = subject.source.text
    source = replace(subject.source, file="<text>")
    chunk = CHUNK if subject.algebra.linear is not None else None
    request = Request(source=source, chunk=chunk, sizes={}, target=subject.target)
    own = Pipeline(request).lowered(chunk, frozenset())[1].text
    ast.parse(own)
    others = {_in_child(text, subject.target, chunk, seed) for seed in SEEDS}
    return holds("emission", [] if others == {own} else ["the text depends on the process"])


def _in_child(text: str, target: str, chunk: int | None, seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(chunk or ""), target],
        input=text,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": seed},
    )
    return done.stdout
