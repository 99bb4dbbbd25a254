from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from stablenew.app import open_app
from stablenew.backends.fake import FakeBackend
from stablenew.config.settings import Settings
from stablenew.errors import ConfigError
from stablenew.learning.axis import (
    axis_in_step,
    axis_of_presets,
    axis_of_prompts,
    axis_of_values,
)
from stablenew.learning.dataset_builder import COLUMNS, build_learning_dataset, iter_dataset
from stablenew.learning.dataset_export import export_csv, export_folder
from stablenew.learning.feedback_manager import (
    package_feedback,
    prefer,
    record_feedback,
    withdraw_choice,
    withdraw_feedback,
)
from stablenew.learning.feedback_reader import read_feedback
from stablenew.learning.learning_plan import LearningPlan
from stablenew.learning.learning_record import LearningRecord
from stablenew.learning.learning_record_writer import LearningRecordWriter
from tests.support import lines


def there(runs: Path, *names: str) -> None:
    """Make the folders of runs."""
    for name in names:
        (runs / name).mkdir(parents=True, exist_ok=True)


async def test_a_rating_of_a_run_that_is_not_there_is_refused_and_writes_nothing(
    runs: Path,
) -> None:
    said = "run_id: given 'ghost', expected a run in"
    ghost, other = ("ghost", "x_1"), ("b", "x_1")
    with pytest.raises(ConfigError, match=said):
        await record_feedback(*ghost, 4, base_dir=runs)
    with pytest.raises(ConfigError, match=said):
        await withdraw_feedback(*ghost, base_dir=runs)
    with pytest.raises(ConfigError, match=said):
        await prefer(ghost, other, base_dir=runs)
    with pytest.raises(ConfigError, match=said):
        await withdraw_choice(ghost, other, base_dir=runs)
    assert not runs.exists()


async def test_a_rating_is_appended_and_an_earlier_one_stays(runs: Path) -> None:
    there(runs, "run-1")
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
    there(runs, "a", "b")
    await record_feedback("a", "txt2img_1", 5, base_dir=runs)
    await record_feedback("b", "txt2img_1", 1, base_dir=runs)
    dataset = build_learning_dataset(runs)
    assert [run["run_id"] for run in dataset["runs"]] == ["a", "b"]
    assert dataset["runs"][0]["metadata"] == {"try": 2}
    assert [rating["rating"] for rating in dataset["feedback"]] == [5, 1]


async def test_lines_that_cannot_be_read_are_named_and_left_out(
    runs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there(runs, "a")
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


async def test_a_rating_again_supersedes_and_a_withdrawal_takes_it_back(runs: Path) -> None:
    there(runs, "a")
    await record_feedback("a", "x_1", 2, base_dir=runs)
    await record_feedback(
        "a", "x_1", 5, "better", base_dir=runs, subscores={"anatomy": 4}, tags=("keep",)
    )
    (rating,) = read_feedback(runs).ratings.values()
    assert (rating.rating, rating.notes, rating.tags) == (5, "better", ("keep",))
    assert dict(rating.subscores) == {"anatomy": 4}
    await withdraw_feedback("a", "x_1", base_dir=runs)
    assert read_feedback(runs).ratings == {}
    assert len(lines(runs / "a" / "feedback.jsonl")) == 3


@pytest.mark.parametrize("subscores", [{"beauty": 3}, {"anatomy": 9}, {"anatomy": "5"}])
async def test_wrong_subscores_are_refused(runs: Path, subscores: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        await record_feedback("a", "x_1", 3, base_dir=runs, subscores=subscores)
    assert not runs.exists()


async def test_a_choice_is_kept_with_the_winners_run(runs: Path) -> None:
    there(runs, "a")
    path = await prefer(("a", "x_1"), ("b", "x_1"), base_dir=runs)
    assert path == runs / "a" / "feedback.jsonl"
    (choice,) = read_feedback(runs).choices
    assert (choice.winner, choice.loser) == (("a", "x_1"), ("b", "x_1"))
    with pytest.raises(ConfigError, match="twice"):
        await prefer(("a", "x_1"), ("a", "x_1"), base_dir=runs)
    with pytest.raises(ConfigError, match="run_id"):
        await prefer(("a", "x_1"), ("../b", "x_1"), base_dir=runs)


async def test_older_lists_are_read_and_newer_lines_count_more(runs: Path) -> None:
    (runs / "a").mkdir(parents=True)
    older = [{"image_id": "x_1", "rating": 2}, {"image_id": "x_2", "rating": 4}, "odd"]
    (runs / "a" / "feedback.json").write_text(json.dumps(older))
    await record_feedback("a", "x_1", 5, base_dir=runs)
    problems: list[str] = []
    feedback = read_feedback(runs, report=lambda problem: problems.append(str(problem)))
    assert {key: each.rating for key, each in feedback.ratings.items()} == {
        ("a", "x_1"): 5,
        ("a", "x_2"): 4,
    }
    assert len(problems) == 1
    assert "feedback.json:3" in problems[0]


async def test_broken_lines_of_feedback_are_told_and_the_rest_is_used(runs: Path) -> None:
    there(runs, "a")
    path = await record_feedback("a", "x_1", 5, base_dir=runs)
    whole = path.read_text()
    path.write_text(f'{whole}torn {{\n[1]\n{{"image_id": "x_2", "rating": 9}}\n{{"a": 1}}\n')
    problems: list[str] = []
    feedback = read_feedback(runs, report=lambda problem: problems.append(str(problem)))
    assert list(feedback.ratings) == [("a", "x_1")]
    assert [problem.partition(": ")[0] for problem in problems] == [
        f"{path}:{line}" for line in (2, 3, 4, 5)
    ]


async def test_a_plans_feedback_is_handed_on_as_one_bundle(runs: Path) -> None:
    (runs / "p").mkdir(parents=True)
    (runs / "p" / "plan.json").write_text('{"plan_id": "p", "plan": {"mode": "sweep"}}')
    there(runs, "p-00001", "q-00001")
    await record_feedback("p-00001", "x_1", 4, "nice", base_dir=runs)
    await record_feedback("q-00001", "x_1", 1, base_dir=runs)
    await prefer(("p-00001", "x_1"), ("p-00002", "x_1"), base_dir=runs)
    bundle = json.loads(json.dumps(package_feedback("p", base_dir=runs)))
    assert bundle["plan"]["plan"] == {"mode": "sweep"}
    assert [each["rating"] for each in bundle["feedback"]] == [4]
    assert bundle["choices"][0]["winner"] == ["p-00001", "x_1"]
    with pytest.raises(ConfigError, match="plan"):
        package_feedback("nope", base_dir=runs)


OLDER = Path(__file__).parent / "data" / "older.jsonl"
OUTPUT = {"stage": "txt2img", "image_id": "txt2img_1", "path": "a/txt2img_1.png", "seed": 1}


async def test_rows_are_flat_with_the_value_by_its_kind_and_the_rating(runs: Path) -> None:
    writer = LearningRecordWriter(runs)
    for run_id, value in (("a", 7), ("b", "Euler"), ("c", True), ("a", 8)):
        tags = {"stage": "txt2img", "variable_name": "x", "variable_value": value}
        record = LearningRecord(run_id=run_id, metadata=tags, outputs=(OUTPUT,))
        await writer.append_record(record)
    there(runs, "a")
    await record_feedback("a", "txt2img_1", 4, base_dir=runs, subscores={"anatomy": 2})
    rows = list(iter_dataset(runs))
    assert [(row["run_id"], row["value_num"], row["value_text"]) for row in rows] == [
        ("b", None, "Euler"),
        ("c", None, "True"),
        ("a", 8, None),
    ]
    assert all(tuple(row) == (*COLUMNS, "txt2img.x") for row in rows)
    assert [row["txt2img.x"] for row in rows] == ["Euler", True, 8]
    assert (rows[2]["rating"], rows[2]["anatomy"]) == (4, 2)


async def test_each_path_that_some_run_varied_has_a_column_and_the_first_two_axes_are_named(
    runs: Path,
) -> None:
    crisp = {"txt2img.steps": 30, "txt2img.cfg_scale": 8}
    films = axis_of_values("lora.film", [0.5, 1])
    samplers = axis_in_step({"txt2img.sampler_name": ["Euler a"], "txt2img.width": [64]})
    prompts = axis_of_prompts(["a red cat", ("a cat, red", "blurry")])
    words = axis_of_values("replace.red", ["blue"])
    plans = [[words, films, samplers], [samplers, prompts], [axis_of_presets({"crisp": crisp})]]
    config = {"txt2img": {"prompt": "a red cat", "negative_prompt": "", "seed": 1}}
    async with open_app(Settings(out=runs, learning_enabled=True), backend=FakeBackend()) as app:
        for axes in plans:
            await app.learning.run_learning_plan(LearningPlan(axes=axes), config)
    rows = list(iter_dataset(runs))
    added = [tuple(row)[len(COLUMNS) :] for row in rows]
    assert {*added} == {
        (*("lora.film", "replace.red", "txt2img.sampler_name", "txt2img.width"),
         *("txt2img.prompt", "txt2img.negative_prompt", "txt2img.cfg_scale", "txt2img.steps"))
    }  # fmt: skip
    assert rows[1]["lora.film"] == 1
    assert (rows[3]["txt2img.negative_prompt"], rows[3]["lora.film"]) == ("blurry", None)
    assert rows[4]["txt2img.cfg_scale"] == 8
    named = ("variable", "value", "value_num", "value_text", "y_variable", "y_value")
    assert [tuple(row[name] for name in named) for row in rows] == [
        ("replace.red", "blue", None, "blue", "lora.film", 0.5),
        ("replace.red", "blue", None, "blue", "lora.film", 1),
        ("txt2img.sampler_name", "Euler a", None, "Euler a", "txt2img.prompt", "a red cat"),
        ("txt2img.sampler_name", "Euler a", None, "Euler a", "txt2img.prompt", "a cat, red"),
        ("preset", "crisp", None, "crisp", None, None),
    ]


def test_older_records_are_rows_without_a_picture(tmp_path: Path) -> None:
    (tmp_path / "learning_records.jsonl").write_bytes(OLDER.read_bytes())
    rows = list(iter_dataset(tmp_path))
    assert [row["rating"] for row in rows] == [4, 2, 5, 3, 4]
    assert [row["value_num"] for row in rows][:3] == [7.0, 2.0, 20.0]
    assert rows[0]["variable"] == "txt2img.cfg_scale"


async def test_a_table_is_written_whole_and_read_back(runs: Path, tmp_path: Path) -> None:
    record = LearningRecord(run_id="a", outputs=({**OUTPUT, "prompt": 'a "cat",\nred'},))
    await LearningRecordWriter(runs).append_record(record)
    assert export_csv(runs, tmp_path / "t.csv") == 1
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8-sig") as file:
        (row,) = csv.DictReader(file)
    assert row["prompt"] == 'a "cat",\nred'
    assert row["rating"] == ""
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def _read_back(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table as `docs/Learning_System_Spec_v2.md` says how to."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        return [
            {
                name: re.sub(r"^'('*[=+\-@\t\r\n＝＋－＠])", r"\1", cell)
                for name, cell in row.items()
            }
            for row in csv.DictReader(file)
        ]


FORMULAS = ("=1+2", "@artist", "+_+", "-shot", "\t=1", "\r=1", "＝1", "'=1", "''+x", "=-5")


@pytest.mark.parametrize("prompt", FORMULAS)
async def test_no_cell_is_a_formula_and_every_cell_is_what_it_was(
    runs: Path, tmp_path: Path, prompt: str
) -> None:
    await LearningRecordWriter(runs).append_record(
        LearningRecord(run_id="a", outputs=({**OUTPUT, "prompt": prompt},))
    )
    export_csv(runs, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8-sig") as file:
        (row,) = csv.DictReader(file)
    assert row["prompt"].startswith("'")
    assert _read_back(tmp_path / "t.csv")[0]["prompt"] == prompt


@pytest.mark.parametrize("value", [-1, -0.5, 1e-7, "-5", "+5", "-1.5e-3", "it's", "'90s", "a=b"])
async def test_a_number_stays_a_number_in_a_table(
    runs: Path, tmp_path: Path, value: str | float
) -> None:
    await LearningRecordWriter(runs).append_record(
        LearningRecord(run_id="a", outputs=({**OUTPUT, "cfg_scale": value},))
    )
    export_csv(runs, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8-sig") as file:
        (row,) = csv.DictReader(file)
    assert row["cfg_scale"] == str(value)


async def test_a_table_says_that_it_is_unicode_and_takes_any_text(
    runs: Path, tmp_path: Path
) -> None:
    prompt = "猫 \ud83d"
    (runs / "a").mkdir(parents=True)
    line = json.dumps({"run_id": "a", "outputs": [{**OUTPUT, "prompt": prompt}]})
    (runs / "learning_records.jsonl").write_text(line + "\n")
    export_csv(runs, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_bytes().startswith(b"\xef\xbb\xbfrun_id,")
    assert _read_back(tmp_path / "t.csv")[0]["prompt"] == "猫 \\ud83d"


async def test_a_folder_has_the_pictures_and_their_metadata(runs: Path, tmp_path: Path) -> None:
    (runs / "a").mkdir(parents=True)
    (runs / "a" / "txt2img_1.png").write_bytes(b"picture")
    gone = {**OUTPUT, "image_id": "txt2img_2", "path": "a/txt2img_2.png"}
    await LearningRecordWriter(runs).append_record(
        LearningRecord(run_id="a", outputs=(OUTPUT, gone))
    )
    dest = tmp_path / "images"
    assert export_folder(runs, dest) == 1
    assert export_folder(runs, dest) == 1  # again, over its own
    (line,) = lines(dest / "metadata.jsonl")
    assert (dest / json.loads(line)["file_name"]).read_bytes() == b"picture"
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("x")
    with pytest.raises(ConfigError, match="expected an empty folder"):
        export_folder(runs, other)
    with pytest.raises(ConfigError, match="cannot write"):
        export_csv(runs, other / "mine.txt" / "x.csv")
