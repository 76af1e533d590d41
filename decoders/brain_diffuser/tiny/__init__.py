"""The small VDVAE, its sizes and its training."""
