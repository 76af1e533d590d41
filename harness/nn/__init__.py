"""Network blocks and solvers shared by encoders and decoders."""
