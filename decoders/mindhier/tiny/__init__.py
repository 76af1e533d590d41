"""MindHier's frozen and pretrained parts at the size of the embedded benchmark.

``vqvae`` turns pictures into codes and back, ``transformer`` draws codes from ``bigg@tiny``'s true hierarchy.
The ``train_`` scripts made them; each JSON log holds seed, steps, hashes and held-out scores.
"""
