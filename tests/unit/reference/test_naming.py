"""Names of weights."""

from mixerc import naming
from mixerc.reference.steps import named_steps
from tests.unit.reference.small import mixer


def test_the_second_of_a_kind_is_numbered() -> None:
    names = naming.step_names("q", ["linear", "conv", "linear", "linear"])
    assert names == ("q_linear", "q_conv", "q_linear_2", "q_linear_3")


def test_paths() -> None:
    assert naming.use_path(3, "mlp", shared=False) == "3"
    assert naming.use_path(3, "mlp", shared=True) == "mlp"
    assert naming.within("3", naming.weight("mlp_linear")) == "3.mlp_linear.weight"


def test_steps_are_named_from_left_to_right() -> None:
    y = mixer("lru").y
    assert y is not None
    assert [name for _, name in named_steps("y", y)] == ["y_linear", "y_linear_2"]


def test_norms_without_gain_have_no_name() -> None:
    y = mixer("retnet").y
    assert y is not None
    assert [name for _, name in named_steps("y", y)] == ["y_linear"]
