"""Parts come when they are used and leave when another needs their place."""

from __future__ import annotations

import math

import torch
from torch import nn

from harness.decoders.mindeye2.room import WORK, Room


class Part(nn.Module):
    """A part of 4 bytes times `size`, which notes where it is sent."""

    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size), requires_grad=False)
        self.sent = []

    def to(self, *args, **more):
        self.sent += [str(torch.device(a)) for a in args]
        return self


def meta_room(limit):
    """A device that is not the processor, where nothing is computed."""
    return Room("meta", limit=limit)


def test_the_longest_unused_leaves_first_and_what_has_room_stays():
    a, b, c = Part(10), Part(10), Part(15)
    room = meta_room(4 * 25)
    for part in (a, b, a):
        with room.use(part):
            pass
    assert (a.sent, b.sent) == (["meta", "meta"], ["meta"])
    with room.use(c):
        assert b.sent[-1] == "cpu"
        assert a.sent[-1] == "meta"
    with room.use(b):
        assert a.sent[-1] == "cpu"
        assert c.sent[-1] == "meta"
    room.clear()
    assert c.sent[-1] == b.sent[-1] == "cpu"


def test_parts_used_together_stay_together_and_a_large_one_comes_alone():
    a, b, large = Part(10), Part(10), Part(100)
    room = meta_room(4 * 20)
    with room.use(a, b, None, "no module"):
        assert a.sent == b.sent == ["meta"]
    with room.use(large):
        assert large.sent == ["meta"]
        assert a.sent[-1] == b.sent[-1] == "cpu"


def test_a_part_of_the_memory_is_left_for_the_work():
    assert Room.on("cpu").limit == math.inf
    assert Room.on("cpu", memory=22).limit == 22e9 * (1 - WORK)
