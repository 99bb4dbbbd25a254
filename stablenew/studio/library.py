"""Looking back: every plan and single run of a folder, and their pictures, as they lie on disk.

Everything here blocks: for a worker thread. An index says what there is; what is shown is read from
disk, and kept as long as its files are as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import attrs
import msgspec

from stablenew.controller.marker import is_held
from stablenew.errors import ConfigError
from stablenew.learning.feedback_reader import FEEDBACK_FILE, OLDER_FILE, read_feedback
from stablenew.learning.gallery import PLAN_FILE
from stablenew.pipeline.run_metadata import METADATA_FILE, final_outputs
from stablenew.storage.record_reader import NOT_JSON
from stablenew.studio.answers import NotThereError
from stablenew.studio.run_index import PictureRow, RunIndex, RunRow
from stablenew.studio.run_shapes import Run, either_of, picture_of, steps_of, tags_of, title_of

_COVERS = 4

_READ = 1_000
"""Runs, and plans, that are kept in full."""

_FILES = (METADATA_FILE, FEEDBACK_FILE, OLDER_FILE)

Place = tuple[str, str, int]
"""Where a picture is: its owner, its run, which of that."""


@attrs.frozen(kw_only=True)
class Asked:
    """What is looked for.

    Attributes:
        search: Words that all stand in the prompt, the title or the id.
        model: A part of its name.
        tag: A part of what a run is tagged with.
        rating: The least rating of a picture.
        plan: One plan's, or one run's.
    """

    search: str = ""
    model: str = ""
    tag: str = ""
    rating: int = 0
    plan: str = ""


class Library:
    """Reads a folder of runs.

    Args:
        out: That.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self.index = RunIndex(out, self._row, self._stamp)
        self._words: dict[str, str] = {}
        self._run = lru_cache(_READ)(self._read)
        self._plan_of = lru_cache(_READ)(self._read_plan)

    def runs_of(self, owner: str) -> Sequence[str]:
        """Return the runs of a plan, or a single run itself."""
        self.index.look()
        return self.index.runs_of(owner)

    def run(self, name: str, owner: str) -> Run | None:
        """Return what is known of a run; None where that cannot be read."""
        return self._run(name, owner, self._stamp(name))

    def _stamp(self, name: str) -> int:
        """Return what changes when a run's files do; 0 where it has not ended."""
        folder = self._out / name
        metadata, *others = (_changed_at(folder / file) for file in _FILES)
        return hash((metadata, *others)) or 1 if metadata else 0

    def _read(self, name: str, owner: str, _: int) -> Run | None:
        folder = self._out / name
        try:
            data = msgspec.json.decode((folder / METADATA_FILE).read_bytes())
            outputs = final_outputs(data)
            report = lambda _: None  # noqa: E731  # said by the commands
            rated = any((folder / file).exists() for file in (FEEDBACK_FILE, OLDER_FILE))
            ratings = (
                read_feedback(self._out, run_ids=[name], report=report).ratings if rated else {}
            )
            pictures = tuple(picture_of(data, name, owner, each, ratings) for each in outputs)
        except (OSError, *NOT_JSON, KeyError, TypeError, AttributeError, ConfigError):
            return None
        slim = {key: data.get(key) for key in ("timestamp", "outcome", "backend", "metadata")}
        return Run(id=name, owner=owner, metadata=slim, ratings=ratings, pictures=pictures)

    def _row(self, name: str) -> RunRow | None:
        """Return what the index keeps of a run."""
        stamp = self._stamp(name)
        if not stamp:
            return None
        run = self._read(name, "", stamp)
        told = run.metadata if run is not None else {}
        tags = self._word(
            "" if run is None else " ".join(f"{k}={v}" for k, v in tags_of(run).items())
        )
        pictures = tuple(
            PictureRow(
                prompt=self._word(str(each["settings"].get("prompt"))),
                model=self._word(str(each["settings"].get("model") or "")),
                rating=each["rating"] or 0,
            )
            for each in (run.pictures if run is not None else ())
        )
        succeeded = told.get("outcome") == "succeeded"
        return RunRow(stamp=stamp, succeeded=succeeded, tags=tags, pictures=pictures)

    def _word(self, text: str) -> str:
        """Return a text in lower case, one object for all that are the same."""
        lower = text.lower()
        return self._words.setdefault(lower, lower)

    def summary(self, owner: str, runs: Sequence[str], here: str | None = None) -> dict[str, Any]:
        """Return what a list says of a plan or a single run.

        Args:
            owner: Its id.
            runs: Its runs.
            here: What is under way in this studio.
        """
        rows = [row for name in runs if (row := self.index.row(name)) is not None]
        ratings = [each.rating for row in rows for each in row.pictures if each.rating]
        told = self._told(owner, runs)
        whole = sum(row.succeeded for row in rows) >= told["steps"]
        return {
            **told,
            "state": self._state(owner, here, whole=whole, broken=bool(told["problem"])),
            "pictures": sum(len(row.pictures) for row in rows),
            "rated": len(ratings),
            "best": max(ratings, default=None),
        }

    def _told(self, owner: str, runs: Sequence[str]) -> dict[str, Any]:
        """Return what a plan's file and its first runs tell."""
        plan, problem = self._plan(owner)
        read = self._first(owner, runs)
        pictures = [each for run in read for each in run.pictures]
        first: Mapping[str, Any] = pictures[0]["settings"] if pictures else {}
        tags = tags_of(read[0]) if read else {}
        config = (plan or {}).get("config") or {}
        prompt = first.get("prompt") or (config.get("txt2img") or {}).get("prompt") or ""
        return {
            "id": owner,
            "kind": "plan" if plan is not None or problem else "run",
            "created_at": either_of("created_at", plan, "timestamp", read),
            "title": title_of(plan, tags) or str(prompt)[:80] or owner,
            "prompt": prompt,
            "model": first.get("model"),
            "backend": either_of("backend", plan, "backend", read),
            "steps": steps_of(plan) if plan else len(runs),
            "tags": tags,
            "problem": problem,
            "covers": [each["thumb"] for each in pictures[:_COVERS]],
        }

    def _first(self, owner: str, runs: Sequence[str]) -> list[Run]:
        """Return the first runs of a plan: as many as its covers need."""
        found: list[Run] = []
        for name in runs:
            if sum(len(run.pictures) for run in found) >= _COVERS:
                break
            if (run := self.run(name, owner)) is not None:
                found.append(run)
        return found

    def _state(self, owner: str, here: str | None, *, whole: bool, broken: bool) -> str:
        if owner == here:
            return "running"
        if is_held(self._out, owner):
            return "elsewhere"
        if broken:
            return "broken"
        return "complete" if whole else "unfinished"

    def _plan(self, owner: str) -> tuple[dict[str, Any] | None, str | None]:
        changed_at = _changed_at(self._out / owner / PLAN_FILE)
        return self._plan_of(owner, changed_at) if changed_at else (None, None)

    def _read_plan(self, owner: str, _: int) -> tuple[dict[str, Any] | None, str | None]:
        try:
            plan = msgspec.json.decode((self._out / owner / PLAN_FILE).read_bytes())
            if not isinstance(plan, dict) or not isinstance(plan.get("plan"), dict):
                return None, f"{PLAN_FILE}: no plan"
        except FileNotFoundError:
            return None, None
        except (OSError, *NOT_JSON) as error:
            return None, f"{PLAN_FILE}: {error}"
        return plan, None

    def listed(self, asked: Asked) -> list[str]:
        """Return each plan and single run that is looked for, the newest first."""
        self.index.look()
        if asked == Asked():
            return list(self.index.owners())

        def pick(owner: str) -> str | None:
            return owner if self._fits(asked, owner) else None

        return [each for each in self.index.select(("plans", asked), pick) if each is not None]

    def _fits(self, asked: Asked, owner: str) -> bool:
        """Return whether a plan is looked for: by its own file and the index, which is quick."""
        rows = [row for n in self.index.runs_of(owner) if (row := self.index.row(n)) is not None]
        pictures = [each for row in rows for each in row.pictures]
        if max((each.rating for each in pictures), default=0) < asked.rating:
            return False
        plan, _ = self._plan(owner)
        tags = f"{rows[0].tags if rows else ''} {title_of(plan, {})}"
        config = ((plan or {}).get("config") or {}).get("txt2img") or {}
        prompt = pictures[0].prompt if pictures else config.get("prompt") or ""
        return (
            _has(f"{prompt}\n{tags}\n{owner}", asked.search)
            and _has(pictures[0].model if pictures else "", asked.model)
            and _has(tags, asked.tag)
        )

    def found(self, asked: Asked, *, best: bool = False) -> list[Place]:
        """Return where every picture is that is looked for.

        Args:
            asked: What for.
            best: The best rated first, in place of those of the newest plan.
        """
        self.index.look()

        def pick(owner: str) -> list[Place]:
            return [
                (owner, name, number)
                for name in self.index.runs_of(owner)
                if (row := self.index.row(name)) is not None
                for number, picture in enumerate(row.pictures)
                if _fits_picture(asked, owner, row, picture)
            ]

        if asked.plan:
            places = pick(asked.plan)
        else:
            places = [*chain.from_iterable(self.index.select(("pictures", asked), pick))]
        return sorted(places, key=self._rating, reverse=True) if best else places

    def _rating(self, place: Place) -> int:
        row = self.index.row(place[1])
        return row.pictures[place[2]].rating if row is not None else 0

    def shown(self, places: Iterable[Place]) -> list[dict[str, Any]]:
        """Return pictures in full, as they are on disk now; one that went is left out."""
        pictures = []
        for owner, name, number in places:
            self.index.check(name)
            run = self.run(name, owner)
            if run is not None and number < len(run.pictures):
                pictures.append(run.pictures[number])
        return pictures

    def pictures(self, plan: str) -> list[dict[str, Any]]:
        """Return every picture of a plan, or of a single run."""
        runs = (self.run(name, plan) for name in self.runs_of(plan))
        return [each for run in runs if run is not None for each in run.pictures]

    def find(self, run_id: str, image_id: str) -> dict[str, Any] | None:
        """Return one picture; None where there is none."""
        try:
            return self.picture(run_id, image_id)
        except NotThereError:
            return None

    def picture(self, run_id: str, image_id: str) -> dict[str, Any]:
        """Return one picture, of any stage's last.

        Raises:
            NotThereError: There is none.
        """
        plan, _, number = run_id.rpartition("-")
        owner = plan if number.isdecimal() and (self._out / plan / PLAN_FILE).exists() else run_id
        run = self.run(run_id, owner)
        for each in run.pictures if run is not None else ():
            if each["image_id"] == image_id:
                return each
        raise NotThereError(f"no picture {run_id[:100]}/{image_id[:100]}")


def _fits_picture(asked: Asked, owner: str, row: RunRow, picture: PictureRow) -> bool:
    return (
        picture.rating >= asked.rating
        and (not asked.search or _has(f"{picture.prompt}\n{owner}", asked.search))
        and (not asked.model or _has(picture.model, asked.model))
        and (not asked.tag or _has(row.tags, asked.tag))
    )


def _has(text: str, words: str) -> bool:
    lower = text.lower()
    return all(word in lower for word in words.lower().split())


def _changed_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
