"""The public generators, from generated files in the published layout."""

from __future__ import annotations

import pickle

import pytest
import torch
from public_diffusion import SIZES, build, write

from harness.api import DataError, WeightsMissing
from harness.backbones import weights
from harness.decoders.latent_diffusion import public
from harness.decoders.latent_diffusion.painter import Conditions, Drawing


@pytest.fixture(scope="module")
def parts():
    return build()


@pytest.fixture
def stored(parts, keep, merges, tmp_path):
    """The files, where ``harness prefetch`` puts them."""
    write(parts, tmp_path, keep)
    return tmp_path


def dual_pipeline(parts, mix: float):
    """diffusers' own pipeline made of copies of the same networks."""
    import copy

    from diffusers.pipelines.deprecated.versatile_diffusion.pipeline_versatile_diffusion_dual_guided import (
        VersatileDiffusionDualGuidedPipeline,
    )

    pipeline = VersatileDiffusionDualGuidedPipeline.__new__(VersatileDiffusionDualGuidedPipeline)
    object.__setattr__(pipeline, "image_unet", copy.deepcopy(parts.image_unet))
    object.__setattr__(pipeline, "text_unet", parts.text_unet)
    pipeline._convert_to_dual_attention()
    for module in pipeline.image_unet.modules():
        if type(module).__name__ == "DualTransformer2DModel":
            module.mix_ratio, module.condition_lengths = mix, [7, 5]
            module.transformer_index_for_condition = [1, 0]
            # diffusers' own UNet hands it a mask that this class does not take any more.
            old = module.forward
            module.forward = lambda *a, old=old, encoder_attention_mask=None, **more: old(*a, **more)
    return pipeline.image_unet.eval()


@torch.no_grad()
@pytest.mark.parametrize("mix", [0.0, 0.4, 1.0])
def test_words_and_image_are_mixed_as_in_diffusers_dual_pipeline(parts, stored, mix):
    painter = public.versatile(words=True, sizes=SIZES)
    torch.manual_seed(0)
    latents, words, image = torch.randn(2, 4, 8, 8), torch.randn(2, 7, 16), torch.randn(2, 5, 16)
    expected = dual_pipeline(parts, mix)(
        latents, 400, encoder_hidden_states=torch.cat([words, image], 1)
    ).sample
    ours = painter.noise(latents, 400, Conditions(image, words), words=mix)
    assert torch.allclose(ours, expected, atol=1e-5)
    assert expected.std() > 1e-3


@torch.no_grad()
def test_tokens_are_those_of_the_published_pipelines(parts, stored):
    painter = public.versatile(words=True, null="empty", sizes=SIZES)
    images = torch.rand(2, 3, 28, 28)
    tokens = painter.image_tokens(images)
    assert tokens.shape == (2, 5, 16)
    assert torch.allclose(tokens[:, 0].norm(dim=-1), torch.ones(2), atol=1e-5)
    captions = ["cat", "a cat on a cat"]
    ids = torch.tensor([line.ids for line in painter.modules[2]._words.encode_batch(captions)])
    states = parts.clip.text_model(input_ids=ids)
    pooled = parts.clip.text_projection(states.pooler_output)
    expected = parts.clip.text_projection(states.last_hidden_state) / pooled.norm(dim=-1)[:, None, None]
    assert torch.allclose(painter.word_tokens(captions), expected, atol=1e-5)
    stable = public.stable(SIZES)
    assert torch.allclose(stable.word_tokens(captions), states.last_hidden_state, atol=1e-5)
    null = painter.null(Conditions(tokens, expected), [torch.Generator()] * 2)
    assert torch.allclose(null.words[0], painter.word_tokens([""])[0])
    black = torch.zeros(1, 3, 28, 28)
    assert torch.allclose(null.image[1], painter.image_tokens(black)[0], atol=1e-5)


def test_pictures_are_drawn_at_the_published_layout(stored):
    drawing = Drawing("ddim", steps=4, guidance=2.0, strength=0.5)
    generators = [torch.Generator().manual_seed(k) for k in range(2)]
    painter = public.stable(SIZES)
    start = painter.encode(torch.rand(2, 3, 64, 64))
    words = painter.word_tokens(["cat", "cat cat"])
    pictures = painter.draw(Conditions(words=words), drawing=drawing, generators=generators, start=start)
    assert pictures.shape == (2, 3, 64, 64)
    image_alone = public.versatile(words=False, sizes=SIZES)
    tokens = image_alone.image_tokens(torch.rand(2, 3, 28, 28))
    assert image_alone.draw(Conditions(tokens), drawing=drawing, generators=generators).isfinite().all()
    with pytest.raises(DataError, match="opened for images alone"):
        image_alone.word_tokens(["cat"])


def test_without_files_one_line_says_what_to_type(monkeypatch, tmp_path):
    monkeypatch.setenv("HARNESS_WEIGHTS", str(tmp_path))
    lines = public.missing("versatile", words=True)
    assert len(lines) == 5
    assert all("harness prefetch" in line and "\n" not in line for line in lines)
    with pytest.raises(WeightsMissing, match="harness prefetch sd14-unet"):
        public.stable(SIZES)
    names = {*public.names("stable", words=True), *public.names("versatile", words=True)}
    assert names <= set(weights.WEIGHTS)
    assert set(weights.GROUPS["stable-diffusion-1.4"]) == set(public.names("stable", words=True))
    assert set(weights.GROUPS["versatile-diffusion"]) == set(public.names("versatile", words=True))


class Malicious:
    def __reduce__(self):
        return eval, ("(_ for _ in ()).throw(__import__('builtins').RuntimeError('executed'))",)


def spoiled(kind: str, folder):
    """A file for vd-image-unet that is not what it should be."""
    file = folder / "spoiled.bin"
    if kind == "malicious":
        file.write_bytes(pickle.dumps(Malicious()))
        return file, "not plain weights"
    torch.save(build().image_unet.state_dict() | ({"extra": torch.zeros(1)} if kind == "other" else {}), file)
    if kind == "truncated":
        file.write_bytes(file.read_bytes()[:-2000])
        return file, "not plain weights"
    return file, "vd-image-unet: lacks nothing; has 'extra'"


@pytest.mark.parametrize("kind", ["malicious", "truncated", "other"])
def test_a_spoiled_file_ends_in_one_line(stored, keep, tmp_path, kind):
    file, message = spoiled(kind, tmp_path)
    for path in (tmp_path / "weights").glob("vd-image-unet*"):
        path.unlink()
    keep("vd-image-unet", file)
    with pytest.raises((WeightsMissing, DataError), match=message) as caught:
        public.versatile(words=False, sizes=SIZES)
    assert "\n" not in str(caught.value)
