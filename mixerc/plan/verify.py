"""What must hold of a plan before it is printed; a fault here is the compiler's, never the spec's.

1. Every argument of a node is made before it, in the kernel or handed to it.
2. Every axis of a node comes from where its kind says that it comes from.
3. A chunk map carries nothing; a scan's next states have the axes of its states.
4. What a kernel is handed was stored by an earlier one, or is a load or a boundary state.
5. Every output of a program is stored by one of its kernels.
"""

from mixerc.plan import nodes as n
from mixerc.plan.distribute import Kernel, Program, Schedule, is_given, is_scalar


def verify(program: Program) -> Program:
    """The program itself; raises AssertionError, naming the rule, where one is broken."""
    made: set[n.Node] = set()
    for kernel in program.kernels:
        _check_inputs(kernel, made)
        _check_body(kernel)
        _check_carries(kernel)
        made |= set(kernel.stores)
    for name, node in program.outputs:
        assert node in made or is_given(node), f"nothing stores the output {name}"
    return program


def _check_inputs(kernel: Kernel, made: set[n.Node]) -> None:
    for node in kernel.inputs:
        assert node in made or is_given(node), f"no kernel before makes {node}"


def _check_body(kernel: Kernel) -> None:
    known = {*kernel.inputs, *(carry for carry, _ in kernel.carries)}
    for node in kernel.body:
        for arg in node.args:
            assert arg in known or is_scalar(arg), f"{node} needs {arg} before it is made"
        _check_axes(node)
        known.add(node)
    if kernel.schedule in (Schedule.AFFINE_SCAN, Schedule.PEAK_SCAN):
        known.update(after for _, after in kernel.carries)
    for node in kernel.stores:
        assert node in known, f"{node} is stored and not made"


def _check_axes(node: n.Node) -> None:
    """Axes are unique, and an elementwise node or a product has those of its arguments."""
    assert len(set(node.axes)) == len(node.axes), f"{node} has an axis twice"
    joined = {axis for arg in node.args for axis in arg.axes}
    match node:
        case n.Map():
            assert set(node.axes) == joined, f"{node} has other axes than its arguments"
        case n.Contract(over=over):
            shared = set(node.args[0].axes) & set(node.args[1].axes)
            assert set(over) <= shared, f"{node} sums over an axis that one side lacks"
            assert set(node.axes) == joined - set(over), f"{node} loses or invents an axis"
        case n.Sum(over=over) | n.Max(over=over):
            assert set(node.axes) == joined - set(over), f"{node} loses or invents an axis"
        case n.Spread():
            assert set(node.axes) >= joined, f"{node} drops an axis"
        case _:
            pass


def _check_carries(kernel: Kernel) -> None:
    if kernel.schedule in (Schedule.CHUNK_MAP, Schedule.ROW_MAP):
        assert not kernel.carries, "a map carries a state"
    for carry, after in kernel.carries:
        assert set(after.axes) == set(carry.axes), f"{carry} changes its axes"
