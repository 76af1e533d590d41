"""Captions of `mindeye2`: a small GIT in the layout of the public one, read, and followed by hand."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
import textwrap

import numpy as np
import pytest
import torch
import toys
from commands import TOYS, only_run
from plain_features import PlainFeatures
from public_captioner import CAPTIONED, CONFIG, CONVERTER, WORDS, write_captioner
from public_mindeye2 import QUICK, TOWER, subject

from harness import plugins
from harness.api import ConfigError, DataError, WeightsMissing
from harness.backbones.images import planes
from harness.decoders.drawing import image_generators
from harness.decoders.mindeye2 import MindEye2Decoder, captions, core, embedder, inference, public
from harness.decoders.mindeye2.params import MindEye2Params
from harness.metrics.captions import rouge_1
from harness.plugins import find
from harness.presets import plugin_defaults
from harness.run.plan import make_plan
from harness.settings import Request


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return write_captioner(tmp_path_factory.mktemp("captioner"))


def read(home, sizes=CONVERTER):
    return captions.Captioner.from_public(home / public.CONVERTER, home / public.CAPTIONER, sizes)


@pytest.fixture(scope="module")
def captioner(home):
    return read(home)


TOKENS = torch.randn(12, 4, 12, generator=torch.Generator().manual_seed(5))


def by_hand(home, tokens):
    """Greedy captions with nothing of ours and no cache: every word from the whole sequence."""
    from safetensors.torch import load_file
    from transformers import GitConfig, GitForCausalLM

    state = torch.load(home / public.CONVERTER, weights_only=True)["model_state_dict"]
    read = torch.einsum("btd,st->bsd", tokens, state["linear1.weight"]) + state["linear1.bias"][:, None]
    read = torch.einsum("bsd,ed->bse", read, state["linear2.weight"]) + state["linear2.bias"]
    model = GitForCausalLM(GitConfig.from_dict(CONFIG)).eval()
    state = load_file(home / public.CAPTIONER / "model.safetensors")
    assert not model.load_state_dict(state, strict=False).missing_keys
    sentences = []
    for row in read:
        sentence = [2]
        while len(sentence) < 20 and sentence[-1] != 3:
            seen = model.git.visual_projection(row[None])
            words = model.git.embeddings.word_embeddings(torch.tensor([sentence]))
            places = model.git.embeddings.position_embeddings(torch.arange(len(sentence)))
            words = model.git.embeddings.LayerNorm(words + places)
            length = 5 + len(sentence)
            mask = torch.zeros(length, length)  # tokens see all tokens, words see what is before them
            mask[:, 5:] = torch.full((length, len(sentence)), float("-inf")).triu(-4)
            x = model.git.encoder(torch.cat([seen, words], dim=1), attention_mask=mask[None, None])
            sentence.append(int(model.output(x.last_hidden_state[0, -1]).argmax()))
        sentences.append(sentence)
    return sentences


def test_captions_are_those_of_git_followed_by_hand(home, captioner):
    with torch.no_grad():
        ids = by_hand(home, TOKENS)
    assert len({tuple(sentence) for sentence in ids}) >= 6  # the tokens decide what is said
    lengths = set(map(len, ids))
    assert max(lengths) == 20 > min(lengths)  # some end, some are cut
    assert captioner(TOKENS) == captioner.words(ids)
    assert len(set(captioner.words(ids))) >= 6


def test_words_are_joined_as_people_write(captioner):
    text = "[CLS] a man ' s dog , sit ##ting near two bus ##s . [SEP] [PAD]"
    ids = [WORDS.index(word) for word in text.split()]
    assert captioner.words([ids, [2, 3, 0]]) == ("a man's dog, sitting near two buss.", "")


def test_captions_are_the_same_in_any_company_and_again(captioner):
    whole = captioner(TOKENS)
    assert captioner(TOKENS) == whole
    assert tuple(captioner(TOKENS[k : k + 1])[0] for k in range(12)) == whole
    assert captioner(TOKENS.flip(0).double()) == whole[::-1]


def test_the_image_tower_is_not_kept(captioner):
    assert not any("vision_model" in name for name, _ in captioner.named_parameters())
    assert not any(p.requires_grad for p in captioner.parameters())


def test_the_public_sizes_have_the_size_of_the_public_files():
    from transformers import GitConfig, GitForCausalLM

    with torch.device("meta"):
        converter = captions.TokenConverter(captions.ConverterSettings())
        tower = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "patch_size": 14}
        git = GitForCausalLM(GitConfig(vision_config={**tower, "num_attention_heads": 16}))
    assert round(sum(p.numel() for p in converter.parameters()) * 4 / 2**20, 1) == 6.8
    assert round(sum(p.numel() for p in git.parameters()) * 4 / 1e9, 2) == 1.58


def test_files_that_are_absent_or_do_not_fit_are_named(home, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(home, copy)
    other = dataclasses.replace(CONVERTER, read_dim=6)
    torch.save(captions.TokenConverter(other).state_dict(), copy / public.CONVERTER)
    with pytest.raises(DataError, match=r"reads 5 tokens of size 8, the converter gives 5 of size 6"):
        read(copy, other)
    with pytest.raises(DataError, match=r"token converter in bigG_to_L_epoch8.pth: .*expected \(8, 12\)"):
        read(copy)
    shutil.copy(home / public.CONVERTER, copy)
    git = copy / public.CAPTIONER
    (git / "config.json").write_text(json.dumps({**CONFIG, "num_hidden_layers": 3}))
    with pytest.raises(DataError, match=r"model.safetensors does not fit .*config.json.*missing"):
        read(copy)
    (git / "config.json").write_text("{")
    with pytest.raises(DataError, match=r"config.json is no configuration of GIT"):
        read(copy)
    (git / "config.json").write_text(json.dumps(CONFIG))
    (git / "tokenizer.json").write_text("{}")
    with pytest.raises(DataError, match=r"tokenizer.json is not a tokenizer"):
        read(copy)
    for name in ("tokenizer.json", "model.safetensors", "config.json"):
        (git / name).unlink()
        with pytest.raises(WeightsMissing, match=rf"{name} is not there"):
            read(copy)


# The decoder


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """The public folder, small, with the captioner's files."""
    copy = tmp_path_factory.mktemp("whole") / "mindeyev2"
    shutil.copytree(folder, copy)
    return write_captioner(copy)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(public, "parts", functools.partial(public.parts, sizes=CAPTIONED))


@pytest.mark.usefixtures("small")
def test_the_decoder_says_what_its_tokens_say(whole, captioner, tmp_path, monkeypatch):
    params = MindEye2Params(weights=str(whole), captions=True, **QUICK)
    data, seeds = subject(), np.arange(12, dtype=np.uint64)
    decoder = MindEye2Decoder(params)
    with monkeypatch.context() as patch:
        patch.setattr(captions.Captioner, "from_public", None)  # a fit has no use for it
        decoder.fit(data, PlainFeatures(), seed=0, device="cpu", checkpoint_dir=tmp_path / "fit")
    responses = data.train.responses
    decoded = decoder.decode(responses, seeds=seeds)
    predicted = inference.predict(
        decoder.network,
        torch.from_numpy(responses.trials()[:, responses.space.valid]),
        torch.from_numpy(responses.image_index),
        generators=image_generators(seeds),
        steps=params.prior_steps,
    )
    assert decoded.caption == captioner(predicted.tokens)
    images = data.train.stimuli.images()
    ceiling = decoder.generate(images, seeds=seeds)
    assert ceiling.caption == captioner(torch.from_numpy(ceiling.embedding))
    decoder.save(tmp_path)
    again = MindEye2Decoder.load(tmp_path, params, device="cpu")
    assert again.decode(responses, seeds=seeds).caption == decoded.caption
    silent = MindEye2Decoder.load(tmp_path, dataclasses.replace(params, captions=False), device="cpu")
    told = silent.decode(responses, seeds=seeds)
    assert told.caption is None
    np.testing.assert_array_equal(told.images, decoded.images)  # words cost no random number


def test_identity_and_declarations_follow_the_captioner(whole, tmp_path):
    plain = MindEye2Params(weights=str(whole))
    params = dataclasses.replace(plain, captions=True)
    assert MindEye2Decoder(plain).identity() != (first := MindEye2Decoder(params).identity())
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    there = MindEye2Decoder(dataclasses.replace(params, weights=str(copy)))
    assert there.identity() == first
    for file in (copy / public.CONVERTER, *(copy / public.CAPTIONER / name for name in captions.GIT_FILES)):
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert there.identity() != first, file.name
        file.unlink()
        with pytest.raises(WeightsMissing, match=rf"{file.name} is not there; .*decoder.captions=false"):
            there.identity()
        file.write_bytes(content)
    assert MindEye2Decoder(params).training_sets() == ("coco",)
    assert MindEye2Decoder(plain).training_sets() == ()
    assert (MindEye2Decoder.captions(params), MindEye2Decoder.captions(plain)) == (True, False)


def presets(benchmark: str, preset: str | None = None) -> dict:
    """Parameters that the decoder's presets give."""
    return plugin_defaults(
        find("decoders", "mindeye2"), benchmark=find("benchmarks", benchmark), preset=preset
    )


def test_the_small_parts_have_no_captioner():
    tiny = presets("embedded")
    assert not MindEye2Decoder.captions(MindEye2Params(**tiny))
    with pytest.raises(ConfigError, match=r"weights is tiny, which has no such parts; .*preset=paper"):
        MindEye2Params(**tiny, captions=True)
    assert MindEye2Decoder.captions(MindEye2Params(**presets("paired", "paper")))


@pytest.mark.parametrize("with_captions", [True, False])
def test_caption_metrics_are_planned_where_the_parameters_say_so(whole, with_captions, monkeypatch):
    everything = plugins.available  # all metrics would take seconds
    few = [ref for ref in everything("metrics") if ref.name.startswith("caption-rouge")]
    monkeypatch.setattr(plugins, "available", lambda kind: few if kind == "metrics" else everything(kind))
    values = {"decoder": {"weights": str(whole), "captions": with_captions}}
    request = Request(benchmark=f"{TOYS}:ToyBenchmark", encoder=None, decoder="mindeye2", values=values)
    names = {metric.ref.name for metric in make_plan(request).metrics}
    assert names == ({"caption-rouge1", "caption-rougel"} if with_captions else set())


def test_parts_that_cannot_be_are_refused(whole):
    parts = public.parts(MindEye2Params(weights=str(whole), captions=True, **QUICK), CAPTIONED)
    with pytest.raises(ConfigError, match="has no captioner; give both"):
        dataclasses.replace(parts, captioner=None, refiner=lambda: None)
    assert isinstance(core.MindEye2Core(parts, core.DecodeSettings())._late("captioner"), captions.Captioner)


def test_a_run_scores_the_captions(harness, tmp_path, whole, captioner):
    file = tmp_path / "small.py"
    file.write_text(
        textwrap.dedent(f"""
        import functools, sys
        sys.path.insert(0, {str(TOYS.parent)!r})
        from dataclasses import replace

        from harness.api import Split, Stimuli
        from harness.decoders.mindeye2 import MindEye2Decoder, public
        from public_captioner import CAPTIONED
        from toys import ToyBenchmark

        public.parts = functools.partial(public.parts, sizes=CAPTIONED)

        class Small(MindEye2Decoder):
            pass

        class Captioned(ToyBenchmark):
            def load(self, subject):
                data = super().load(subject)
                test = data.test.stimuli
                said = ["a man s dog sit on the two red near bus and cat"] * len(test)
                stimuli = Stimuli.from_array(test.ids, test.images(), captions=said)
                return replace(data, test=Split(stimuli, data.test.responses))
        """)
    )
    given = {"weights": whole, "pretrained": "none", "captions": True, "low_level": False, **QUICK}
    words = ["run", "--benchmark", f"{file}:Captioned", "--decoder", f"{file}:Small", "--no-report"]
    words += ["--metrics", "pixcorr,caption-rouge1", "--set", "run.derangements=2"]
    words += ["--set", "benchmark.n_train=8", "--set", "benchmark.n_test=4"]
    for name, value in given.items():
        words += ["--set", f"decoder.{name}={value}"]
    harness(*words)
    scores = only_run(tmp_path).scores
    rouge = scores[scores.metric.astype(str).str.startswith("caption-rouge1")]
    pairs = set(zip(rouge.row.astype(str), rouge.target.astype(str)))
    assert pairs >= {("measured", "stimulus"), ("measured", "image"), ("generator-ceiling", "stimulus")}
    scores = rouge[(rouge.row == "generator-ceiling") & (rouge.target == "stimulus")]
    scores = scores.set_index("image_id").value.astype(float).sort_index()
    images = toys.scenes(4, seed=2)  # the toys' test images
    with torch.no_grad():
        tokens = embedder.PatchTokens.from_public(whole / public.GENERATOR, TOWER)(planes(images))
    texts = captioner(tokens)
    expected = [rouge_1(text, "a man s dog sit on the two red near bus and cat") for text in texts]
    np.testing.assert_allclose(scores, expected)
    assert max(expected) > 0
