"""The meaning of a mixer, token by token, over any number domain."""
