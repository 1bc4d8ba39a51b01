"""The chunk algebra as data."""
