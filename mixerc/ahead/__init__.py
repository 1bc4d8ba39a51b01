"""Kernels compiled ahead of time: a folder with a file, its binaries, and what they are for."""

from mixerc.ahead.bundle import aot as aot
