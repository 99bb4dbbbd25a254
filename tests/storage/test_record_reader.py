from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import anyio
import pytest

from stablenew.errors import RecordError
from stablenew.learning.learning_record_reader import read_records
from stablenew.storage.record_appender import append_lines
from stablenew.storage.record_reader import follow, read_lines

OLDER = Path(__file__).parents[1] / "learning" / "data" / "older.jsonl"


def record(number: int) -> bytes:
    return json.dumps({"run_id": f"run-{number}"}).encode()


def test_records_are_read_one_at_a_time_with_a_bounded_amount_of_memory(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    line = json.dumps({"run_id": "r", "metadata": {"pad": "x" * 2_000}}).encode() + b"\n"
    path.write_bytes(line * 20_000)
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_records(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 20_000
    assert peak < 5_000_000


def test_bad_lines_are_reported_with_their_numbers_and_the_rest_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(record(1) + b"\n{torn\n\n[1]\n" + record(2) + b"\n\xff\xfe\n" + record(3))
    errors: list[RecordError] = []
    found = [each.run_id for each in read_records(path, report=errors.append)]
    assert found == ["run-1", "run-2", "run-3"]
    assert [error.line for error in errors] == [2, 4, 6]
    assert list(read_records(str(path)))
    assert f"{path}:2" in caplog.text


def test_reading_stops_at_the_size_that_the_file_had(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(record(1) + b"\n" + record(2) + b"\n")
    records = read_records(path)
    assert next(records).run_id == "run-1"
    with path.open("ab") as other:
        other.write(record(3) + b"\n")
    assert [each.run_id for each in records] == ["run-2"]


def test_a_missing_file_has_no_records(tmp_path: Path) -> None:
    assert list(read_records(tmp_path / "none.jsonl")) == []


def test_older_files_are_read_without_loss() -> None:
    found = list(read_records(OLDER))
    plain = [json.loads(line) for line in OLDER.read_text().splitlines()]
    assert len(found) == len(plain) == 5
    for each, before in zip(found, plain, strict=True):
        after = json.loads(each.to_json())
        assert {key: after[key] for key in before} == before


def test_lines_have_their_numbers_and_blank_ones_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"a\r\n\n  \nb\nc")
    assert list(read_lines(path)) == [(1, b"a"), (4, b"b"), (5, b"c")]


async def test_a_followed_file_tells_each_line_once_through_every_replacement(
    tmp_path: Path,
) -> None:
    path = tmp_path / "r.jsonl"
    heard: list[tuple[bytes, int]] = []

    async def listen(offset: int, until: int) -> None:
        async for line, after in follow(path, offset, interval=0.001):
            heard.append((line, after))
            if len(heard) == until:
                return

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen, 0, 30)
        for number in range(30):
            await append_lines(path, [record(number)])
    assert [line for line, _ in heard] == [record(number) for number in range(30)]
    assert heard[-1][1] == path.stat().st_size
    offset = heard[9][1]
    heard.clear()
    await listen(offset, 20)
    assert [line for line, _ in heard] == [record(number) for number in range(10, 30)]


async def test_half_a_line_and_a_long_one_are_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    long = b"x" * 3_000_000
    path.write_bytes(long + b"\nhalf")
    lines = follow(str(path), interval=0.001)
    assert (await anext(lines))[0] == long
    with anyio.move_on_after(0.02) as scope:
        await anext(lines)
    assert scope.cancelled_caught
    with path.open("ab") as other:
        other.write(b" and whole\n")
    assert (await anext(lines))[0] == b"half and whole"
