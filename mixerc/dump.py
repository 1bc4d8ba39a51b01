"""Every stage of one compilation as readable text, numbered in the order of the pipeline."""

from pprint import pformat

from mixerc.compiler import parse
from mixerc.ir.mixer import Mixer
from mixerc.ir.show import show
from mixerc.pipeline import Pipeline
from mixerc.plan.plan import Plan
from mixerc.plan.recurrence import RecurrencePlan
from mixerc.plan.show import show_plan, show_sweeps
from mixerc.plan.sweep import SweepPlan


def stages(pipeline: Pipeline) -> dict[str, str]:
    """0-source.mix, 1-syntax.txt, 2-mixer.mix, 3-algebra.txt, 4-plan.txt, 5-torch.py.

    The last two for mixers that have a fast form, the last but three for stacks. 5-torch.py is
    the file that is compiled, and 4-plan.txt the plan that it was printed from.
    """
    source = pipeline.request.source
    texts = {
        "0-source.mix": source.text,
        "1-syntax.txt": pformat(parse(source.text, source.file), width=100) + "\n",
        "2-mixer.mix": show(pipeline.spec),
    }
    if not isinstance(pipeline.spec, Mixer):
        return texts
    texts["3-algebra.txt"] = pformat(pipeline.algebra, width=100) + "\n"
    if pipeline.algebra.fast:
        texts |= _emitted(pipeline)
    return texts


def _emitted(pipeline: Pipeline) -> dict[str, str]:
    made, _ = pipeline.lowered(pipeline.request.chunk, pipeline.layer_logarithms)
    name = pipeline.request.target.replace(":", "-")
    text = pipeline.layer_file().read_text(encoding="utf-8")
    shown = {} if made is None else {"4-plan.txt": _shown(made)}
    return {**shown, f"5-{name}.py": text}


def _shown(plan: Plan | SweepPlan | RecurrencePlan) -> str:
    return show_sweeps(plan) if isinstance(plan, SweepPlan) else show_plan(plan)
