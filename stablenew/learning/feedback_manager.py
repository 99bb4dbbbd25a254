"""A person's ratings and choices, beside the pictures they are for.

A run's `feedback.jsonl` has a line for each rating, each choice and each withdrawal; lines are only
ever added, and the last one about a picture counts.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType

import anyio.to_thread
import attrs

from stablenew._arguments import checked_list, shown, takes
from stablenew._clock import Clock, checked_id
from stablenew._convert import sorted_json
from stablenew._names import checked_path, suggestion
from stablenew.config.input_file import read_table
from stablenew.errors import ConfigError
from stablenew.learning.feedback_reader import (
    FEEDBACK_FILE,
    SUBSCORES,
    Rating,
    ReportProblem,
    checked_rating,
    read_feedback,
)
from stablenew.learning.gallery import plan_runs
from stablenew.storage.record_appender import append_lines


def check_writable(base_dir: str | Path, run_ids: Iterable[str]) -> None:
    """See that ratings of some runs can be kept; blocks, for a worker thread.

    Raises:
        ConfigError: A run's folder cannot be written to.
    """
    base = checked_path("base_dir", base_dir)
    folders = [base / each if (base / each).exists() else base for each in run_ids]
    # A quick look at each, and one real file: the look says neither why nor, to root, everything.
    suspect = next((each for each in folders if not os.access(each, os.W_OK)), None)
    for folder in [suspect] if suspect else folders[:1]:
        try:
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe-"):
                pass
        except OSError as error:
            said = f"cannot write to {str(folder)!r} ({error.strerror})"
            raise ConfigError(f"{said}; ratings are kept beside the pictures") from error


@takes(subscores=(Mapping, NoneType), notes=(str, NoneType))
async def record_feedback(
    run_id: str,
    image_id: str,
    rating: int,
    notes: str | None = None,
    *,
    base_dir: str | Path = "runs",
    subscores: Mapping[str, int] | None = None,
    tags: Sequence[str] = (),
    clock: Clock = Clock(),
) -> Path:
    """Add a rating to `<run_id>/feedback.jsonl`; it takes the place of an earlier one, which stays.

    Args:
        run_id: The run that made the picture.
        image_id: The picture: `<stage>_<n>`.
        rating: 1 (bad) to 5 (good).
        notes: Whatever the person has to say.
        base_dir: The folder of all runs.
        subscores: Some of `SUBSCORES`, each 1 to 5.
        tags: Kept with the rating.
        clock: Where the time comes from.

    Returns:
        The file.

    Raises:
        ConfigError: A rating that is none of 1 to 5, or an id of no run there is.
        RecordError: The rating is not on disk; the file is as it was.
    """
    tags = checked_list("tags", tags, str)
    scores = {name: checked_rating(name, score) for name, score in (subscores or {}).items()}
    for name in scores:
        if name not in SUBSCORES:
            raise ConfigError(f"subscores: given {name!r}, {suggestion(name, SUBSCORES)}")
    line: dict[str, object] = {
        "rating": checked_rating("rating", rating),
        "notes": notes,
        **({"subscores": scores} if scores else {}),
        **({"tags": tags} if tags else {}),
    }
    return await _append(run_id, image_id, line, base_dir, clock)


async def withdraw_feedback(
    run_id: str, image_id: str, *, base_dir: str | Path = "runs", clock: Clock = Clock()
) -> Path:
    """Take a picture's rating back: it counts as not rated, and the earlier lines stay.

    Raises:
        ConfigError: An id of no run that there is.
        RecordError: It is not on disk; the file is as it was.
    """
    return await _append(run_id, image_id, {"rating": None, "notes": None}, base_dir, clock)


@takes(winner=(list, tuple), loser=(list, tuple))
async def prefer(
    winner: tuple[str, str],
    loser: tuple[str, str],
    *,
    base_dir: str | Path = "runs",
    clock: Clock = Clock(),
) -> Path:
    """Record that one picture is better than another, beside the better one.

    Args:
        winner: The better one: a run's id and a picture's.
        loser: The other one.
        base_dir: The folder of all runs.
        clock: Where the time comes from.

    Raises:
        ConfigError: Both are the same, or an id is of no run that there is.
        RecordError: The choice is not on disk; the file is as it was.
    """
    for name, key in (("winner", winner), ("loser", loser)):
        if len(key) != 2:
            raise ConfigError(f"{name}: given {shown(key)}, expected a run's id and a picture's")
    if winner == loser:
        raise ConfigError(f"prefer: given {winner[0]}/{winner[1]} twice, expected two pictures")
    other = {"run_id": checked_id("run_id", loser[0]), "image_id": checked_id("image_id", loser[1])}
    return await _append(*winner, {"preferred_to": other}, base_dir, clock)


@takes(winner=(list, tuple), loser=(list, tuple))
async def withdraw_choice(
    winner: tuple[str, str],
    loser: tuple[str, str],
    *,
    base_dir: str | Path = "runs",
    clock: Clock = Clock(),
) -> Path:
    """Take a choice between two pictures back: it counts no more, and the earlier lines stay.

    Raises:
        ConfigError: An id of no run that there is.
        RecordError: It is not on disk; the file is as it was.
    """
    other = {"run_id": checked_id("run_id", loser[0]), "image_id": checked_id("image_id", loser[1])}
    line = {"preferred_to": other, "withdrawn": True}
    return await _append(*winner, line, base_dir, clock)


async def _append(
    run_id: str, image_id: str, line: Mapping[str, object], base_dir: str | Path, clock: Clock
) -> Path:
    base = checked_path("base_dir", base_dir)
    path = base / checked_id("run_id", run_id) / FEEDBACK_FILE
    if not await anyio.to_thread.run_sync(_may_be_there, path.parent):
        raise ConfigError(f"run_id: given {run_id!r}, expected a run in {str(base)!r}")
    picture = {"run_id": run_id, "image_id": checked_id("image_id", image_id)}
    whole = {**picture, **line, "timestamp": clock.now().isoformat()}
    await append_lines(path, [sorted_json(whole).encode()])
    return path


def _may_be_there(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError:  # the disk says what is wrong when it is written to
        return True


def package_feedback(
    plan_id: str, *, base_dir: str | Path = "runs", report: ReportProblem | None = None
) -> dict[str, object]:
    """Return a plan and what was said about its pictures, as plain data to hand on.

    Returns:
        The plan under `plan_id` and `plan`, the ratings that count under `feedback`, and `choices`.

    Raises:
        ConfigError: There is no such plan.
        RecordError: The folder cannot be read.
    """
    base = checked_path("base_dir", base_dir)
    plan = read_table(base / checked_id("plan_id", plan_id) / "plan.json")
    runs = [path.name for path in plan_runs(base / plan_id)]
    feedback = read_feedback(base, run_ids=runs, report=report)
    return {
        "plan_id": plan_id,
        "plan": plan,
        "feedback": [_plain(rating) for rating in feedback.ratings.values()],
        "choices": [
            {"winner": list(each.winner), "loser": list(each.loser), "timestamp": each.timestamp}
            for each in feedback.choices
        ],
    }


def _plain(rating: Rating) -> dict[str, object]:
    return {
        **attrs.asdict(rating, recurse=False),
        "subscores": dict(rating.subscores),
        "tags": list(rating.tags),
    }
