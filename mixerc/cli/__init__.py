"""The command line: `mixerc check|explain|compile|verify|bench|new|fmt`.

Exit codes: 0, 1 for a bad spec or a failed law, 2 for usage. What needs torch is imported by the
commands that need it, through the table in `app`, so that check, explain and fmt never do.
"""

import sys

from mixerc.cli import judge, measure, write
from mixerc.cli.app import app

__all__ = ["app", "judge", "main", "measure", "write"]


def main() -> None:
    """The entry point of the `mixerc` script."""
    sys.exit(app())
