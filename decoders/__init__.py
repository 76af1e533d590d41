"""Decoders: fMRI -> images, one module or package per system."""
