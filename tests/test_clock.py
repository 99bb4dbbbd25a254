from __future__ import annotations

import pytest

from stablenew._clock import Clock, checked_id, utc_now
from stablenew._names import suggestion
from stablenew.errors import ConfigError
from tests.support import ticking_clock


def test_ids_sort_by_time_and_are_safe_as_file_names() -> None:
    clock = ticking_clock()
    ids = [clock.new_id() for _ in range(50)]
    assert ids == sorted(ids)
    assert [checked_id("run_id", each) for each in ids] == ids


def test_ids_of_one_moment_differ() -> None:
    now = utc_now()
    clock = Clock(now=lambda: now)
    assert len({clock.new_id() for _ in range(100)}) == 100


def test_times_are_in_utc() -> None:
    offset = utc_now().utcoffset()
    assert offset is not None
    assert not offset


@pytest.mark.parametrize(
    "given", ["../x", "a/b", "a\\b", "", ".", "..", ".a", "a b", "ä", "a" * 101]
)
def test_an_id_that_is_not_safe_is_refused_by_name(given: str) -> None:
    with pytest.raises(ConfigError, match="plan_id: given"):
        checked_id("plan_id", given)


def test_no_picture_of_a_drawn_seed_has_one_that_a_server_refuses() -> None:
    assert all(0 <= Clock().draw_seed() + 1000 < 2**31 for _ in range(100))


def test_a_suggestion_names_what_is_near_or_lists_what_there_is() -> None:
    assert suggestion("euler", ["Euler", "Heun"]) == "did you mean Euler?"
    assert suggestion("zzz", ["Euler", "Heun"]) == "there is Euler, Heun"
    assert suggestion("zzz", map(str, range(20)), listed=3) == "there is 0, 1, 2 and 17 more"
    assert suggestion("zzz", []) == "there is none"
