"""CLIP's towers of open_clip: equal to transformers' on random weights, read from both layouts, strictly."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from random_towers import random_tower

from harness.backbones import openclip
from harness.backbones.openclip import ImageSizes, TextSizes

IMAGE = ImageSizes(side=28, patch=14, width=16, depth=3, heads=2, expand=2.5, projected=8)
TEXT = TextSizes(words=60, length=9, width=16, depth=3, heads=2, projected=8)
START, END = 58, 59


def transformers_clip(activation):
    """transformers' whole CLIP with random weights, and its state under the names of the hub's files."""
    from transformers import CLIPConfig, CLIPModel

    blocks = {"num_hidden_layers": 3, "num_attention_heads": 2, "hidden_size": 16, "hidden_act": activation}
    image = {**blocks, "intermediate_size": 40, "image_size": 28, "patch_size": 14}
    text = {**blocks, "intermediate_size": 64, "vocab_size": 60, "max_position_embeddings": 9}
    ends = {"bos_token_id": START, "eos_token_id": END, "pad_token_id": END}
    config = CLIPConfig(vision_config=image, text_config={**text, **ends}, projection_dim=8)
    model = CLIPModel(config).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    for value in model.parameters():
        value.copy_(float(value.ndim == 1) + 0.4 * torch.randn(value.shape, generator=generator))
    return model, dict(model.state_dict())


def close(values, expected):
    """Within 1e-5 of the largest number, in float32."""
    assert expected.std(dim=0).max() > 0.01
    torch.testing.assert_close(values, expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())


def texts(*, filled_with):
    """Numbers of three texts, the last cut."""
    words = [[5, 7, 3], [4], [9, 8, 7, 6, 5, 4, 3]]
    return torch.tensor(
        [[START, *word_tokens, END] + [filled_with] * (7 - len(word_tokens)) for word_tokens in words]
    )


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_the_image_tower_equals_transformers(activation):
    model, state = transformers_clip(activation)
    sizes = dataclasses.replace(IMAGE, quick_gelu=activation == "quick_gelu")
    tower = openclip.with_weights(openclip.image_tower(sizes), openclip.image_state(state))
    pixels = torch.randn(3, 3, 28, 28, generator=torch.Generator().manual_seed(2))
    output = model.vision_model(pixel_values=pixels)
    close(tower(pixels), model.visual_projection(output.pooler_output))
    tower.output_tokens = True
    close(tower(pixels)[1], model.vision_model.post_layernorm(output.last_hidden_state)[:, 1:])


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_the_text_tower_equals_transformers(activation):
    model, state = transformers_clip(activation)
    sizes = dataclasses.replace(TEXT, quick_gelu=activation == "quick_gelu")
    tower = openclip.with_weights(openclip.text_tower(sizes), openclip.text_state(state))
    for filled_with in (END, 0):
        ids = texts(filled_with=filled_with)
        output = model.text_model(input_ids=ids, output_hidden_states=True)
        states, feature = openclip.word_states(tower, ids)
        close(states, output.hidden_states[-2])
        close(feature, model.text_projection(output.pooler_output))
        torch.testing.assert_close(feature, tower(ids))


def test_a_feature_does_not_see_what_follows_the_end():
    tower = random_tower(openclip.text_tower(TEXT))
    first, second = (tower(texts(filled_with=word)) for word in (0, 11))
    assert torch.equal(first, second)
    assert (first[0] - first[1]).abs().max() > 0.1


def test_without_a_projection_the_feature_is_the_state_after_the_last_norm():
    model, state = transformers_clip("quick_gelu")
    tower = openclip.text_tower(dataclasses.replace(TEXT, projected=None))
    openclip.with_weights(tower, openclip.text_state(state, projected=False))
    ids = texts(filled_with=0)
    close(tower(ids), model.text_model(input_ids=ids).pooler_output)


def test_halves_are_read_and_computed_in_float32():
    _, state = transformers_clip("quick_gelu")
    halves = {name: value.half() for name, value in state.items() if value.is_floating_point()}
    tower = openclip.with_weights(openclip.text_tower(TEXT), openclip.text_state(halves))
    assert {value.dtype for value in tower.parameters()} == {torch.float32}
    assert not any(value.requires_grad or value.is_meta for value in tower.parameters())
    assert not any(value.is_meta for value in tower.buffers())
    assert not tower.training


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("text_model.encoder.layers.0.self_attn.q_proj.bias", None),
        ("text_model.encoder.layers.0.self_attn.q_proj.more", torch.zeros(16)),
        ("text_model.encoder.layers.3.mlp.fc1.bias", torch.zeros(64)),
        ("text_model.embeddings.position_embedding.weight", torch.zeros(8, 16)),
        ("text_projection.weight", None),
    ],
)
def test_a_text_tower_takes_neither_more_nor_less_than_its_parameters(key, value):
    _, state = transformers_clip("quick_gelu")
    state = {k: v for k, v in state.items() if k != key} | ({} if value is None else {key: value})
    with pytest.raises(RuntimeError):
        openclip.with_weights(openclip.text_tower(TEXT), openclip.text_state(state))


@pytest.mark.parametrize(
    ("name", "image", "text"),
    [
        ("ViT-L-14-quickgelu", openclip.VIT_L_IMAGE, openclip.VIT_L_TEXT),
        ("ViT-B-32-quickgelu", None, openclip.VIT_B_TEXT),
        ("ViT-bigG-14", openclip.BIGG_IMAGE, openclip.BIGG_TEXT),
    ],
)
def test_sizes_are_those_of_open_clips_models(name, image, text):
    import open_clip

    config = open_clip.get_model_config(name)
    quick, projected = config.get("quick_gelu", False), config["embed_dim"]
    if image is not None:
        given = open_clip.CLIPVisionCfg(**config["vision_cfg"])
        heads = given.width // given.head_width
        assert image == ImageSizes(
            given.image_size, given.patch_size, given.width, given.layers, heads, given.mlp_ratio,
            projected, quick,
        )  # fmt: skip
    given = open_clip.CLIPTextCfg(**config["text_cfg"])
    assert given.mlp_ratio == 4
    assert text == TextSizes(
        given.vocab_size, given.context_length, given.width, given.layers, given.heads, projected, quick
    )


def test_towers_have_the_published_numbers_of_parameters():
    """OpenAI's ViT-L/14: 427,616,513 parameters, the temperature among them."""
    image, text = openclip.image_tower(openclip.VIT_L_IMAGE), openclip.text_tower(openclip.VIT_L_TEXT)
    counts = [sum(value.numel() for value in tower.parameters()) for tower in (image, text)]
    assert counts[0] == 303_966_208
    assert sum(counts) + 1 == 427_616_513
