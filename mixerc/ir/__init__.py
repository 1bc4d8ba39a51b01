"""The checked mixer: sorts, expressions, primitives."""
