"""Mamba-2 in PyTorch against transformers' ``Mamba2Mixer``, forward and backward, as ratios in one run.

    python tests/speed/mamba.py [--batch 4] [--repeats 3]

Both have the same weights; the ways alternate and ratios are of medians of CPU time.  Lengths are those of
CHASMBrain at paper size: 256 patches in Stage 1 (width 512), 525 tokens in Stage 2 (width 256).
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
import torch
from transformers import Mamba2Config
from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

from harness.nn.mamba2 import Mamba2

SHAPES = {"stage 1": (512, 256), "stage 2": (256, 525)}
GOAL = 0.5
HEAD = 64


def layers(width: int) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Ours and theirs, of mamba-ssm's default sizes, with the same weights."""
    ours = Mamba2(width)
    config = Mamba2Config(
        hidden_size=width, state_size=128, num_heads=2 * width // HEAD, head_dim=HEAD, n_groups=1, expand=2,
        conv_kernel=4, chunk_size=256, num_hidden_layers=1, layer_norm_epsilon=1e-5, use_bias=False,
        use_conv_bias=True, vocab_size=8,
    )  # fmt: skip
    theirs = Mamba2Mixer(config, layer_idx=0)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def seconds(layer: torch.nn.Module, u: torch.Tensor, *, backward: bool) -> tuple[float, torch.Tensor]:
    """CPU seconds of one pass, and its output."""
    began = time.process_time()
    if backward:
        leaf = u.clone().requires_grad_()
        out = layer(leaf)
        out.square().mean().backward()
    else:
        with torch.inference_mode():
            out = layer(u)
    return time.process_time() - began, out.detach()


def main() -> int:
    """Print the ratios; 1 when the outputs differ."""
    parser = argparse.ArgumentParser(description="Mamba-2 against transformers")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    torch.manual_seed(0)
    worst = 0.0
    for name, (width, length) in SHAPES.items():
        pair, u = layers(width), torch.randn(asked.batch, length, width)
        for backward in (False, True):
            spent = np.zeros((asked.repeats + 1, 2))
            for repeat in range(asked.repeats + 1):  # the first is not counted
                outputs = []
                for k, layer in enumerate(pair):
                    spent[repeat, k], out = seconds(layer, u, backward=backward)
                    outputs.append(out)
            worst = max(worst, float((outputs[0] - outputs[1]).abs().max() / outputs[1].std()))
            ours, theirs = np.median(spent[1:], axis=0)
            what = "forward and backward" if backward else "forward"
            ratio = f"{ours:.3f} s against {theirs:.3f} s, ratio {ours / theirs:.2f} (goal {GOAL})"
            sys.stdout.write(f"{name}, {what}: {ratio}\n")
    sys.stdout.write(f"largest difference of outputs: {worst:.1e} SD\n")
    return int(worst > 1e-3)


if __name__ == "__main__":
    sys.exit(main())
