from __future__ import annotations

import json
import os
from pathlib import Path

import anyio
import pytest

from stablenew.errors import RecordError
from stablenew.learning.learning_record import LearningRecord
from stablenew.learning.learning_record_writer import LearningRecordWriter
from tests.support import leftovers, lines


def record(number: int) -> LearningRecord:
    return LearningRecord(run_id=f"run-{number}", metadata={"prompt": "日本 " * 50})


def run_ids(path: Path) -> list[str]:
    return [json.loads(line)["run_id"] for line in lines(path)]


async def test_records_are_appended_in_order(tmp_path: Path) -> None:
    writer = LearningRecordWriter(tmp_path / "records.jsonl")
    for number in range(5):
        await writer.append_record(record(number))
    await writer.write(record(5))
    assert run_ids(writer.records_path) == [f"run-{number}" for number in range(6)]
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("name", ["", "runs", "runs/deep"])
async def test_a_folder_or_a_path_without_a_suffix_holds_the_file(
    tmp_path: Path, name: str
) -> None:
    writer = LearningRecordWriter(str(tmp_path / name))
    assert writer.records_path == tmp_path / name / "learning_records.jsonl"
    await writer.append_record(record(1))
    assert run_ids(writer.records_path) == ["run-1"]


async def test_a_folder_with_a_dot_in_its_name_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "runs.old").mkdir()
    writer = LearningRecordWriter(tmp_path / "runs.old")
    assert writer.records_path.name == "learning_records.jsonl"


async def test_several_records_are_written_all_or_none(tmp_path: Path) -> None:
    writer = LearningRecordWriter(tmp_path / "r.jsonl")
    await writer.append_records([record(1), record(2)])
    before = writer.records_path.read_bytes()
    bad = LearningRecord(run_id="bad", primary_cfg_scale=float("nan"))
    with pytest.raises(RecordError, match=r"r\.jsonl"):
        await writer.append_records([record(3), bad])
    assert writer.records_path.read_bytes() == before
    await writer.append_records([])
    assert writer.records_path.read_bytes() == before


async def test_writers_of_one_file_lose_nothing_to_each_other(tmp_path: Path) -> None:
    async def write(base: int) -> None:
        writer = LearningRecordWriter(tmp_path / "r.jsonl")
        for number in range(10):
            await writer.append_record(record(base + number))

    async with anyio.create_task_group() as tasks:
        for base in range(0, 80, 10):
            tasks.start_soon(write, base)
    assert sorted(run_ids(tmp_path / "r.jsonl")) == sorted(f"run-{n}" for n in range(80))


async def test_a_last_line_without_its_newline_is_not_glued_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(record(1).to_json())
    await LearningRecordWriter(path).append_record(record(2))
    assert run_ids(path) == ["run-1", "run-2"]


async def test_a_disk_that_says_no_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = LearningRecordWriter(tmp_path / "r.jsonl")
    await writer.append_record(record(1))
    before = writer.records_path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RecordError, match="No space left on device"):
        await writer.append_record(record(2))
    assert writer.records_path.read_bytes() == before
    assert leftovers(tmp_path) == []
    monkeypatch.undo()
    await writer.append_record(record(3))
    assert run_ids(writer.records_path) == ["run-1", "run-3"]


async def test_a_cancelled_append_is_there_whole_once_or_not_at_all(tmp_path: Path) -> None:
    writer = LearningRecordWriter(tmp_path / "r.jsonl")
    acknowledged = []
    for number in range(40):
        with anyio.move_on_after(number * 0.0002):
            await writer.append_record(record(number))
            acknowledged.append(f"run-{number}")
    found = run_ids(writer.records_path)
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)
    assert leftovers(tmp_path) == []
