"""Benchmarks: `python -m bench` against goals, `python -m bench.peers` beside others, `python -m bench.soak`."""
