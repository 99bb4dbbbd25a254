"""What all runs in a folder left behind: as one plain dataset, or row by row."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import msgspec

from stablenew._convert import unstructure
from stablenew._names import checked_path
from stablenew.config.pipeline_config import Setting
from stablenew.config.settings import RECORDS_FILE
from stablenew.errors import RecordError
from stablenew.learning.feedback_reader import (
    Feedback,
    ReportProblem,
    feedback_lines,
    read_feedback,
)
from stablenew.learning.learning_record import LearningRecord
from stablenew.learning.learning_record_reader import read_records
from stablenew.learning.record_shapes import older_rating, plain_setting, varied_settings
from stablenew.storage.record_reader import NOT_JSON, read_lines

logger = logging.getLogger(__name__)

COLUMNS = (
    *("run_id", "image_id", "plan_id", "timestamp", "stage", "path", "sha256"),
    *(
        "variable",
        "value",
        "value_num",
        "value_text",
        "y_variable",
        "y_value",
        "rating",
        "notes",
        "tags",
    ),
    *("anatomy", "composition", "prompt_adherence"),
    *("prompt", "negative_prompt", "model", "model_hash", "sampler_name", "scheduler"),
    *("steps", "cfg_scale", "seed", "width", "height", "prompt_pack_id", "experiment_name"),
    "blank",
)
"""The columns of a row, in order. `value_num` and `value_text` hold the varied value by its kind,
so that a column has one type; None where there is nothing."""

_FROM_OUTPUT = (
    *("stage", "path", "sha256", "prompt", "negative_prompt", "model", "model_hash"),
    *("sampler_name", "scheduler", "steps", "cfg_scale", "seed", "width", "height"),
)


@attrs.define(eq=False)
class BadLines:
    """Counts the lines that could not be read, and names the first of them.

    Attributes:
        named: Each with its file and number; no more than `most`.
    """

    most: int = 20
    count: int = 0
    named: list[str] = attrs.field(factory=list)

    def __call__(self, problem: RecordError) -> None:
        """Count a problem."""
        self.count += 1
        if len(self.named) < self.most:
            self.named.append(str(problem))
            logger.warning("left out: %s", problem)


def build_learning_dataset(
    base_dir: str | Path, *, report: ReportProblem | None = None
) -> dict[str, list[dict[str, object]]]:
    """Gather the records and the lines of feedback under a folder.

    A run that was recorded more than once counts once, the last line wins. A line that cannot be
    read is reported with its number and left out; of feedback, every line is there, also one that
    a later one took the place of.

    Args:
        base_dir: The folder of all runs.
        report: Told of each line that cannot be read; logged if not given.

    Returns:
        Both as plain data, under `runs` and `feedback`.
    """
    base = checked_path("base_dir", base_dir)
    report = report or BadLines()
    runs = {record.run_id: record for record in read_records(base / RECORDS_FILE, report=report)}
    feedback = [
        {"run_id": path.parent.name, **line}
        for path, _, line in feedback_lines(base, report=report)
    ]
    return {"runs": [_plain(record) for record in runs.values()], "feedback": feedback}


def iter_dataset(
    base_dir: str | Path, *, report: ReportProblem | None = None
) -> Iterator[dict[str, object]]:
    """Yield a flat row for each picture, in the order of the records.

    Its keys are `COLUMNS`, and after them each path that some record's run varied, with the run's
    value: `txt2img.cfg_scale`. A run that was recorded more than once counts once, the last line
    wins. Records without a picture (older ones) yield one row with an empty `image_id`. Only ids
    and ratings are held.

    Args:
        base_dir: The folder of all runs.
        report: Told of each line that cannot be read; logged if not given.
    """
    base = checked_path("base_dir", base_dir)
    report = report or BadLines()
    feedback = read_feedback(base, report=report)
    last, paths = _last_lines(base / RECORDS_FILE)
    for number, record in enumerate(read_records(base / RECORDS_FILE, report=report)):
        if last.get(record.run_id) == number:
            yield from _rows(record, feedback, paths)


class _Tags(msgspec.Struct, frozen=True):
    varied: dict[str, msgspec.Raw] = msgspec.field(default_factory=dict)
    stage: str = "txt2img"
    variable_name: str = ""
    y_variable: str = ""


class _Head(msgspec.Struct):
    """What is read of every record before any is told of."""

    run_id: str = ""
    metadata: _Tags = msgspec.field(default_factory=_Tags)


class _Id(msgspec.Struct):
    run_id: str = ""


def _last_lines(path: Path) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return the number of each run's last record, not counting what is none, and varied paths."""
    last: dict[str, int] = {}
    paths: dict[str, None] = {}
    number = 0
    for _, line in read_lines(path):
        try:
            run_id = _noted(line, paths)
        except NOT_JSON:
            try:  # half of a surrogate pair, which the record reader takes
                run_id = LearningRecord.from_json(line).run_id
            except (ValueError, RecursionError):
                continue
        if run_id:
            last[run_id] = number
            number += 1
    return last, tuple(paths)


def _noted(line: bytes, paths: dict[str, None]) -> str:
    """Return whose record a line is, and note the paths that its run varied.

    Raises:
        DecodeError: It is no record.
    """
    try:
        head = msgspec.json.decode(line, type=_Head)
    except msgspec.ValidationError:  # tags of another shape
        return msgspec.json.decode(line, type=_Id).run_id
    tags = head.metadata
    if tags.varied:
        paths.update(dict.fromkeys(tags.varied))
    elif tags.variable_name:
        paths[f"{tags.stage}.{tags.variable_name}"] = None
        if tags.y_variable:
            paths[tags.y_variable] = None
    return head.run_id


def _rows(
    record: LearningRecord, feedback: Feedback, paths: tuple[str, ...]
) -> Iterator[dict[str, object]]:
    varied = varied_settings(record)
    row_of_run = (
        dict.fromkeys(COLUMNS)
        | {path: varied.get(path) for path in paths}
        | {
            "run_id": record.run_id,
            "plan_id": record.plan_id,
            "timestamp": record.timestamp,
            "prompt_pack_id": record.prompt_pack_id,
            "experiment_name": record.tags.get("experiment_name") or None,
            **_first_two(record.tags, varied),
        }
    )
    rated = older_rating(record)
    for output in record.pictures:
        row = row_of_run | {name: output.get(name) for name in _FROM_OUTPUT}
        row["image_id"] = image_id = str(output.get("image_id") or "")
        rating = feedback.ratings.get((record.run_id, image_id))
        row["rating"] = rated
        row["blank"] = bool(output.get("blank"))
        if rating:
            tags = " ".join(rating.tags) or None
            row |= {"rating": rating.rating, "notes": rating.notes, "tags": tags}
            row |= {name: score for name, score in rating.subscores.items() if name in row}
        yield row
    if not record.pictures:
        given = record.stage_config("txt2img")
        settings = {name: given.get(name) for name in _FROM_OUTPUT if name in given}
        notes = record.tags.get("user_notes") or None
        path = record.tags.get("image_path")
        yield (
            row_of_run | settings | {"image_id": "", "rating": rated, "notes": notes, "path": path}
        )


def _first_two(tags: Mapping[str, object], varied: Mapping[str, Setting]) -> dict[str, object]:
    """Return what the first two axes of a run's plan had; `varied` is in no order."""
    pairs = [*varied.items()][:2]
    if "varied" in tags and isinstance(name := tags.get("variable_name"), str) and name:
        whole = f"{tags.get('stage')}.{name}"
        path = whole if whole in varied else name
        pairs = [(path, varied.get(path, plain_setting(tags.get("variable_value"))))]
        if isinstance(other := tags.get("y_variable"), str):
            pairs.append((other, plain_setting(tags.get("y_value"))))
    if not pairs:
        return {}
    path, value = pairs[0]
    second, second_value = pairs[1] if len(pairs) > 1 else (None, None)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return {
        "y_variable": second,
        "y_value": second_value,
        "variable": path,
        "value": value,
        "value_num": value if number else None,
        "value_text": None if number or value is None else str(value),
    }


def _plain(record: LearningRecord) -> dict[str, object]:
    own = {field.name: getattr(record, field.name) for field in attrs.fields(LearningRecord)}
    extra = own.pop("extra")
    plain = unstructure({**own, **extra})
    assert isinstance(plain, dict)
    return plain
