"""The stages of a run as plain functions over artifacts: features, fit, encode, decode, embed, score."""
