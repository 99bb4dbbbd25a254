"""How far a plan got, as its files say: what is finished, what failed, what killed its process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs
import msgspec

from stablenew import _files
from stablenew._convert import json_line
from stablenew.config.pipeline_config import Setting
from stablenew.config.settings import RECORDS_FILE
from stablenew.errors import ConfigError
from stablenew.events.event_log import EVENTS_FILE
from stablenew.learning.gallery import plan_runs
from stablenew.learning.learning_plan import Earlier
from stablenew.learning.plan_file import read_plan_file
from stablenew.pipeline.picture_index import stored_output
from stablenew.pipeline.results import Outcome, StageOutput
from stablenew.pipeline.run_metadata import METADATA_FILE
from stablenew.record_reader import read_lines

DEATHS_FILE = "deaths.jsonl"
"""In a plan's folder: a line for each time that its process was killed in a step."""

DEADLY = 2
"""Deaths of a step after which it is set aside."""


@attrs.frozen(kw_only=True)
class PlanProgress:
    """How far a plan got.

    Attributes:
        finished: The pictures of each step that succeeded, and is recorded where that was wanted.
        failed: The steps that failed, timed out, or were set aside.
        deaths: How often the process was killed in each step.
        further: The values that an adaptive plan chose on the way.
        sequence: Of the last event.
        complete: Whether nothing is left to do.
        recorded: The runs that have a record.
    """

    finished: dict[int, tuple[StageOutput, ...]]
    failed: frozenset[int]
    deaths: Counter[int]
    further: tuple[Setting, ...]
    sequence: int
    complete: bool = False
    recorded: frozenset[str] = frozenset()

    def earlier(self, *, only_failed: bool) -> Earlier:
        """Return what a run of the same plan has to know of this."""
        deadly = frozenset(step for step, times in self.deaths.items() if times >= DEADLY)
        return Earlier(
            finished=self.finished,
            quarantined=frozenset() if only_failed else deadly,
            only=self.failed | deadly if only_failed else None,
            further=self.further,
            recorded=self.recorded,
        )


_ENDS = ("PlanStarted", "PlanFinished")


class _Told(msgspec.Struct):
    """What is read of an event."""

    type: str
    sequence: int = 0
    values: tuple[str | int | float | bool | None, ...] = ()
    outcome: str | None = None


def read_plan_progress(folder: Path, *, recorded: bool) -> PlanProgress:
    """Read how far a plan got; blocks, for a worker thread.

    Args:
        folder: The plan's.
        recorded: Whether a step without a record is to be run again: its pictures are there, so
            that this costs nothing but its record.

    Raises:
        ConfigError: There is no plan, or it cannot be read.
    """
    finished: dict[int, tuple[StageOutput, ...]] = {}
    failed: set[int] = set()
    records = frozenset(_recorded(folder))
    for run in plan_runs(folder):
        index = int(run.name.rpartition("-")[2]) - 1
        outcome, outputs = _read_run(run / METADATA_FILE)
        there = all(_is_there(folder.parent / output.path) for output in outputs)
        if outcome == Outcome.SUCCEEDED and there and (not recorded or run.name in records):
            finished[index] = outputs
        elif outcome in (Outcome.FAILED, Outcome.TIMED_OUT):
            failed.add(index)
    told = list(_events(folder / EVENTS_FILE))
    return PlanProgress(
        finished=finished,
        failed=frozenset(failed),
        deaths=Counter(_deaths(folder / DEATHS_FILE)),
        further=tuple(v for event in told if event.type == "PlanExtended" for v in event.values),
        sequence=max((event.sequence for event in told), default=0),
        complete=_is_complete(folder, told, finished),
        recorded=records,
    )


def _is_complete(folder: Path, told: list[_Told], finished: Iterable[int]) -> bool:
    """Return whether every step of a plan is finished; an adaptive one says itself when it ends."""
    stored = read_plan_file(folder)
    if stored.plan.mode == "adaptive":
        ends = [event.outcome for event in told if event.type in _ENDS]
        return ends[-1:] == [Outcome.SUCCEEDED]
    count = min(stored.plan.count, stored.max_steps or stored.plan.count)
    return set(finished) >= set(range(count))


def note_death(folder: Path, step: int) -> None:
    """Note that a plan's process was killed in a step; blocks.

    Raises:
        OSError: The disk said no.
    """
    _files.append_whole(folder / DEATHS_FILE, json_line({"step": step}) + b"\n", durable=True)


def _deaths(path: Path) -> Iterator[int]:
    for _, line in read_lines(path):
        try:
            yield int(msgspec.json.decode(line)["step"])
        except (msgspec.DecodeError, KeyError, TypeError, ValueError):
            continue


def _read_run(path: Path) -> tuple[str | None, tuple[StageOutput, ...]]:
    """Return a run's outcome and the pictures of its last stage; None where it has not ended."""
    try:
        data = msgspec.json.decode(path.read_bytes())
        last = [stage["stage"] for stage in data["stages"]][-1:]
        made = [each for each in data["stage_outputs"] if each["stage"] in last]
        return str(data["outcome"]), tuple(stored_output(each) for each in made)
    except (OSError, msgspec.DecodeError, KeyError, TypeError, ConfigError):
        return None, ()


def _is_there(path: Path) -> bool:
    """Return whether a picture is there, at a glance; its hash is looked at when it is used."""
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _recorded(folder: Path) -> Iterator[str]:
    """Yield the runs of a plan that have a record."""
    named = f'"run_id": "{folder.name}-'.encode()
    for _, line in read_lines(folder.parent / RECORDS_FILE):
        if named in line or named.replace(b": ", b":") in line:
            try:
                yield str(msgspec.json.decode(line)["run_id"])
            except (msgspec.DecodeError, KeyError, TypeError):
                continue


def _events(path: Path) -> Iterator[_Told]:
    decoder = msgspec.json.Decoder(_Told)
    for _, line in read_lines(path):
        try:
            yield decoder.decode(line)
        except msgspec.DecodeError:
            continue
