"""The folder through which tasks pass: each is taken by one worker alone, and nothing is seen by halves."""

from __future__ import annotations

import os
import threading

import pytest

from harness.errors import StoreError
from harness.storage.spool import Life, Spool, Watch


@pytest.fixture
def spool(tmp_path) -> Spool:
    opened = Spool(tmp_path / "jobs" / "a", b"secret")
    opened.create()
    return opened


def test_a_task_goes_there_and_an_answer_back(spool):
    spool.hand_out(7, ["x"])
    spool.hand_out(3, "first")
    assert spool.waiting() == [3, 7]
    assert spool.claim("w0") == 3
    assert spool.task(3, "w0") == "first"
    assert (spool.waiting(), list(spool.claimed())) == ([7], [(3, "w0")])
    spool.answer(3, "w0", {"n": 1})
    assert (spool.answers(), list(spool.claimed())) == ([3], [])
    assert spool.collect(3) == {"n": 1}
    assert spool.answers() == []
    spool.withdraw(7)
    assert spool.claim("w0") is None


def test_of_many_workers_each_task_has_one(spool):
    for number in range(200):
        spool.hand_out(number, number)
    taken: dict[str, list[int]] = {f"w{k}": [] for k in range(8)}

    def take(worker: str) -> None:
        while (claimed := spool.claim(worker)) is not None:
            taken[worker].append(claimed)

    threads = [threading.Thread(target=take, args=(worker,)) for worker in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(number for numbers in taken.values() for number in numbers) == list(range(200))


def test_what_was_taken_can_be_given_back(spool):
    for number in range(3):
        spool.hand_out(number, number)
    spool.claim("w0"), spool.claim("w1"), spool.claim("w0")
    assert spool.give_back("w0") == [0, 2]
    assert spool.waiting() == [0, 2]
    assert list(spool.claimed()) == [(1, "w1")]


def test_whoever_has_another_secret_takes_nothing(spool):
    Spool(spool.folder, b"another").hand_out(1, "evil")
    assert spool.claim("w0") == 1
    with pytest.raises(StoreError, match="was not written by this run"):
        spool.task(1, "w0")


def test_the_folder_is_its_owners_alone_and_says_when_it_is_over(spool):
    assert spool.folder.stat().st_mode & 0o777 == 0o700
    assert not spool.is_closed()
    spool.close()
    assert spool.is_closed()
    assert Spool(spool.folder / "removed").is_closed()


def test_workers_are_seen_whole(spool):
    life = Life("w0", "a", "node1", os.getpid(), job="12_0", what="stage 1", done=2, total=5)
    spool.show(life)
    (spool.folder / "workers" / "w1.json").write_text('{"name": "w1"')  # torn, by another hand
    (spool.folder / "workers" / ".w2.json.partial").write_text("")
    assert spool.workers() == [life]


def test_life_is_told_by_numbers_that_grow_whatever_the_clocks_say():
    now = [0.0]
    watch = Watch(lambda: now[0])
    assert watch.silent("w0", 1) == 0.0
    now[0] = 5.0
    assert (watch.silent("w0", 1), watch.silent("w1", 9)) == (5.0, 0.0)
    now[0] = 6.0
    assert (watch.silent("w0", 2), watch.silent("w1", 9)) == (0.0, 1.0)
    now[0] = 7.5
    assert watch.silent("w0", 2) == 1.5
