"""Scores: a scorer for each kind of input, and one driver for what they have in common."""
