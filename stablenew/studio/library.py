"""Looking back: every plan and single run of a folder, and their pictures, as they lie on disk.

Everything here blocks: for a worker thread. What was read of a run is kept as long as its file is
as it was, so that the second look at fifty thousand costs a glance at each.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import msgspec

from stablenew.controller.marker import is_held
from stablenew.errors import ConfigError
from stablenew.learning.feedback_reader import FEEDBACK_FILE, OLDER_FILE, Rating, read_feedback
from stablenew.learning.gallery import PLAN_FILE
from stablenew.pipeline.run_metadata import METADATA_FILE, final_outputs
from stablenew.storage.record_reader import NOT_JSON
from stablenew.studio.answers import NotThereError
from stablenew.studio.pictures import THUMBNAILS

_COVERS = 4
Key = tuple[str, str]


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


@attrs.frozen(kw_only=True)
class Run:
    """What is known of a run: its metadata, and what was said of its pictures."""

    id: str
    owner: str
    metadata: Mapping[str, Any]
    ratings: Mapping[Key, Rating]
    pictures: tuple[dict[str, Any], ...]


@attrs.define(eq=False)
class _Kept:
    stamp: tuple[int, ...]
    run: Run | None


class Library:
    """Reads a folder of runs.

    Args:
        out: That.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._kept: dict[str, _Kept] = {}

    def owners(self) -> dict[str, list[str]]:
        """Return every plan and single run with its runs, the newest first."""
        try:
            names = {each.name for each in os.scandir(self._out) if not each.name.startswith(".")}
        except OSError:
            return {}
        owners: dict[str, list[str]] = {}
        for name in sorted(names, reverse=True):
            plan, _, number = name.rpartition("-")
            if plan in names and number.isdecimal() and len(number) >= 5:
                owners.setdefault(plan, []).append(name)
            else:
                owners.setdefault(name, [])
        return {
            name: sorted(runs) or ([name] if self._is_run(name) else [])
            for name, runs in sorted(owners.items(), reverse=True)
            if runs or self._is_run(name) or (self._out / name / PLAN_FILE).exists()
        }

    def _is_run(self, name: str) -> bool:
        folder = self._out / name
        return (folder / METADATA_FILE).exists() and not (folder / PLAN_FILE).exists()

    def run(self, name: str, owner: str) -> Run | None:
        """Return what is known of a run; None where that cannot be read."""
        folder = self._out / name
        files = (METADATA_FILE, FEEDBACK_FILE, OLDER_FILE)
        stamp = tuple(_changed_at(folder / file) for file in files)
        kept = self._kept.get(name)
        if kept is None or kept.stamp != stamp:
            kept = self._kept[name] = _Kept(stamp, self._read(name, owner, rated=any(stamp[1:])))
        return kept.run

    def _read(self, name: str, owner: str, *, rated: bool) -> Run | None:
        try:
            data = msgspec.json.decode((self._out / name / METADATA_FILE).read_bytes())
            outputs = final_outputs(data)
            report = lambda _: None  # noqa: E731  # said by the commands
            ratings = (
                read_feedback(self._out, run_ids=[name], report=report).ratings if rated else {}
            )
            pictures = tuple(_picture(data, name, owner, each, ratings) for each in outputs)
        except (OSError, *NOT_JSON, KeyError, TypeError, AttributeError, ConfigError):
            return None
        slim = {key: data.get(key) for key in ("timestamp", "outcome", "backend", "metadata")}
        return Run(id=name, owner=owner, metadata=slim, ratings=ratings, pictures=pictures)

    def summary(self, owner: str, runs: list[str], here: str | None = None) -> dict[str, Any]:
        """Return what a list says of a plan or a single run.

        Args:
            owner: Its id.
            runs: Its runs.
            here: What is under way in this studio.
        """
        plan, problem = self._plan(owner)
        read = [run for name in runs if (run := self.run(name, owner)) is not None]
        pictures = [each for run in read for each in run.pictures]
        first: Mapping[str, Any] = pictures[0]["settings"] if pictures else {}
        tags = {**(read[0].metadata.get("metadata") or {})} if read else {}
        kind = "plan" if plan is not None or problem else "run"
        config = (plan or {}).get("config") or {}
        steps = _steps(plan) if plan else len(runs)
        whole = sum(run.metadata.get("outcome") == "succeeded" for run in read) >= steps
        prompt = first.get("prompt") or (config.get("txt2img") or {}).get("prompt") or ""
        return {
            "id": owner,
            "kind": kind,
            "created_at": _either("created_at", plan, "timestamp", read),
            "title": _title(plan, tags) or str(prompt)[:80] or owner,
            "prompt": prompt,
            "model": first.get("model"),
            "backend": _either("backend", plan, "backend", read),
            "steps": steps,
            "tags": {name: value for name, value in tags.items() if name not in _OURS},
            "state": self._state(owner, here, whole=whole, broken=bool(problem)),
            "problem": problem,
            **_told_of(pictures),
        }

    def _state(self, owner: str, here: str | None, *, whole: bool, broken: bool) -> str:
        if owner == here:
            return "running"
        if is_held(self._out, owner):
            return "elsewhere"
        if broken:
            return "broken"
        return "complete" if whole else "unfinished"

    def _plan(self, owner: str) -> tuple[dict[str, Any] | None, str | None]:
        try:
            plan = msgspec.json.decode((self._out / owner / PLAN_FILE).read_bytes())
            if not isinstance(plan, dict) or not isinstance(plan.get("plan"), dict):
                return None, f"{PLAN_FILE}: no plan"
        except FileNotFoundError:
            return None, None
        except (OSError, *NOT_JSON) as error:
            return None, f"{PLAN_FILE}: {error}"
        return plan, None

    def listed(self, asked: Asked, here: str | None) -> Iterator[tuple[str, list[str]]]:
        """Yield each plan and single run that is looked for, with its runs."""
        for owner, runs in self.owners().items():
            if asked == Asked() or self._fits(asked, self.summary(owner, runs, here)):
                yield owner, runs

    def _fits(self, asked: Asked, told: Mapping[str, Any]) -> bool:
        text = f"{told['prompt']}\n{told['title']}\n{told['id']}"
        tags = " ".join(f"{k}={v}" for k, v in {**told["tags"], "title": told["title"]}.items())
        return (
            _has(text, asked.search)
            and _has(str(told["model"] or ""), asked.model)
            and _has(tags, asked.tag)
            and (told["best"] or 0) >= asked.rating
        )

    def pictures(self, asked: Asked) -> Iterator[dict[str, Any]]:
        """Yield every picture that is looked for, the newest plan's first."""
        for owner, runs in self.owners().items():
            if asked.plan and owner != asked.plan:
                continue
            for name in runs:
                run = self.run(name, owner)
                for each in run.pictures if run is not None else ():
                    settings = each["settings"]
                    if (
                        (each["rating"] or 0) >= asked.rating
                        and _has(f"{settings.get('prompt')}\n{owner}", asked.search)
                        and _has(str(settings.get("model") or ""), asked.model)
                        and _has(str(run.metadata.get("metadata") if run else ""), asked.tag)
                    ):
                        yield each

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


_OURS = frozenset(
    ("run_type", "plan_id", "step_index", "stage", "variable_name", "variable_value", "varied")
)


def _picture(
    data: Mapping[str, Any],
    run_id: str,
    owner: str,
    output: Mapping[str, Any],
    ratings: Mapping[Key, Rating],
) -> dict[str, Any]:
    image_id, path = str(output["image_id"]), str(output["path"])
    made_in, _, _ = path.partition("/")
    said = ratings.get((run_id, image_id))
    thumb = f"{THUMBNAILS}/{made_in}/{Path(path).stem}.jpg"
    return {
        "run_id": run_id,
        "image_id": image_id,
        "plan_id": None if owner == run_id else owner,
        "url": f"files/{path}",
        "thumb": thumb,
        "width": output["width"],
        "height": output["height"],
        "varied": (data.get("metadata") or {}).get("varied") or {},
        "settings": output.get("settings") or {},
        "seconds": output.get("seconds") or 0.0,
        "blank": bool(output.get("blank")),
        "reused_from": output.get("reused_from"),
        "warnings": list(output.get("warnings") or ()),
        "rating": said.rating if said else None,
        "notes": said.notes if said else None,
    }


def _steps(plan: Mapping[str, Any]) -> int:
    """Return how many steps a plan has, at a glance."""
    told = plan["plan"]
    total = 1
    for axis in told.get("axes") or ():
        total *= max(1, len(axis.get("values") or axis.get("choices") or (1,)))
    total = min(total, told.get("sample") or total, plan.get("max_steps") or total)
    return int(len(told["first"]) if told.get("first") else total)


def _title(plan: Mapping[str, Any] | None, tags: Mapping[str, Any]) -> str:
    name = tags.get("experiment_name")
    axes = ((plan or {}).get("plan") or {}).get("axes") or ()
    varied = " × ".join(str(axis.get("path") or axis.get("name") or "") for axis in axes)
    return f"{name}: {varied}" if name and varied else str(name or varied)


def _told_of(pictures: list[dict[str, Any]]) -> dict[str, Any]:
    ratings = [each["rating"] for each in pictures if each["rating"]]
    return {
        "pictures": len(pictures),
        "rated": len(ratings),
        "best": max(ratings, default=None),
        "covers": [each["thumb"] for each in pictures[:_COVERS]],
    }


def _either(of_plan: str, plan: Mapping[str, Any] | None, of_run: str, runs: list[Run]) -> Any:
    """Return what a plan's file says, or else the first of its runs."""
    return (plan or {}).get(of_plan) or (runs[0].metadata.get(of_run) if runs else None)


def _has(text: str, words: str) -> bool:
    lower = text.lower()
    return all(word in lower for word in words.lower().split())


def _changed_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
