"""Stand-in until ranges and masks are judged here."""


def check_sums(scope, spec, lines, branches):  # type: ignore[no-untyped-def]
    """Judges nothing."""
