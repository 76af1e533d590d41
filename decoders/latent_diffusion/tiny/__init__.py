"""The small parts of the latent-diffusion decoders: MindEye2's small VAE, generator and image-text model, and
captions made readable for that generator."""
