"""Messages between processes of one run: what others wrote is refused unread."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.storage.signed import new_secret, signed, verified


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_what_is_signed_comes_back():
    secret = new_secret()
    value = {"a": [1, 2.5, "b"], "c": (None, b"d")}
    assert verified(signed(value, secret), secret, origin="here") == value


@pytest.mark.parametrize("forge", ["another secret", "no signature", "a bit flipped", "torn", "empty"])
def test_what_others_wrote_is_refused_unread(tmp_path, forge):
    secret, bomb = new_secret(), Bomb(tmp_path / "mark")
    good = signed(bomb, secret)
    message = {
        "another secret": signed(bomb, new_secret()),
        "no signature": pickle.dumps(bomb),
        "a bit flipped": good[:-3] + bytes([good[-3] ^ 1]) + good[-2:],
        "torn": good[:-1],
        "empty": b"",
    }[forge]
    with pytest.raises(StoreError, match="tasks/1 was not written by this run, or was altered"):
        verified(message, secret, origin="tasks/1")
    assert not bomb.mark.exists()
    verified(good, secret, origin="tasks/1")  # without this the line above could not fail
    assert bomb.mark.exists()
