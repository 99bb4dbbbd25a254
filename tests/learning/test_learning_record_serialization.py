from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablenew.learning.learning_record import LearningRecord

OLDER = (Path(__file__).parent / "data" / "older.jsonl").read_text().splitlines()

plain: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
tables = st.dictionaries(st.text(max_size=8), plain, max_size=3)
records = st.builds(
    LearningRecord,
    run_id=st.text(min_size=1),
    timestamp=st.text(),
    base_config=tables,
    variant_configs=st.lists(tables, max_size=2).map(tuple),
    primary_model=st.text(),
    primary_steps=st.integers(0, 10_000),
    primary_cfg_scale=st.floats(allow_nan=False, allow_infinity=False),
    metadata=tables,
    stage_plan=st.lists(st.text(), max_size=3).map(tuple),
    outputs=st.lists(tables, max_size=2).map(tuple),
    plan_id=st.none() | st.text(),
    schema_version=st.none() | st.integers(0, 9),
)


@given(records)
def test_a_record_survives_the_way_to_json_and_back(record: LearningRecord) -> None:
    line = record.to_json()
    assert "\n" not in line
    assert LearningRecord.from_json(line) == record


@given(records, st.randoms())
def test_keys_may_come_in_any_order(record: LearningRecord, chance: random.Random) -> None:
    plain = json.loads(record.to_json())
    keys = list(plain)
    chance.shuffle(keys)
    shuffled = json.dumps({key: plain[key] for key in keys})
    assert LearningRecord.from_json(shuffled) == record


@given(tables)
def test_keys_that_are_not_known_are_kept(extra: dict[str, object]) -> None:
    strange = {f"x {key}": value for key, value in extra.items()}
    line = json.dumps({"run_id": "r", **strange})
    written = json.loads(LearningRecord.from_json(line).to_json())
    assert {key: written[key] for key in strange} == strange


@pytest.mark.parametrize("line", OLDER)
def test_older_lines_lose_nothing_on_the_way_through(line: str) -> None:
    before = json.loads(line)
    record = LearningRecord.from_json(line)
    after = json.loads(record.to_json())
    assert {key: after[key] for key in before} == before
    assert record.run_id == before["run_id"]
    assert record.schema_version is None


def test_values_of_another_type_are_kept_as_they_came() -> None:
    line = '{"run_id": "r", "primary_steps": "28", "primary_cfg_scale": null, "stage_plan": null}'
    written = json.loads(LearningRecord.from_json(line).to_json())
    assert written["primary_steps"] == "28"
    assert written["primary_cfg_scale"] is None
    assert written["stage_plan"] is None


def test_keys_are_sorted_and_text_stays_readable() -> None:
    record = LearningRecord(run_id="r", metadata={"b": 1, "a": "日本"}, extra={"aaa": 1})
    line = record.to_json()
    keys = list(json.loads(line))
    assert keys == sorted(keys)
    assert '"metadata": {"a": "日本", "b": 1}' in line


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_json_does_not_have_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        LearningRecord(run_id="r", primary_cfg_scale=bad).to_json()


@pytest.mark.parametrize(
    "line", ["", "nope", "[1]", "{}", '{"run_id": 5}', '{"run_id": ""}', '{"run_id": "a"', "NaN"]
)
def test_what_is_no_record_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        LearningRecord.from_json(line)
