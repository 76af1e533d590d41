"""Feature backbones: images -> named layers."""
