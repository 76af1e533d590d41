"""Defaults per plugin, published settings and numbers, as YAML."""
