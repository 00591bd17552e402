"""What is done once nothing was asked for a while."""

from __future__ import annotations

import threading

from aqe.engine.memory.meaning.idling import Idling


def test_rest_comes_after_each_spell_of_work() -> None:
    """After some touches there is one rest, another after later touches, and none with closing."""
    rests, now = threading.Semaphore(0), [0.0]
    before = set(threading.enumerate())
    idling = Idling(rests.release, after_s=0.01, clock=lambda: now[0])
    for _ in range(2):
        for _ in range(5):
            idling.touch()
        now[0] += 1.0
        assert rests.acquire(timeout=30)
    (thread,) = [one for one in set(threading.enumerate()) - before if one.name == "aqe-idling"]
    idling.close()
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert not rests.acquire(blocking=False)


def test_thread_begins_with_the_second_touch_and_ends_with_closing() -> None:
    """After one touch there is no thread yet, and closing leaves none behind."""
    before = set(threading.enumerate())
    idling = Idling(lambda: None)
    idling.touch()
    assert set(threading.enumerate()) <= before
    idling.touch()
    (thread,) = [one for one in set(threading.enumerate()) - before if one.name == "aqe-idling"]
    idling.close()
    thread.join(timeout=30)
    assert not thread.is_alive()
