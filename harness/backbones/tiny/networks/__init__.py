"""The small networks themselves, which their backbones import when they are opened."""
