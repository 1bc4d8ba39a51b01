"""Mistakes as data, and their one renderer."""
