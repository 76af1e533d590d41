"""How large a model is, part by part."""

from __future__ import annotations

from torch import nn


def parameter_table(module: nn.Module) -> dict[str, int]:
    """Part -> number of parameters; the parts are the direct children and share no parameter."""
    return {name: sum(p.numel() for p in child.parameters()) for name, child in module.named_children()}
