"""Caption scores: the field's tools, text towers of generated weights, and a run with captions."""

from __future__ import annotations

import gzip
import textwrap
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import TOYS, only_run
from hypothesis import given, settings
from hypothesis import strategies as st
from named_metrics import metric_named
from plain_features import PlainFeatures
from rouge_score.rouge_scorer import RougeScorer
from sklearn.metrics.pairwise import cosine_similarity

from harness import plugins
from harness.api import Metric
from harness.backbones import texts, weights
from harness.backbones.openclip import TextSizes
from harness.backbones.wordnet import open_wordnet
from harness.errors import PluginError, WeightsMissing
from harness.metrics.captions import cosines, longest_common, meteor, rouge_1, rouge_l
from harness.scoring.compare import derangements_of

NAMES = ("meteor", "rouge1", "rougel", "minilm", "clip-b32", "clip-l14")


def metric(name):
    return metric_named(f"caption-{name}")


# Words

CAPTIONS = st.lists(
    st.sampled_from(["a", "cat", "dog's", "sits", "On", "the", "mat,", "12", "café", "2-way", "."]),
    max_size=12,
)


@given(CAPTIONS.map(" ".join), CAPTIONS.map(" ".join))
@settings(max_examples=150, deadline=None)
def test_rouge_is_that_of_rouge_score(caption, reference):
    expected = RougeScorer(["rouge1", "rougeL"], use_stemmer=False).score(reference, caption)
    assert rouge_1(caption, reference) == pytest.approx(expected["rouge1"].fmeasure, abs=1e-12)
    assert rouge_l(caption, reference) == pytest.approx(expected["rougeL"].fmeasure, abs=1e-12)


def test_rouge_by_hand():
    # Shared: the, cat, on, mat (the second "the" is not in the caption); 5 and 6 words.
    assert rouge_1("the cat on a mat", "on the mat sat the cat") == pytest.approx(8 / 11)
    assert longest_common("abcad", "cabxab") == 3
    assert rouge_l("the cat on a mat", "on the mat sat the cat") == pytest.approx(4 / 11)
    assert rouge_1("", "a cat") == rouge_l("a cat", "?!") == 0


def wordnet_zip(file: Path, synsets: dict[str, tuple[str, ...]]) -> Path:
    """nltk's wordnet.zip with the nouns of `synsets` {gloss: words}."""
    data, senses = "", {}
    for gloss, words in synsets.items():
        offset = f"{len(data):08d}"
        for word in words:
            senses.setdefault(word, []).append(offset)
        listed = " ".join(f"{word} 0" for word in words)
        data += f"{offset} 03 n {len(words):02x} {listed} 000 | {gloss}  \n"
    index = "".join(
        f"{word} n {len(at)} 0 {len(at)} 0 {' '.join(at)}  \n" for word, at in sorted(senses.items())
    )
    licence = "  1 WordNet 3.0 Copyright 2006 by Princeton University.  \n"
    parts = {
        "data.adj": licence,
        "data.noun": data,
        "index.noun": index,
        "lexnames": "".join(f"{k:02d}\tnoun.{k}\t1\n" for k in range(4)),
    }
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("wordnet/", "")
        for kind in ("noun", "verb", "adj", "adv"):
            for name in (f"data.{kind}", f"index.{kind}", f"{kind}.exc"):
                archive.writestr(f"wordnet/{name}", parts.get(name, ""))
        archive.writestr("wordnet/lexnames", parts["lexnames"])
    return file


@pytest.fixture
def wordnet(keep, tmp_path):
    return keep(
        "wordnet",
        wordnet_zip(tmp_path / "wordnet.zip", {"a vehicle": ("car", "automobile"), "a pet": ("cat", "puss")}),
    )


def test_meteor_by_hand(wordnet):
    """F = PR / (.9 P + .1 R); penalty .5 (chunks / matches)^3."""
    lexicon = open_wordnet()
    # A synonym in the middle: all five words match in one chunk.
    same = meteor("A cat on the road", "a puss on the road", wordnet=lexicon)
    assert same == pytest.approx(1 - 0.5 / 5**3)
    # nltk looks up stems, and "automobil" is no synonym: four of five words in two chunks.
    stemmed = meteor("A car on the road", "a automobile on the road", wordnet=lexicon)
    assert stemmed == pytest.approx(0.8 * (1 - 0.5 * (2 / 4) ** 3))
    # "roads" by its stem; "some" matches nothing: P = R = 4/5, one chunk of four.
    stems = meteor("a cat on the roads", "some puss on the road", wordnet=lexicon)
    assert stems == pytest.approx(0.8 * (1 - 0.5 / 4**3))
    # Two of three words match two of six, in two chunks.
    precision, recall = 2 / 3, 2 / 6
    mean = precision * recall / (0.9 * precision + 0.1 * recall)
    assert meteor("puss big road", "road in the city a cat", wordnet=lexicon) == pytest.approx(
        mean * (1 - 0.5)
    )
    # A mark at the end is a word of its own.
    assert meteor("a cat .", "a cat.", wordnet=lexicon) == pytest.approx(1 - 0.5 / 3**3)
    assert meteor("", "a cat", wordnet=lexicon) == meteor("dog", "a cat", wordnet=lexicon) == 0
    np.testing.assert_allclose(metric("meteor").score(["dog", "A cat"], ["a cat", "a cat"]), [0, 1 - 0.5 / 8])


def test_without_wordnet_there_is_no_meteor(tmp_path, monkeypatch, keep):
    with pytest.raises(WeightsMissing, match="harness prefetch wordnet"):
        metric("meteor").score(["a cat"], ["a cat"])
    (tmp_path / "wordnet.zip").write_bytes(b"no archive")
    keep("wordnet", tmp_path / "wordnet.zip")
    with pytest.raises(WeightsMissing, match=r"is not nltk's wordnet.zip .* harness prefetch wordnet"):
        metric("meteor").score(["a cat"], ["a cat"])


# Embeddings


def test_cosines_are_scikit_learns():
    generator = np.random.default_rng(0)
    first, second = generator.standard_normal((2, 6, 5))
    first[1], second[2, 0] = 0, np.nan
    good = [0, 3, 4, 5]
    scores = cosines(first, second)
    np.testing.assert_allclose(scores[good], np.diagonal(cosine_similarity(first[good], second[good])))
    assert np.isnan(scores[[1, 2]]).all()
    np.testing.assert_array_equal(metric("minilm").score(first, second), scores)


def test_clips_words(merges):
    tokenizer = texts.clip_tokenizer(merges)
    signs = texts._byte_signs()
    assert len(set(signs)) == 256
    assert (signs[0], signs[ord("a") - 33], signs[255]) == ("!", "a", "Ń")
    assert tokenizer.get_vocab_size() == 49408
    cat = 512 + 1
    assert tokenizer.encode("A  CAT\n").ids == [49406, 256 + ord("a") - 33, cat, *[49407] * 74]
    # "cats" does not end in t: ca + t + s at the end; digits stand alone.
    number = tokenizer.get_vocab()
    assert tokenizer.encode("cats").tokens[1:3] == ["ca", "ts</w>"]
    assert tokenizer.encode("12").ids[1:3] == [number["1</w>"], number["2</w>"]]
    long = tokenizer.encode("cat " * 100).ids
    assert (len(long), long[0], long[75], long[76]) == (77, 49406, cat, 49407)
    broken = merges.with_name("broken.gz")
    broken.write_bytes(gzip.compress(b"a b\nc"))
    with pytest.raises(WeightsMissing, match=r"is not CLIP's merges .* harness prefetch clip-words"):
        texts.clip_tokenizer(broken)


@pytest.mark.parametrize("kind", [texts.ClipB32Text, texts.ClipL14Text])
def test_clips_text_tower_is_the_one_of_the_whole_model(kind, keep, merges, tmp_path, monkeypatch):
    from safetensors.torch import save_file
    from transformers import CLIPConfig, CLIPModel

    small = {"hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = {**small, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "projection_dim": 12}
    torch.manual_seed(0)
    model = CLIPModel(
        CLIPConfig(
            text_config={**config, "bos_token_id": 49406, "eos_token_id": 2},
            vision_config={**small, "image_size": 28, "patch_size": 14},
            projection_dim=12,
        )
    ).eval()
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    file = tmp_path / "model"
    save_file(state, file) if kind.weights == "clip" else torch.save(state, file)
    monkeypatch.setattr(kind, "sizes", TextSizes(width=16, depth=2, heads=2, projected=12))
    keep(kind.weights, file)
    backbone = kind()
    with pytest.raises(PluginError, match="not open"):
        backbone.extract_text(["a cat"])
    backbone.open(device="cpu")
    captions = ["a cat", "two dogs on a mat", "a cat"]
    embeddings = backbone.extract_text(captions)
    ids = torch.tensor([encoding.ids for encoding in texts.clip_tokenizer(merges).encode_batch(captions)])
    with torch.inference_mode():
        hidden = model.text_model(input_ids=ids).last_hidden_state
        ends = [row.tolist().index(49407) for row in ids]
        expected = hidden[torch.arange(3), ends] @ model.text_projection.weight.T
    np.testing.assert_allclose(embeddings, expected.numpy(), rtol=1e-5, atol=1e-6)
    assert embeddings.std(axis=0).max() > 0.01
    with pytest.raises(PluginError, match="reads captions, not images"):
        backbone.extract(np.zeros((1, 8, 8, 3)), ["image"])
    assert backbone.identity() == kind().identity()


def test_minilm_is_the_mean_over_words(keep, tmp_path, monkeypatch):
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel

    vocabulary = {
        word: k for k, word in enumerate(["[PAD]", "[UNK]", "a", "cat", "two", "dogs", "on", "the", "mat"])
    }
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.enable_truncation(2)  # as the published file says 128 where the sentence encoder reads 256
    words.save(str(tmp_path / "words.json"))
    keep("minilm-words", tmp_path / "words.json")
    small = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = {**texts.MiniLMText.config, **small, "vocab_size": len(vocabulary)}
    torch.manual_seed(0)
    model = BertModel(BertConfig(**config)).eval()
    state = {**model.state_dict(), "embeddings.position_ids": torch.arange(512)[None]}
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "model")
    monkeypatch.setattr(texts.MiniLMText, "config", config)
    keep("minilm", tmp_path / "model")
    backbone = texts.MiniLMText()
    backbone.open(device="cpu")
    embeddings = backbone.extract_text(["two dogs on the mat", "a cat"])
    for row, ids in zip(embeddings, [[4, 5, 6, 7, 8], [2, 3]], strict=True):
        with torch.inference_mode():
            alone = model(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(dim=0).numpy()
        np.testing.assert_allclose(row, alone / np.linalg.norm(alone), atol=1e-5)
    keep("minilm-words", tmp_path / "words.json").write_text("{}")
    with pytest.raises(WeightsMissing):
        texts.MiniLMText().identity()  # altered since it was fetched


def test_another_networks_weights_are_refused(keep, merges, tmp_path):
    from safetensors.torch import save_file

    save_file({"text_projection.weight": torch.zeros(2, 2)}, tmp_path / "model")
    keep("clip", tmp_path / "model")
    with pytest.raises(WeightsMissing, match=r"another network .* harness prefetch clip"):
        texts.ClipL14Text().open(device="cpu")


# Runs


@pytest.mark.parametrize("name", NAMES)
def test_contract(name):
    caption_metric = metric(name)
    assert isinstance(caption_metric.row, Metric)
    assert (caption_metric.inputs, caption_metric.targets) == ("captions", ("stimulus", "image", "measured"))
    for needed in (
        *getattr(caption_metric, "weights", ()),
        *((caption_metric.backbone[0],) if caption_metric.backbone else ()),
    ):
        if needed in weights.WEIGHTS:
            assert needed in weights.GROUPS["captions"]
        else:
            backbone = plugins.find("backbones", needed).load()
            assert {backbone.weights, backbone.words} <= set(weights.GROUPS["captions"])


@pytest.fixture
def captioning(tmp_path):
    """Toys whose test stimuli have captions, and whose decoder describes how bright an image is."""
    file = tmp_path / "captioning.py"
    head = f"import sys\nsys.path.insert(0, {str(TOYS.parent)!r})\n"
    file.write_text(
        head
        + textwrap.dedent("""
        from dataclasses import replace

        import numpy as np
        from harness.api import Decoded, Split, Stimuli
        from toys import ToyBenchmark, ToyDecoder

        WORDS = "dark dim grey pale bright".split()

        def describe(images):
            tones = images.reshape(len(images), -1, 3).mean(axis=1)
            grades = np.clip((tones - 100) // 11, 0, 4).astype(int)
            return tuple(f"a {WORDS[r]} red, {WORDS[g]} green, {WORDS[b]} blue" for r, g, b in grades)

        class Captioned(ToyBenchmark):
            def load(self, subject):
                data = super().load(subject)
                images = data.test.stimuli.images()
                said = [f"{one} picture" for one in describe(images)]
                stimuli = Stimuli.from_array(data.test.stimuli.ids, images, captions=said)
                return replace(data, test=Split(stimuli, data.test.responses))

        class Captioner(ToyDecoder):
            captions = True

            def decode(self, responses, *, seeds):
                made = super().decode(responses, seeds=seeds)
                return replace(made, caption=describe(made.images[:, 0]))

            def generate(self, images, *, seeds):
                return Decoded(images[:, None], caption=describe(images))
        """)
    )
    return file


def test_a_run_scores_what_the_decoder_says(harness, tmp_path, captioning):
    words = ["run", "--benchmark", f"{captioning}:Captioned", "--encoder", f"{TOYS}:ToyEncoder"]
    words += ["--decoder", f"{captioning}:Captioner", "--metrics", "caption-rouge1,caption-rougel,pixcorr"]
    harness(*words, "--set", "run.derangements=3", "--set", "run.trial_rows=true")
    run = only_run(tmp_path)
    table = run.scores.copy()
    table["name"] = table["metric"].astype(str).str.split("@").str[0]
    rouge = table[table["name"] == "caption-rougel"]

    def values(row, target, trial=-1, name="caption-rougel"):
        scores = table[
            (table["name"] == name)
            & (table["row"] == row)
            & (table["target"] == target)
            & (table["trial"] == trial)
            & (table["sample"] == 0)
        ]
        return scores.set_index("image_id")["value"].astype(float).sort_index()

    import sys

    sys.path.insert(0, str(captioning.parent))
    try:
        import captioning as toy
    finally:
        sys.path.pop(0)
    data = toy.Captioned(toy.Captioned.Params()).load(run.info["subject"])
    decoder = toy.Captioner(toy.Captioner.Params())
    decoder.fit(data.training(), PlainFeatures(), seed=0, device="cpu", checkpoint_dir=None)
    decoder.open(data.space, device="cpu")
    ids, true = data.test.stimuli.ids, toy.describe(data.test.stimuli.images())
    decoded = decoder.decode(data.test.responses, seeds=np.zeros(len(ids))).caption
    assert len(set(decoded)) > 2  # the decoder says different things of different images
    scorer = RougeScorer(["rouge1", "rougeL"])

    def expected(captions, references, name="rougeL"):
        return [scorer.score(r, c)[name].fmeasure for c, r in zip(captions, references, strict=True)]

    references = data.test.stimuli.captions
    np.testing.assert_allclose(values("measured", "stimulus"), expected(decoded, references))
    np.testing.assert_allclose(values("measured", "image"), expected(decoded, true))
    np.testing.assert_allclose(values("generator-ceiling", "stimulus"), expected(true, references))
    rouge_1 = values("measured", "stimulus", name="caption-rouge1")
    np.testing.assert_allclose(rouge_1, expected(decoded, references, "rouge1"))
    deranged = [expected(np.array(decoded)[order], references) for order in derangements_of(ids, 3)]
    np.testing.assert_allclose(values("shuffled-measured", "stimulus"), np.mean(deranged, axis=0))
    assert len(values("predicted", "measured")) == len(ids)
    assert len(values("measured-trial", "image", trial=1)) == len(ids)
    # Nobody is compared with itself, and rows that no decoder made say nothing.
    assert not len(values("measured", "measured"))
    assert not len(values("generator-ceiling", "image"))
    assert not {"mean-image", "flat-grey", "nearest-train"} & set(rouge["row"].astype(str))


def test_off_unless_the_decoder_captions(harness, tmp_path, captioning):
    none = f"{TOYS}:ToyDecoder"
    words = ["run", "--benchmark", f"{captioning}:Captioned", "--decoder", none]
    done = harness(*words, "--metrics", "caption-rougel")
    assert "nothing was decoded that has captions" in done.stderr + done.stdout
    assert not len(only_run(tmp_path).scores)
    done = harness(*words, "--metrics", "caption-meteor", check=False, HARNESS_WEIGHTS=str(tmp_path / "no"))
    assert done.returncode != 0
    assert "harness prefetch wordnet" in done.stderr + done.stdout


def test_default_metrics_follow_the_decoder(captioning, tmp_path, monkeypatch):
    from harness.run.plan import make_plan
    from harness.settings import Request

    monkeypatch.setenv("HARNESS_WEIGHTS", str(tmp_path / "none"))

    def planned(decoder):
        request = Request(benchmark=f"{captioning}:Captioned", encoder=None, decoder=decoder, values={})
        plan = make_plan(request)
        left = {name: why for name, why in plan.left_out if name.startswith("caption-")}
        return {m.ref.name for m in plan.metrics if m.load().inputs == "captions"}, left

    everything = plugins.available  # all metrics would take seconds
    few = [ref for ref in everything("metrics") if ref.name.startswith("caption-")]
    monkeypatch.setattr(plugins, "available", lambda kind: few if kind == "metrics" else everything(kind))
    names, left = planned(f"{captioning}:Captioner")
    coco = {f"caption-coco-{name}" for name in ("rougel", "bleu1", "bleu4", "cider")}
    assert names == {"caption-rouge1", "caption-rougel", *coco}
    assert {f"caption-{name}" for name in ("meteor", "minilm", "clip-b32", "clip-l14")} <= set(left)
    assert all("harness prefetch captions" in why for name, why in left.items() if "@" not in name)
    names, left = planned(f"{TOYS}:ToyDecoder")
    assert not names
    assert not {name for name in left if "@" not in name}
