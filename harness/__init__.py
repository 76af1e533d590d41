"""harness: end-to-end encoding-decoding evaluation for visual fMRI."""

__version__ = "0.1.0"
