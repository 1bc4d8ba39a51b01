"""The laws that every compiled mixer obeys."""
