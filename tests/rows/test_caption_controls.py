"""Captions that look at no brain."""

from __future__ import annotations

from harness.metrics.coco_captions import rouge_l
from harness.rows.caption_controls import constant_captions, human_captions
from harness.storage.executors import Inline
from harness.storage.store import Store

REFERENCES = {
    "10": ["a dog runs", "a brown dog"],
    "9": ["a red bus", "the bus is red"],
    "2": ["a red bus on a road", "red bus"],
    "11": ["a dog sleeps", "the dog is here"],
}


def test_each_half_gets_the_sentence_of_the_other(tmp_path):
    constant = constant_captions(REFERENCES, store=Store(tmp_path), executor=Inline())
    assert (
        constant["2"] == constant["9"] != constant["10"] == constant["11"]
    )  # numbers by value: 2, 9 | 10, 11
    for half, other in (("2", "9"), ("10", "11")), (("10", "11"), ("2", "9")):
        texts = [REFERENCES[name] for name in other]
        pool = [text for of in texts for text in of]
        best = max(rouge_l([text] * 2, texts).mean() for text in pool)
        assert constant[half[0]] in pool
        assert rouge_l([constant[half[0]]] * 2, texts).mean() == best


def test_an_image_has_no_part_in_choosing_its_own_sentence(tmp_path):
    store = Store(tmp_path)
    before = constant_captions(REFERENCES, store=store, executor=Inline())
    changed = REFERENCES | {"9": ["something else entirely", "words that nobody says"]}
    after = constant_captions(changed, store=store, executor=Inline())
    assert after["9"] == before["9"]
    assert constant_captions({"1": ["a"]}, store=store, executor=Inline()) == {}


def test_another_person_is_scored_against_the_rest():
    human, others = human_captions(REFERENCES | {"12": ["alone"]})
    assert set(human) == set(others) == set(REFERENCES)
    assert human["9"] == "a red bus"
    assert others["9"] == ("the bus is red",)
