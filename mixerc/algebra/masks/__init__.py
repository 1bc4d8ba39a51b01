"""Masks, understood and not evaluated: tile classes, loop bounds, causality, caches, cost."""
