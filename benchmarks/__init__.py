"""Benchmarks: `run.py` measures the whole daemon, the `stage_*.py` files single stages."""
