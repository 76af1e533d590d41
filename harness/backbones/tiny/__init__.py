"""Small networks trained by this project on drawn scenes: one backbone and seven scoring networks.

``scenes@tiny`` conditions encoders; the others only score.  Each has an architecture, a seed and a
namespace of training scenes of its own, and none shares a scene with the benchmark.  Weights are fp16
safetensors beside the ``train_NAME.py`` that made them; the JSON log of each holds its seed, steps,
hashes and held-out scores.
"""
