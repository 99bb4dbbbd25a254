from __future__ import annotations

import json
from pathlib import Path

import pytest

from stablenew.errors import ConfigError
from stablenew.learning.dataset_builder import build_learning_dataset
from stablenew.learning.feedback_manager import record_feedback
from stablenew.learning.learning_record import LearningRecord
from stablenew.learning.learning_record_writer import LearningRecordWriter
from tests.support import lines


async def test_a_rating_is_appended_and_an_earlier_one_stays(runs: Path) -> None:
    path = await record_feedback("run-1", "upscale_1", 4, base_dir=runs)
    await record_feedback("run-1", "upscale_1", 2, "on second thought: 悪い", base_dir=str(runs))
    first, second = map(json.loads, lines(path))
    assert path == runs / "run-1" / "feedback.jsonl"
    assert (first["rating"], first["notes"]) == (4, None)
    assert (second["rating"], second["notes"]) == (2, "on second thought: 悪い")
    assert first["image_id"] == "upscale_1"
    assert first["timestamp"]


@pytest.mark.parametrize("rating", [0, 6, -1, 3.5, "4", True, None])
async def test_a_rating_that_is_none_of_one_to_five_is_refused(runs: Path, rating: object) -> None:
    with pytest.raises(ConfigError, match="1 to 5"):
        await record_feedback("run-1", "txt2img_1", rating, base_dir=runs)  # type: ignore[arg-type]
    assert not runs.exists()


@pytest.mark.parametrize(("run_id", "image_id"), [("../x", "a"), ("a", "../x"), ("", "a")])
async def test_ids_must_be_safe_as_file_names(runs: Path, run_id: str, image_id: str) -> None:
    with pytest.raises(ConfigError, match="_id"):
        await record_feedback(run_id, image_id, 3, base_dir=runs)


async def test_a_dataset_has_each_run_once_and_every_rating(runs: Path) -> None:
    writer = LearningRecordWriter(runs)
    await writer.append_record(LearningRecord(run_id="a", metadata={"try": 1}))
    await writer.append_record(LearningRecord(run_id="b"))
    await writer.append_record(LearningRecord(run_id="a", metadata={"try": 2}))
    await record_feedback("a", "txt2img_1", 5, base_dir=runs)
    await record_feedback("b", "txt2img_1", 1, base_dir=runs)
    dataset = build_learning_dataset(runs)
    assert [run["run_id"] for run in dataset["runs"]] == ["a", "b"]
    assert dataset["runs"][0]["metadata"] == {"try": 2}
    assert [rating["rating"] for rating in dataset["feedback"]] == [5, 1]


async def test_lines_that_cannot_be_read_are_named_and_left_out(
    runs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = await record_feedback("a", "txt2img_1", 5, base_dir=runs)
    path.write_text(path.read_text() + "broken\n[1]\n")
    records = runs / "learning_records.jsonl"
    records.write_text('{"run_id": "a"}\n{"torn": \n\n{"run_id": "b"}')
    dataset = build_learning_dataset(runs)
    assert [run["run_id"] for run in dataset["runs"]] == ["a", "b"]
    assert len(dataset["feedback"]) == 1
    assert f"{records}:2" in caplog.text
    assert f"{path}:2" in caplog.text


def test_an_empty_folder_is_an_empty_dataset(runs: Path) -> None:
    assert build_learning_dataset(runs) == {"runs": [], "feedback": []}
