"""A person's ratings and choices as they were written, read back; the last one counts.

Older `feedback.json` lists are read as well. What cannot be read is reported and left out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType

import attrs
import msgspec

from stablenew._arguments import takes
from stablenew._clock import checked_id
from stablenew._convert import as_python, frozen_mapping
from stablenew._names import checked_path
from stablenew.errors import ConfigError, RecordError
from stablenew.storage.disk_errors import disk_errors
from stablenew.storage.record_reader import NOT_JSON, read_lines

logger = logging.getLogger(__name__)

FEEDBACK_FILE = "feedback.jsonl"
OLDER_FILE = "feedback.json"
SUBSCORES = ("anatomy", "composition", "prompt_adherence")

_FILES = (OLDER_FILE, FEEDBACK_FILE)

ReportProblem = Callable[[RecordError], None]


@attrs.frozen(kw_only=True)
class Rating:
    """What a person thinks of one picture.

    Attributes:
        rating: 1 (bad) to 5 (good); None where an earlier rating was withdrawn.
        subscores: The same for parts of it: some of `SUBSCORES`.
    """

    run_id: str
    image_id: str
    rating: int | None
    notes: str | None = None
    timestamp: str = ""
    subscores: Mapping[str, int] = attrs.field(factory=dict, converter=frozen_mapping)
    tags: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Choice:
    """That one picture is better than another; each a run's id and a picture's."""

    winner: tuple[str, str]
    loser: tuple[str, str]
    timestamp: str = ""


@attrs.frozen(kw_only=True)
class Feedback:
    """What is known of a folder's pictures.

    Attributes:
        ratings: The one that counts for each picture, by its run's id and its own.
        choices: Every choice, in the order of files and lines.
    """

    ratings: Mapping[tuple[str, str], Rating] = attrs.field(factory=dict)
    choices: tuple[Choice, ...] = ()


def checked_rating(name: str, rating: object) -> int:
    """Return a rating, if it is one: a whole number in whatever type, 4.0 and numpy's included.

    Raises:
        ConfigError: It is none of 1 to 5; whoever has 3.7 rounds it, and knows why.
    """
    number = as_python(rating)
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= 5:
        raise ConfigError(f"{name}: given {number!r}, expected a whole number from 1 to 5")
    return number


@takes(run_ids=(list, tuple, NoneType))
def read_feedback(
    base_dir: str | Path,
    *,
    run_ids: Sequence[str] | None = None,
    report: ReportProblem | None = None,
) -> Feedback:
    """Return what is known of the pictures under a folder.

    Args:
        base_dir: The folder of all runs.
        run_ids: Of these runs alone, if given.
        report: Told of each line that is no feedback, with its number; logged if not given.
    """
    ratings: dict[tuple[str, str], Rating] = {}
    choices: list[Choice] = []
    for path, number, line in feedback_lines(base_dir, run_ids=run_ids, report=report):
        try:
            said = _read_line(line, path.parent.name)
        except (ConfigError, TypeError) as error:
            (report or _log)(RecordError(f"no feedback: {error}", path=path, line=number))
            continue
        if isinstance(said, Choice) and line.get("withdrawn"):
            _withdraw(choices, said)
        elif isinstance(said, Choice):
            choices.append(said)
        else:
            ratings[said.run_id, said.image_id] = said
    kept = {key: rating for key, rating in ratings.items() if rating.rating is not None}
    return Feedback(ratings=kept, choices=tuple(choices))


def _withdraw(choices: list[Choice], said: Choice) -> None:
    """Take out the last choice between two pictures that was the same."""
    for n in reversed(range(len(choices))):
        if (choices[n].winner, choices[n].loser) == (said.winner, said.loser):
            del choices[n]
            return


def feedback_lines(
    base_dir: str | Path,
    *,
    run_ids: Sequence[str] | None = None,
    report: ReportProblem | None = None,
) -> Iterator[tuple[Path, int, dict[str, object]]]:
    """Yield every line of feedback under a folder, the older files' before the newer ones'.

    Each with its file and its number in there; what is no JSON object is reported and left out.
    """
    base = checked_path("base_dir", base_dir)
    for path in _files(base, run_ids):
        with disk_errors(path):
            is_file = path.is_file()
        if not is_file:
            (report or _log)(RecordError("no feedback: not a file", path=path))
            continue
        for number, data in _entries(path):
            if isinstance(data, dict):
                yield path, number, data
            else:
                (report or _log)(RecordError("no feedback: not JSON", path=path, line=number))


def _files(base: Path, run_ids: Sequence[str] | None) -> list[Path]:
    """Return the files of feedback under a folder, the older ones first.

    Raises:
        RecordError: The folder cannot be read.
    """
    with disk_errors(base):
        if run_ids is None:
            return [path for name in _FILES for path in sorted(base.glob(f"*/{name}"))]
        # The folder may hold many thousand others.
        folders = [base / checked_id("run_id", each) for each in run_ids]
        paths = [folder / name for name in _FILES for folder in folders]
        return [path for path in paths if path.exists()]


def _entries(path: Path) -> Iterator[tuple[int, object]]:
    """Yield a file's entries, each with its number; None for one that cannot be read."""
    if path.name == OLDER_FILE:
        try:
            data = msgspec.json.decode(path.read_bytes())
        except (*NOT_JSON, OSError):
            data = None
        yield from enumerate(data if isinstance(data, list) else [data], start=1)
        return
    for number, line in read_lines(path):
        try:
            yield number, msgspec.json.decode(line)
        except NOT_JSON:
            yield number, None


def _read_line(line: Mapping[str, object], run_id: str) -> Rating | Choice:
    """Read one line; the run is the folder's where an older line does not say.

    Raises:
        ConfigError: It is no feedback.
    """
    picture = str(line.get("run_id") or run_id), str(line.get("image_id") or "")
    timestamp = str(line.get("timestamp") or "")
    other = line.get("preferred_to")
    if isinstance(other, Mapping):
        if not other.get("run_id") or not other.get("image_id"):
            raise ConfigError("preferred_to: expected a run_id and an image_id")
        loser = str(other.get("run_id")), str(other.get("image_id"))
        return Choice(winner=picture, loser=loser, timestamp=timestamp)
    rating, subscores, tags = line.get("rating"), line.get("subscores"), line.get("tags")
    if "rating" not in line:
        raise ConfigError("rating: missing")
    return Rating(
        run_id=picture[0],
        image_id=picture[1],
        rating=None if rating is None else checked_rating("rating", _whole(rating)),
        notes=None if line.get("notes") is None else str(line["notes"]),
        timestamp=timestamp,
        subscores={
            str(name): score
            for name, score in (subscores.items() if isinstance(subscores, Mapping) else ())
            if isinstance(score, int) and not isinstance(score, bool) and 1 <= score <= 5
        },
        tags=tuple(map(str, tags)) if isinstance(tags, list) else (),
    )


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _log(error: RecordError) -> None:
    logger.warning("left out: %s", error)
