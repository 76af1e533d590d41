"""MindEye2's frozen and pretrained parts at the size of the embedded benchmark.

``generator/`` holds VAE and unCLIP UNet, ``shared-SUBJECT.safetensors`` the part that was trained on the
other subjects.  The ``train_`` scripts beside them made them; each JSON log holds seed, steps, hashes and
held-out scores.
"""
