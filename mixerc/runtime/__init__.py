"""Generated modules at work: loading, caching, ops, states."""
