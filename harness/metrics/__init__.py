"""Scores, one concept a module; every metric is an entry point of the group harness.metrics."""
