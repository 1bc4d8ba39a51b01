"""Where tensors of other devices go, in a file that serves them all."""

ELSEWHERE = {}
"""The `mix` of another file for a type of device; whoever loads this file fills it."""
