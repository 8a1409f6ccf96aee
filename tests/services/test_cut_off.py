"""How long a turn waits that could not store what it had done."""

from __future__ import annotations

from uuid import uuid4

from conversations.services.cut_off import CutOff


def test_only_from_the_second_time_on_a_turn_waits_longer_than_its_lease() -> None:
    cut_off, one, other = CutOff(), uuid4(), uuid4()
    assert not cut_off.has_to_wait(one)
    cut_off.note(one)
    assert not cut_off.has_to_wait(one)
    cut_off.note(one)
    assert cut_off.has_to_wait(one)
    assert not cut_off.has_to_wait(other)
    cut_off.forget(one)
    assert not cut_off.has_to_wait(one)
