"""Helpers are copied with what they use, and with nothing else."""

from mixerc.backends.module.inline import needed, used_names

SOURCE = '''"""A file of helpers."""

import math

LIMIT = 3


def a(x):
    """Uses b."""
    return b(x) + 1


@decorator
def b(x):
    return x + LIMIT


class C:
    """Alone."""


register(C, 1)


def unused():
    return C()
'''


def test_takes_what_is_used_with_decorators() -> None:
    assert needed(SOURCE, ["a"]) == (
        "LIMIT = 3\n\n\n"
        'def a(x):\n    """Uses b."""\n    return b(x) + 1\n\n\n'
        "@decorator\ndef b(x):\n    return x + LIMIT\n"
    )


def test_registrations_come_with_their_class() -> None:
    assert needed(SOURCE, ["C", "elsewhere"]) == 'class C:\n    """Alone."""\n\n\nregister(C, 1)\n'


def test_nothing_is_nothing() -> None:
    assert needed(SOURCE, []) == ""


def test_used_names() -> None:
    assert used_names("y = f(x.z, k=1)") == {"f", "x"}


def test_variables_of_functions_are_no_helpers() -> None:
    """One may be called as a helper is."""
    text = (
        "def run(a):\n    b = [c(a) for a in b_of(a)]\n    return b\n\n\ndef other():\n    a(1)\n"
    )
    assert used_names(text) == {"b_of", "c", "a"}
