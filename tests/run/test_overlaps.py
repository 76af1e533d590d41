"""Image sets that share images, and what plugins say they come from."""

from __future__ import annotations

import pytest

from harness.run.overlaps import Declared, shared_images


@pytest.mark.parametrize(
    ("trained", "tested", "why"),
    [
        ("nsd-shared1000", "nsd-shared1000", "they are the same images"),
        ("coco", "nsd-special515", "coco holds all of nsd-special515"),
        ("nsd-special515", "nsd-73k", "nsd-73k holds all of nsd-special515"),
        ("nsd-shared982", "nsd-special515", "nsd-shared982 holds all of nsd-special515"),
        ("my-own", "my-own", "they are the same images"),
    ],
)
def test_sets_that_hold_one_another_share_images(trained, tested, why):
    assert list(shared_images([trained], [tested])) == [(trained, tested, why)]


@pytest.mark.parametrize("trained", ["nsd-shared1000", "nsd-73k", "coco"])
def test_complex_pictures_of_imagery_are_of_nsd(trained):
    ((_, _, why),) = shared_images([trained], ["nsd-imagery-imagery"])
    assert "named after shared images" in why
    assert not list(shared_images([trained], ["nsd-imagery-imagery-simple"]))


@pytest.mark.parametrize("tested", ["nsd-shared1000", "nsd-shared982", "nsd-shared907", "nsd-special515"])
def test_algonauts_shares_images_with_what_nsd_tests_on(tested):
    ((_, _, why),) = shared_images(["algonauts-2023-train"], [tested])
    assert "shown before the last three sessions" in why
    assert list(shared_images([tested], ["algonauts-2023-train"]))


def test_sets_of_other_names_share_nothing():
    assert not list(shared_images(["imagenet", "laion"], ["nsd-shared1000", "my-own"]))
    assert len(list(shared_images(["coco", "imagenet", "nsd-73k"], ["nsd-shared982"]))) == 2


class Silent:
    pass


class Open:
    def networks(self):
        return ["clip", "vae"]

    def wants(self):
        return [("clip", "image"), ("dinov2", "cls"), ("dinov2", "patches")]

    def training_sets(self):
        return ["coco"]

    def training_hashes(self):
        return ["abc"]


def test_what_a_plugin_declares_is_taken_from_the_methods_that_it_has():
    assert Declared.of("the encoder", Silent()) == Declared("the encoder")
    declared = Declared.of("the encoder", Open())
    assert declared == Declared("the encoder", ("clip", "vae"), ("coco",), frozenset(["abc"]))
    assert Declared.of("the encoder", Open(), wants=True).networks == ("clip", "vae", "dinov2")
