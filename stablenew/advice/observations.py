"""What a person's ratings say about which setting, gathered from records and feedback.

A rated run that varied nothing stands for the settings that its config names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import attrs
import msgspec

from stablenew._clock import PLAN_ID_LENGTH, checked_id
from stablenew._names import checked_path
from stablenew.advice.made_with import compared_paths, made_with, named_settings, seconds_each
from stablenew.config.pipeline_config import Setting
from stablenew.config.settings import RECORDS_FILE
from stablenew.errors import RecordError
from stablenew.learning.axis import label_of
from stablenew.learning.feedback_reader import (
    FEEDBACK_FILE,
    Feedback,
    Rating,
    ReportProblem,
    read_feedback,
)
from stablenew.learning.gallery import plan_runs
from stablenew.learning.learning_record import LearningRecord
from stablenew.learning.learning_record_reader import read_records
from stablenew.learning.record_shapes import older_rating, varied_settings
from stablenew.learning.same_pictures import SameFinder, SamePictures
from stablenew.storage.record_reader import NOT_JSON

Key = tuple[str, str]
"""What names a picture: its run's id and its own."""


@attrs.frozen(kw_only=True)
class Picture:
    """One picture that can be rated, and what it stands for.

    Attributes:
        settings: The values that its run varied, by their paths: `txt2img.cfg_scale`.
        context: What it shares with others that differ by those values alone: plan and seed.
        rating: 1 to 5, None where it was not rated.
        path: Where it is, relative to the folder of all runs.
        seed: What it began with.
        start: The picture that it was made from; "" for none.
        made_with: Of every setting that any run varied, the value that its own run had.
        seconds: How long it took, None where that is not known.
        subscores: What was said of parts of it, 1 to 5.
        pixels: A digest of its pixels, "" where there is none.
    """

    run_id: str
    image_id: str
    settings: Mapping[str, Setting]
    context: str
    rating: int | None = None
    prompt: str = ""
    model: str = ""
    path: str = ""
    seed: str = ""
    start: str = ""
    made_with: Mapping[str, Setting] = attrs.field(factory=dict)
    seconds: float | None = None
    subscores: Mapping[str, int] = attrs.field(factory=dict)
    pixels: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What names it: its run's id and its own."""
        return self.run_id, self.image_id


@attrs.frozen(kw_only=True)
class Observations:
    """Everything that a recommendation is made from.

    Attributes:
        pictures: By their run's id and their own.
        choices: Pairs of such keys, the better one first.
        origins: For pictures that a later run used again: the one that they are.
        same: Settings that changed nothing, as the pixels show.
    """

    pictures: Mapping[Key, Picture]
    choices: tuple[tuple[Key, Key], ...] = ()
    origins: Mapping[Key, Key] = attrs.field(factory=dict)
    same: tuple[SamePictures, ...] = ()

    def same_by(self, parameter: str) -> list[SamePictures]:
        """Return where a setting alone changed nothing."""
        return [each for each in self.same if each.paths == (parameter,)]

    def all_the_same(self, parameter: str, values: Iterable[Setting]) -> str | None:
        """Return that some values, two or more, made the same picture, in words; None if not."""
        said = {label_of(value) for value in values}
        found = (str(each) for each in self.same_by(parameter) if said <= {*each.values})
        return next(found, None) if len(said) > 1 else None


def gather_observations(
    base_dir: str | Path, *, plan_id: str | None = None, report: ReportProblem | None = None
) -> Observations:
    """Gather what the records and ratings under a folder say.

    Args:
        base_dir: The folder of all runs.
        plan_id: Of this plan alone, if given.
        report: Told of each line that cannot be read, and of each rating of an unknown picture.
    """
    base = checked_path("base_dir", base_dir)
    if plan_id is not None:
        checked_id("plan_id", plan_id, PLAN_ID_LENGTH)
    records = {record.run_id: record for record in read_records(base / RECORDS_FILE, report=report)}
    if plan_id is not None:
        records = {key: record for key, record in records.items() if record.plan_id == plan_id}
    runs = None
    if plan_id is not None:
        runs = sorted({*records, *(path.name for path in plan_runs(base / plan_id))})
    feedback = read_feedback(base, run_ids=runs, report=report)
    spoken = {key[0] for key in feedback.ratings}
    spoken |= {key[0] for choice in feedback.choices for key in (choice.winner, choice.loser)}
    for run_id in sorted(spoken - set(records)):  # made while learning was off
        record = _unrecorded(base / run_id / "run_metadata.json")
        if record is not None:
            records[run_id] = record
    found = observe(records.values(), feedback)
    known = {*found.pictures, *found.origins, *_blank(records.values())}
    for key in [*feedback.ratings, *(key for choice in feedback.choices for key in
                                     (choice.winner, choice.loser))]:  # fmt: skip
        if key not in known and report is not None:
            said = f"a rating of {key[0]}/{key[1]}, which is no picture that is known"
            report(RecordError(said, path=base / key[0] / FEEDBACK_FILE))
    return found


def _unrecorded(path: Path) -> LearningRecord | None:
    """Return what a run's metadata says of it, as a record would; None where there is none."""
    try:
        data = msgspec.json.decode(path.read_bytes())
        outputs = [{**each.get("settings", {}), **each} for each in data["stage_outputs"]]
        made = Counter(each["stage"] for each in outputs)
        events = [
            {"duration_s": stage.get("duration"), "images": made[stage["stage"]]}
            for stage in data["stages"]
        ]
        return LearningRecord(
            run_id=data["run_id"],
            plan_id=data.get("plan_id"),
            base_config=data.get("config") or {},
            metadata=data.get("metadata") or {},
            stage_plan=tuple(stage["stage"] for stage in data["stages"]),
            stage_events=tuple(events),
            outputs=tuple(outputs),
        )
    except (OSError, *NOT_JSON, KeyError, TypeError, AttributeError):
        return None


def _blank(records: Iterable[LearningRecord]) -> Iterator[Key]:
    """Yield the pictures that are one single colour: a rating of them says nothing."""
    for record in records:
        for output in record.pictures:
            if output.get("blank"):
                yield record.run_id, _text(output, "image_id")


def observe(records: Iterable[LearningRecord], feedback: Feedback) -> Observations:
    """Join records and feedback; a later record of a run takes the place of an earlier one.

    A blank picture says nothing. One that later runs used again is one picture, and its rating
    counts once: the last one, wherever it was given.
    """
    records = list(records)
    origins = _origins(records)
    feedback = _at_origins(feedback, origins)
    paths = compared_paths(records)
    pictures = {
        (picture.run_id, picture.image_id): picture
        for record in records
        for picture in _pictures(record, feedback, paths)
        if (picture.run_id, picture.image_id) not in origins
    }
    choices = tuple(
        (choice.winner, choice.loser)
        for choice in feedback.choices
        if choice.winner in pictures and choice.loser in pictures
    )
    finder = SameFinder()
    for each in pictures.values():
        finder.add_picture(each.settings, each.pixels, (each.context, each.prompt))
    return Observations(pictures=pictures, choices=choices, origins=origins, same=finder.found)


def _origins(records: Iterable[LearningRecord]) -> dict[Key, Key]:
    """Return for each picture that was used again the one that it is, where that is known."""
    reused: dict[Key, Key] = {}
    known: set[Key] = set()
    for record in records:
        for output in record.pictures:
            key = record.run_id, _text(output, "image_id")
            run_id, _, image_id = _text(output, "reused_from").partition("/")
            if image_id:
                reused[key] = run_id, image_id
            else:
                known.add(key)
    return {key: origin for key, origin in reused.items() if origin in known}


def _at_origins(feedback: Feedback, origins: Mapping[Key, Key]) -> Feedback:
    """Return feedback with what was said of a picture's later uses said of the picture."""
    if not origins:
        return feedback
    ratings: dict[Key, Rating] = {}
    for rating in sorted(feedback.ratings.values(), key=lambda each: each.timestamp):
        key = rating.run_id, rating.image_id
        ratings[origins.get(key, key)] = rating
    choices = tuple(
        attrs.evolve(
            choice,
            winner=origins.get(choice.winner, choice.winner),
            loser=origins.get(choice.loser, choice.loser),
        )
        for choice in feedback.choices
    )
    return Feedback(ratings=ratings, choices=choices)


def _pictures(
    record: LearningRecord, feedback: Feedback, paths: Sequence[str]
) -> Iterator[Picture]:
    """Yield the pictures of a record's last stage, and others that were rated."""
    outputs = record.pictures
    last = (
        record.stage_plan[-1]
        if isinstance(record.stage_plan, tuple) and record.stage_plan
        else None
    )
    for output in outputs:
        if output.get("blank"):
            continue
        key = record.run_id, str(output.get("image_id") or "")
        rated = feedback.ratings.get(key)
        if output.get("stage") == last or rated:
            yield _picture(record, output, rated, paths)
    if not outputs and older_rating(record) is not None:
        yield _older_picture(record)


def _picture(
    record: LearningRecord,
    output: Mapping[str, object],
    rated: Rating | None,
    paths: Sequence[str],
) -> Picture:
    rating = rated.rating if rated else older_rating(record)
    varied = varied_settings(record, conditions=False)
    return Picture(
        run_id=record.run_id,
        image_id=_text(output, "image_id"),
        settings=varied or (dict(named_settings(record)) if rating is not None else {}),
        context=f"{record.plan_id or record.run_id}/{output.get('seed')}",
        rating=rating,
        prompt=_text(output, "prompt"),
        model=_text(output, "model"),
        path=_text(output, "path"),
        seed=_text(output, "seed"),
        start=_text(_table(record.base_config), "image"),
        made_with=made_with(record, paths, _text(output, "model")),
        seconds=seconds_each(record),
        subscores=rated.subscores if rated else {},
        pixels=_text(output, "pixels"),
    )


def _older_picture(record: LearningRecord) -> Picture:
    """Return what an older record stands for, which has its rating but not its pictures."""
    tags = record.tags
    settings = varied_settings(record, conditions=False) or dict(named_settings(record))
    return Picture(
        run_id=record.run_id,
        image_id="",
        settings=settings,
        context=_text(tags, "experiment_name") or _text(tags, "pack_name"),
        rating=older_rating(record),
        prompt=_text(_table(record.base_config), "prompt"),
        model=_text(record.stage_config("txt2img"), "model"),
        path=_text(tags, "image_path"),
        made_with=settings,
    )


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _text(table: Mapping[str, object], name: str) -> str:
    return str(table.get(name) or "")
