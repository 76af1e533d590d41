"""Refinement of `mindeye2`: a small SDXL in the public layout against diffusers' own pipeline."""

from __future__ import annotations

import dataclasses
import functools
import shutil

import numpy as np
import pytest
import torch
from plain_features import PlainFeatures
from public_captioner import CAPTIONED, write_captioner
from public_mindeye2 import QUICK, VAE, sgm_unet_names, subject, to_sgm_names

from harness.api import ConfigError, DataError, WeightsMissing
from harness.backbones import openclip
from harness.backbones.texts import ClipL14Text, clip_tokenizer
from harness.decoders.drawing import image_generators
from harness.decoders.mindeye2 import (
    MindEye2Decoder,
    inference,
    prompts,
    public,
    refinement,
    unclip,
)
from harness.decoders.mindeye2.generator import build_vae
from harness.decoders.mindeye2.params import MindEye2Params

CLIP = {
    "hidden_size": 8,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "projection_dim": 8,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
OPEN = dataclasses.replace(openclip.BIGG_TEXT, width=12, depth=3, heads=2, projected=10)
UNET = unclip.UNetSettings(
    channels=32, multipliers=(1, 2), blocks=1, depth=(1, 1), attention_at=(2,), head_channels=16,
    token_dim=20, vector_dim=10 + 6 * 8,
)  # fmt: skip
SIZES = refinement.RefinerSizes(
    UNET, VAE, prompts.PromptSizes(openclip.TextSizes(width=8, depth=3, heads=2), OPEN)
)
HOW = refinement.RefineSettings(picture=16, target=24, seen=12)
ENDS = {"bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407}
TEXTS = ("a cat", "cats on a mat", "")


@dataclasses.dataclass(frozen=True)
class Towers:
    """transformers' own two text towers, and their weights under the names of published files."""

    clip: torch.nn.Module
    open: torch.nn.Module

    @classmethod
    def seeded(cls, seed):
        from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

        torch.manual_seed(seed)
        wide = {"hidden_size": 12, "intermediate_size": 48, "hidden_act": "gelu", "projection_dim": 10}
        towers = (
            CLIPTextModel(CLIPTextConfig(**CLIP, **ENDS)).eval(),
            CLIPTextModelWithProjection(CLIPTextConfig(**CLIP | wide, **ENDS)).eval(),
        )
        for tower in towers:
            for value in tower.parameters():
                torch.nn.init.normal_(value, mean=float(value.ndim == 1) * 0.3, std=0.4)
                value.data = value.data.half().float()  # as stored
        return cls(*towers)

    def clip_state(self):
        plain = {name.removeprefix("text_model."): value for name, value in self.clip.state_dict().items()}
        state = {f"text_model.{name}": value for name, value in plain.items()}
        return state | {"text_model.embeddings.position_ids": torch.arange(77)[None]}

    def open_state(self):
        """OpenCLIP's names, written out by hand."""
        own = {name.removeprefix("text_model."): value for name, value in self.open.state_dict().items()}
        state = {
            "token_embedding.weight": own["embeddings.token_embedding.weight"],
            "positional_embedding": own["embeddings.position_embedding.weight"],
            "text_projection": own["text_projection.weight"].T.contiguous(),
            "logit_scale": torch.ones(()),
        }
        for kind in ("weight", "bias"):
            state[f"ln_final.{kind}"] = own[f"final_layer_norm.{kind}"]
            for layer in range(3):
                theirs, ours = f"encoder.layers.{layer}.", f"transformer.resblocks.{layer}."
                joined = [own[f"{theirs}self_attn.{part}_proj.{kind}"] for part in "qkv"]
                state[f"{ours}attn.in_proj_{kind}"] = torch.cat(joined)
                for here, there in (
                    ("attn.out_proj", "self_attn.out_proj"),
                    ("ln_1", "layer_norm1"),
                    ("ln_2", "layer_norm2"),
                    ("mlp.c_fc", "mlp.fc1"),
                    ("mlp.c_proj", "mlp.fc2"),
                ):
                    state[f"{ours}{here}.{kind}"] = own[f"{theirs}{there}.{kind}"]
        return state

    @torch.no_grad()
    def embedded(self, words):
        """(states, pooled) as diffusers' SDXL pipeline makes them; `words` lists of word numbers."""
        ends = [[49406, *tokens, 49407][:76] + [49407] * (len(tokens) > 74) for tokens in words]
        ids = [torch.tensor([row + [fill] * (77 - len(row)) for row in ends]) for fill in (49407, 0)]
        first = self.clip(ids[0], output_hidden_states=True).hidden_states[-2]
        second = self.open(ids[1], output_hidden_states=True)
        return torch.cat([first, second.hidden_states[-2]], dim=-1), second.text_embeds


@pytest.fixture(scope="module")
def stock():
    return Towers.seeded(1)


@pytest.fixture(scope="module")
def tuned():
    return Towers.seeded(2)


@pytest.fixture(scope="module")
def networks():
    """SDXL's UNet and VAE of diffusers, small; weights as they are stored, in half precision."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(4)
    pair = UNet2DConditionModel(**refinement.sdxl_config(SIZES)).eval(), build_vae(VAE).eval()
    for network in pair:
        for value in network.parameters():
            value.data = value.data.half().float()
    return pair


@pytest.fixture(scope="module")
def checkpoint(networks, tuned, tmp_path_factory):
    """All of it in one file, as sgm writes SDXL."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
    from safetensors.torch import save_file

    unet, vae = networks
    marked = {name: torch.zeros(1) for name in sgm_unet_names()}
    back = {id(value): name for name, value in marked.items()}
    own = unet.state_dict()
    table = convert_ldm_unet_checkpoint(dict(marked), refinement.sdxl_config(SIZES))
    weights = {back[id(value)]: own[name] for name, value in table.items()}
    assert len(weights) == len(own)
    weights |= to_sgm_names(vae.state_dict())
    weights |= {f"{prompts.CLIP_PREFIX}{name}": value for name, value in tuned.clip_state().items()}
    weights |= {f"{prompts.OPEN_PREFIX}{name}": value for name, value in tuned.open_state().items()}
    weights["denoiser.sigmas"] = torch.ones(1000)
    halves = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    file = tmp_path_factory.mktemp("sdxl") / public.REFINER
    save_file({name: value.contiguous() for name, value in halves.items()}, file)
    return file


@pytest.fixture
def refiner(checkpoint, stock, merges):
    return refinement.Refiner.from_public(
        checkpoint,
        clip=stock.clip_state() | {"vision_model.post_layernorm.bias": torch.ones(2)},
        open_text=stock.open_state() | {"visual.proj": torch.ones(2)},
        tokenizer=clip_tokenizer(merges),
        sizes=SIZES,
        settings=HOW,
    )


def numbers(merges, text):
    """Word numbers of `text` without ends and padding."""
    tokenizer = clip_tokenizer(merges)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer.encode(text, add_special_tokens=False).ids


def test_prompts_are_those_of_transformers_towers(refiner, stock, tuned, merges):
    texts = (*TEXTS, "cat " * 100)
    states, pooled = stock.embedded([numbers(merges, text) for text in texts])
    encoded = refiner.prompts(texts)
    torch.testing.assert_close(encoded.states, states, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoded.pooled, pooled, rtol=1e-4, atol=1e-5)
    assert (states[0] - states[1]).abs().max() > 0.1
    states, pooled = tuned.embedded([numbers(merges, refinement.UNWANTED)[:75]])
    torch.testing.assert_close(refiner.unwanted_states, states, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(refiner.unwanted_pooled, pooled, rtol=1e-4, atol=1e-5)


def pipeline_pictures(networks, stock, tuned, merges, pictures, how):
    """diffusers' StableDiffusionXLImg2ImgPipeline on the same networks, one picture at a time."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLImg2ImgPipeline

    unet, vae = networks
    vae.register_to_config(scaling_factor=0.13025)
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="trailing"
    )
    pipe = StableDiffusionXLImg2ImgPipeline(
        vae=vae, unet=unet, scheduler=scheduler, text_encoder=None, tokenizer=None, tokenizer_2=None,
        text_encoder_2=stock.open, add_watermarker=False,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    states, pooled = stock.embedded([numbers(merges, text) for text in TEXTS])
    bad_states, bad_pooled = tuned.embedded([numbers(merges, refinement.UNWANTED)[:75]])
    batches = []
    for k, seed in enumerate((7, 8, 9)):
        seen = torch.nn.functional.interpolate(pictures[k : k + 1], (12, 12), mode="bilinear")
        seen = torch.nn.functional.interpolate(seen, (16, 16), mode="bilinear")
        out = pipe(
            image=seen,
            prompt_embeds=states[k : k + 1],
            pooled_prompt_embeds=pooled[k : k + 1],
            negative_prompt_embeds=bad_states,
            negative_pooled_prompt_embeds=bad_pooled,
            strength=how.strength,
            num_inference_steps=how.steps,
            guidance_scale=how.guidance,
            original_size=(16, 16),
            target_size=(24, 24),
            generator=torch.Generator().manual_seed(seed),
            output_type="pt",
        )
        batches.append(out.images)
    return torch.cat(batches)


PICTURES = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(6))


def drawn(refiner, at=slice(None)):
    generators = [torch.Generator().manual_seed(seed) for seed in (7, 8, 9)[at]]
    return refiner(PICTURES[at], TEXTS[at], generators=generators)


@pytest.mark.parametrize("changed", [{}, {"steps": 10, "strength": 0.7, "guidance": 2.0}])
def test_refinement_is_diffusers_image_to_image(refiner, networks, stock, tuned, merges, changed):
    refiner.settings = dataclasses.replace(HOW, **changed)
    expected = pipeline_pictures(networks, stock, tuned, merges, PICTURES, refiner.settings)
    refined = drawn(refiner)
    torch.testing.assert_close(refined, expected, rtol=0, atol=2e-4)
    assert refined.shape == (3, 3, 16, 16)
    assert (refined - PICTURES).abs().mean() > 0.05


def test_a_picture_is_refined_alike_in_any_company(refiner):
    whole = drawn(refiner)
    assert torch.equal(drawn(refiner), whole)
    torch.testing.assert_close(drawn(refiner, slice(1, 2)), whole[1:2], rtol=0, atol=1e-4)


def test_caption_and_picture_decide(refiner):
    whole = drawn(refiner)
    generators = [torch.Generator().manual_seed(seed) for seed in (7, 8, 9)]
    other = refiner(PICTURES, TEXTS[::-1], generators=generators)
    assert (other[0] - whole[0]).abs().max() > 1e-3
    torch.testing.assert_close(other[1], whole[1], rtol=0, atol=1e-4)
    with pytest.raises(DataError, match="3 pictures, 2 captions and 3 generators"):
        refiner(PICTURES, TEXTS[:2], generators=generators)


def test_the_published_schedule_is_the_last_twelve_of_twenty_five():
    times, sigmas = refinement.RefineSettings().schedule()
    assert times.tolist() == list(range(479, 0, -40))
    assert len(sigmas) == 13
    assert sigmas[0].item() == pytest.approx(1.5092, abs=5e-5)
    assert sigmas[-1] == 0


def test_the_public_sizes_have_the_published_numbers_of_parameters():
    from diffusers import UNet2DConditionModel

    sizes = refinement.RefinerSizes()
    with torch.device("meta"):
        unet = UNet2DConditionModel(**refinement.sdxl_config(sizes))
    text = openclip.text_tower(sizes.prompts.open)
    assert unet.config.addition_time_embed_dim == 256
    assert sum(p.numel() for p in unet.parameters()) == 2_567_463_684
    assert round(sum(p.numel() for p in text.parameters()) / 1e6, 2) == 694.66


def test_a_checkpoint_that_is_not_sdxl_is_refused(checkpoint, stock, merges, tmp_path):
    from safetensors.torch import load_file, save_file

    weights = load_file(checkpoint)

    def refused(changed, words):
        file = tmp_path / "other.safetensors"
        save_file({name: value.contiguous() for name, value in changed.items()}, file)
        with pytest.raises(DataError, match=words):
            refinement.Refiner.from_public(
                file, clip=stock.clip_state(), open_text=stock.open_state(),
                tokenizer=clip_tokenizer(merges), sizes=SIZES, settings=HOW,
            )  # fmt: skip

    def without(start):
        return {name: value for name, value in weights.items() if not name.startswith(start)}

    refused(without("model."), r"no weight is named model.diffusion_model.\*; expected an SDXL checkpoint")
    refused(without("first_stage_model."), r"no weight is named first_stage_model.\*; expected an SDXL")
    refused(without(prompts.CLIP_PREFIX), "the text tower of CLIP ViT-L/14 in other.safetensors: lacks")
    refused(without(prompts.OPEN_PREFIX), "the text tower of ViT-bigG in other.safetensors: lacks")
    refused(without("model.diffusion_model.label_emb.0.0"), "other.safetensors lacks 'label_emb.0.0")
    refused(weights | {"model.diffusion_model.more": torch.ones(1)}, "have no place, first 'model.diff")


# The decoder


@pytest.fixture
def whole(folder, checkpoint, stock, keep, merges, tmp_path, monkeypatch):
    """The public folder, small, with all files of captions and refinement."""
    from safetensors.torch import save_file

    copy = tmp_path / "mindeyev2"
    shutil.copytree(folder, copy)
    write_captioner(copy)
    shutil.copy(checkpoint, copy)
    torch.save(stock.open_state() | {"visual.proj": torch.ones(2)}, copy / public.TEXTS)
    save_file(stock.clip_state(), tmp_path / "clip.safetensors")
    keep(ClipL14Text.weights, tmp_path / "clip.safetensors")
    sizes = dataclasses.replace(CAPTIONED, refiner=SIZES)
    monkeypatch.setattr(public, "parts", functools.partial(public.parts, sizes=sizes))
    return copy


def test_the_decoder_refines_what_it_draws_with_what_it_says(whole, tmp_path):
    params = MindEye2Params(weights=str(whole), captions=True, refine=True, refine_steps=5, **QUICK)
    data, seeds = subject(), np.arange(12, dtype=np.uint64)
    decoder = MindEye2Decoder(params)
    decoder.fit(data, PlainFeatures(), seed=0, device="cpu", checkpoint_dir=tmp_path / "fit")
    responses = data.train.responses
    decoded = decoder.decode(responses, seeds=seeds)
    generators = image_generators(seeds)
    predicted = inference.predict(
        decoder.network,
        torch.from_numpy(responses.trials()[:, responses.space.valid]),
        torch.from_numpy(responses.image_index),
        generators=generators,
        steps=params.prior_steps,
    )
    picture = decoder.parts.generator.draw(predicted.tokens, generators=generators)
    refiner = decoder.parts.refiner()
    assert refiner.settings == refinement.RefineSettings(picture=16, steps=5)
    refined = refiner(picture, decoded.caption, generators=generators)
    np.testing.assert_allclose(decoded.images[:, 0], refined.permute(0, 2, 3, 1).numpy(), atol=1e-5)
    ceiling = decoder.generate(data.train.stimuli.images(), seeds=seeds)
    assert ceiling.images.shape == (12, 1, 16, 16, 3)
    plain = MindEye2Decoder(dataclasses.replace(params, refine=False))
    plain.space, plain.network = decoder.space, decoder.network
    raw = plain.decode(responses, seeds=seeds)
    assert raw.caption == decoded.caption
    assert np.abs(raw.images - decoded.images).mean() > 0.01


def test_identity_and_declarations_follow_the_refinement(whole, monkeypatch, tmp_path):
    spoken = MindEye2Params(weights=str(whole), captions=True)
    params = dataclasses.replace(spoken, refine=True)
    first = MindEye2Decoder(params).identity()
    assert first != MindEye2Decoder(spoken).identity()
    for name in (public.REFINER, public.TEXTS):
        content = (whole / name).read_bytes()
        (whole / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert MindEye2Decoder(params).identity() != first, name
        (whole / name).unlink()
        with pytest.raises(WeightsMissing, match=rf"{name} is not there; .*decoder.refine=false"):
            MindEye2Decoder(params).identity()
        (whole / name).write_bytes(content)
    assert MindEye2Decoder(params).identity() == first
    assert MindEye2Decoder(params).networks() == ("clip-l14-text",)
    assert MindEye2Decoder(spoken).networks() == ()
    monkeypatch.setenv("HARNESS_WEIGHTS", str(tmp_path / "none"))
    with pytest.raises(WeightsMissing, match="harness prefetch clip"):
        MindEye2Decoder(params).identity()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"refine": True}, r"decoder.refine is prompted with captions.*decoder.captions=true"),
        ({"refine": True, "captions": True, "weights": "tiny"}, "weights is tiny, which has no such parts"),
        ({"refine_steps": 0}, "decoder.refine_steps is 0"),
        ({"refine_strength": 0.01}, "decoder.refine_strength is 0.01 of 25 steps"),
        ({"refine_strength": 1.2}, "decoder.refine_strength is 1.2"),
    ],
)
def test_impossible_settings_are_refused(changed, words):
    with pytest.raises(ConfigError, match=words):
        MindEye2Params(**changed)
