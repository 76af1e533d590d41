"""Benchmarks: data and protocol; the simulated cortex."""
