"""What mixers check that take sequences as a whole."""


def check_whole(mode, state, in_place):
    """Raises ValueError for anything but whole sequences."""
    if mode not in ("parallel", "recurrent"):
        raise ValueError(f"mode is {mode!r}, and not 'parallel' or 'recurrent'")
    if mode == "recurrent" or in_place or state:
        raise ValueError(f"tokens cannot be taken one by one: {WITHOUT['recurrent']}")
