"""What depends on the condition alone is computed once, with the same numbers to the last bit."""

from __future__ import annotations

import pytest
import torch
from public_mindeye2 import UNET

from harness.decoders.mindeye2 import refinement, unclip
from harness.decoders.mindeye2.conditions import conditions_once
from harness.decoders.mindeye2.prompts import PromptSizes


def unclip_unet():
    torch.manual_seed(0)
    given = {"encoder_hidden_states": torch.randn(4, 5, 12), "class_labels": torch.randn(4, 32)}
    return unclip.build_unet(UNET).eval(), given, ("class_embedding",)


def sdxl_unet():
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    pooled = PromptSizes().open.projected
    sizes = unclip.UNetSettings(**{**UNET.__dict__, "vector_dim": pooled + 6 * 8})
    config = refinement.sdxl_config(refinement.RefinerSizes(unet=sizes))
    added = {"text_embeds": torch.randn(4, pooled), "time_ids": torch.randn(4, 6)}
    given = {"encoder_hidden_states": torch.randn(4, 5, 12), "added_cond_kwargs": added}
    return UNet2DConditionModel(**config).eval(), given, ("add_embedding",)


@pytest.mark.parametrize("build", [unclip_unet, sdxl_unet])
@torch.no_grad()
def test_every_step_is_that_of_the_plain_network_and_the_condition_is_read_once(build):
    unet, given, embeddings = build()
    calls = []
    latents = [torch.randn(4, 4, 8, 8) for _ in range(3)]
    plain = [unet(x, 7 * k, **given).sample for k, x in enumerate(latents)]
    for name in embeddings:
        getattr(unet, name).linear_1.register_forward_hook(lambda *_: calls.append(1))
    with conditions_once(unet):
        once = [unet(x, 7 * k, **given).sample for k, x in enumerate(latents)]
        assert len(calls) == 1
        other = {**given, "encoder_hidden_states": given["encoder_hidden_states"] + 1}
        changed = unet(latents[0], 0, **other).sample
    assert all(torch.equal(a, b) for a, b in zip(plain, once))
    assert torch.equal(
        changed, unet(latents[0], 0, **other).sample
    )  # another condition is not the last one's
    assert not torch.equal(changed, plain[0])
    assert not any("forward" in vars(module) for module in unet.modules())  # nothing is left behind
    assert "get_aug_embed" not in vars(unet)
