"""Laws that every compiled mixer obeys, as functions, and the report of `mixerc verify`."""

from mixerc.verify.suite import verify

__all__ = ["verify"]
