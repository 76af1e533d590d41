"""What encoders share that are networks trained by gradient descent: data, stages, prediction, files."""

from .network import Batch, FittedSubject, NetworkEncoder, SeparateEncoder, Stage

__all__ = ["Batch", "FittedSubject", "NetworkEncoder", "SeparateEncoder", "Stage"]
