"""Where the grammar, the templates and the specs are.

In a checkout or an editable install they stand beside the package, in a wheel inside it (_data).
"""

from importlib.resources import files
from importlib.resources.abc import Traversable

FOLDERS = ("grammar", "specs", "templates")


def folder(name: str) -> Traversable:
    """One of FOLDERS; raises FileNotFoundError where the installation lacks it."""
    if name not in FOLDERS:
        raise ValueError(f"{name!r} is not one of {', '.join(FOLDERS)}")
    package = files("mixerc")
    installed = package / "_data" / name
    if installed.is_dir():
        return installed
    checkout = package.joinpath("..", name)
    if checkout.is_dir():
        return checkout
    raise FileNotFoundError(f"this installation of mixerc has no {name}/ folder")


def read(name: str, *parts: str) -> str:
    """The text of a file in one of FOLDERS: `read("grammar", "mix.lark")`."""
    return folder(name).joinpath(*parts).read_text(encoding="utf-8")
