"""What decoders that draw with a latent diffusion model share: sampling, words and images as conditions."""
