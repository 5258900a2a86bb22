"""Benchmarks: every figure is a ratio to a reference taken in the same run."""
