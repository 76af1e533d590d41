"""Encoders of another laboratory, as a package of their own."""
