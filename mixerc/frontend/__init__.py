"""From text to a checked mixer: parse, resolve, check; and back: format."""
