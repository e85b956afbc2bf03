"""Benchmarks: timings as ratios measured in one run, since machines are shared and noisy. `python -m bench --help`."""
