"""Encoders: images -> fMRI, one module or package per system."""
