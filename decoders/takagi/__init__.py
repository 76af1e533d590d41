"""Takagi and Nishimoto."""
