"""Judging data before any model sees them: alignment, reliability, pictures, sessions, power."""
