"""The page of a plan: `report.html`, its data beside it, and thumbnails; all of it from disk.

The page opens without a server: a classic script reads `report_data.js`, which is written again as
steps finish, and an open page follows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import msgspec
from PIL import Image

from stablenew._convert import json_line
from stablenew.config.pipeline_config import Setting
from stablenew.errors import ConfigError
from stablenew.learning.cells import places_of
from stablenew.learning.choice_labels import distinct, elided, in_common
from stablenew.learning.feedback_reader import ReportProblem, read_feedback
from stablenew.learning.gallery import plan_runs
from stablenew.learning.learning_adapter import build_learning_plan_from_dict
from stablenew.learning.learning_plan import LearningPlan
from stablenew.learning.same_pictures import SameFinder, conditions_of
from stablenew.pipeline.run_metadata import final_outputs
from stablenew.report.page_file import page_file
from stablenew.report.settings_table import SettingsTable
from stablenew.report.shown_axes import ShownAxis, shown_axes
from stablenew.report.start_thumbnails import StartThumbnails
from stablenew.storage import files
from stablenew.storage.record_reader import NOT_JSON

PAGE, DATA, THUMBNAILS = "report.html", "report_data.js", "thumbnails"
THUMBNAIL = 256
"""The longest side of a thumbnail in pixels."""

_SAME = 10
"""Settings that changed nothing that are told at the most."""

_SHOWN = 60
"""Settings of a picture that are shown at the most."""

_LABEL_LETTERS = 80
"""Of a row or a column at the most; pointing at it shows all."""


@attrs.define(eq=False)
class Page:
    """What is known of a plan's page so far.

    Attributes:
        folder: The plan's.
        plan: The content of `plan.json`.
        explored: The plan in it.
        steps: One entry for each step that has ended, in order.
        makes_thumbnails: Whether they are made here, and not by who shows it.
    """

    folder: Path
    plan: Mapping[str, Any]
    steps: dict[int, dict[str, Any]] = attrs.field(factory=dict)
    makes_thumbnails: bool = True
    explored: LearningPlan = attrs.field()
    _settings: SettingsTable = attrs.field(factory=SettingsTable)
    _same: SameFinder = attrs.field(factory=SameFinder)
    _starts: StartThumbnails = attrs.field()

    @_starts.default
    def _no_starts(self) -> StartThumbnails:
        return StartThumbnails(self.folder, THUMBNAILS, THUMBNAIL)

    @explored.default
    def _explored(self) -> LearningPlan:
        return build_learning_plan_from_dict(self.plan["plan"])

    def add(
        self, index: int, run_id: str, outcome: str, error: str | None, at: Sequence[int] = ()
    ) -> None:
        """Add a step that has ended, with what its run's folder says; makes its thumbnails.

        Args:
            index: From 0.
            run_id: Of its run.
            outcome: How it ended.
            error: Why it did not end well.
            at: Which choice of each axis it has; else as its run's folder says.
        """
        metadata = _metadata(self.folder.parent / run_id / "run_metadata.json")
        outputs = final_outputs(metadata) if metadata else []
        self._starts.add(metadata.get("image"))
        self._compare(index, (metadata.get("metadata") or {}).get("varied"), outputs)
        self.steps[index] = {
            "index": index,
            "at": tuple(at) or self._places(index, metadata.get("metadata") or {}),
            "run_id": run_id,
            "outcome": outcome,
            **({"error": error} if error else {}),
            **({"node": metadata["node"]} if metadata.get("node") else {}),
            "seconds": round(float(metadata.get("duration") or 0.0), 3),
            "pictures": [self._picture(run_id, output) for output in outputs],
        }

    def _compare(self, index: int, varied: object, outputs: Sequence[Mapping[str, Any]]) -> None:
        """Hold a step's pictures against those of other steps."""
        if isinstance(varied, dict):
            for output in outputs:
                if not output.get("blank"):
                    under = conditions_of(output.get("settings") or {})
                    self._same.add_picture(varied, str(output.get("pixels") or ""), under, index)

    def _places(self, index: int, tags: Mapping[str, Any]) -> tuple[int, ...]:
        """Return which choice of each axis a step has; the first ones where nobody knows."""
        plan = self.explored
        if places := plan.places(index):
            return places
        varied = tags.get("varied") or {plan.path: tags.get("variable_value")}
        cell = plan.cell_of(varied if isinstance(varied, dict) else {})
        return places_of(cell or 0, plan.sizes)

    def _picture(self, run_id: str, output: Mapping[str, Any]) -> dict[str, Any]:
        """Return a picture as the page has it; what it has not is left out."""
        source = self.folder.parent / output["path"]
        thumb = f"{THUMBNAILS}/{run_id}-{output['image_id']}.jpg"
        small = max(output["width"], output["height"]) <= THUMBNAIL
        missing = self.makes_thumbnails and not (self.folder / thumb).exists()
        if not small and missing:
            small = not _make_thumbnail(source, self.folder / thumb)
        within = f"{run_id}/"
        path = str(output["path"])
        told = {
            "thumb": not small,
            "reused_from": output.get("reused_from"),
            "warnings": list(output.get("warnings") or []),
            "blank": bool(output.get("blank")),
        }
        settings = list((output.get("settings") or {}).items())[:_SHOWN]
        return {
            "image_id": output["image_id"],
            "path": path.removeprefix(within) if path.startswith(within) else f"../{path}",
            "width": output["width"],
            "height": output["height"],
            "settings": self._settings.places(settings),
            **{name: value for name, value in told.items() if value},
        }

    def write(self, *, done: bool, written: str, report: ReportProblem | None = None) -> None:
        """Write page and data; for a worker thread.

        Args:
            done: Whether the plan has ended.
            written: When; a page that is open sees by it that there is something new.
            report: Told of feedback that cannot be read.

        Raises:
            OSError: The disk said no.
        """
        page = page_file()
        target = self.folder / PAGE
        if not target.exists() or target.read_bytes() != page:
            files.write_whole(target, page)
        data = json_line(self.data(done=done, written=written, report=report))
        # "</script" in a prompt would end the page's script if the data stood in it; it does not.
        files.write_whole(self.folder / DATA, b"window.STABLENEW_REPORT = " + data + b";\n")

    def data(
        self, *, done: bool, written: str, report: ReportProblem | None = None
    ) -> dict[str, object]:
        """Return what the page shows; for a worker thread. See `write`."""
        steps = [self.steps[index] for index in sorted(self.steps)]
        runs = [step["run_id"] for step in steps if step["pictures"]]
        ratings = read_feedback(self.folder.parent, run_ids=runs, report=report).ratings
        told = self._advice(len(ratings), written, report) if done and ratings else None
        name = (self.plan.get("metadata") or {}).get("experiment_name")
        axes = shown_axes(self.explored.axes)
        varied = " × ".join(axis.path for axis in axes)
        prompts = self._settings.values("prompt")
        return {
            "plan_id": self.plan["plan_id"],
            "title": f"{name}: {varied}" if name else varied,
            "prompt": prompts[0] if len(prompts) == 1 else in_common(prompts),
            "axes": [_plain(axis) for axis in self._made(axes, steps)],
            "count": max(self.explored.count, len(steps)),
            "images": self.explored.images_per_step,
            "seeds": self._seeds(steps),
            "settings": self._settings.plain,
            "starts": self._starts.by_path,
            "steps": steps,
            "same": [str(each) for each in self._same.found[:_SAME]],
            "ratings": {f"{a}/{b}": each.rating for (a, b), each in ratings.items()},
            **({"advice": told} if told else {}),
            "done": done,
            "written": written,
        }

    def _advice(
        self, ratings: int, written: str, report: ReportProblem | None
    ) -> dict[str, object] | None:
        from stablenew.report.page_advice import page_advice  # numpy: only where there are ratings

        return page_advice(self.folder, ratings, written=written, report=report)

    def _made(
        self, axes: Sequence[ShownAxis], steps: Sequence[Mapping[str, Any]]
    ) -> Sequence[ShownAxis]:
        """Show of what is explored only what was made: a grid of all of it is nearly empty."""
        if self.explored.mode != "adaptive" or not steps:
            return axes
        made = [{step["at"][number] for step in steps} for number in range(len(axes))]
        return [axis.only(places) for axis, places in zip(axes, made, strict=True)]

    def _seeds(self, steps: Sequence[Mapping[str, Any]]) -> list[Setting] | None:
        """Return the seeds of a step's pictures, where they are those of all steps."""
        if any(path.endswith(".seed") for axis in self.explored.axes for path in axis.paths):
            return None
        most: list[Any] = max((step["pictures"] for step in steps), key=len, default=[])
        seeds = [self._settings.value("seed", picture["settings"]) for picture in most]
        return None if None in seeds else seeds


_PLAIN = ("path", "name", "texts", "order")


def _plain(axis: ShownAxis) -> dict[str, object]:
    """Return an axis as the page has it: labels that end as they do, and the whole texts."""
    labels = distinct(axis.labels, lambda label: elided(label, _LABEL_LETTERS))
    whole = attrs.asdict(axis, recurse=False)
    images = {"images": axis.images} if any(axis.images) else {}
    return {**{name: whole[name] for name in _PLAIN}, "labels": labels, **images}


def open_page(folder: Path) -> Page | None:
    """Begin the page of a plan; None for a folder that is none of a plan."""
    try:
        plan = msgspec.json.decode((folder / "plan.json").read_bytes())
        return Page(folder, plan)
    except (OSError, *NOT_JSON, LookupError, TypeError, ConfigError):
        return None


def rebuild_page(
    folder: Path, *, written: str, done: bool | None = None, report: ReportProblem | None = None
) -> bool:
    """Write a plan's page anew from what is on disk, for instance after new ratings.

    Args:
        folder: The plan's.
        written: When.
        done: Whether the plan has ended; None leaves that as it is.
        report: Told of feedback that cannot be read.

    Returns:
        Whether the folder is a plan's.

    Raises:
        OSError: The disk said no.
    """
    page = open_page(folder)
    if page is None:
        return False
    was_done = read_steps(page)
    page.write(done=was_done if done is None else done, written=written, report=report)
    return True


def read_steps(page: Page) -> bool:
    """Add the steps that are on disk to a page; return whether the plan had ended, as was told."""
    folder = page.folder
    before = _written(folder / DATA)
    told = {step["index"]: step for step in before.get("steps", [])}
    for run in plan_runs(folder):
        index = int(run.name.rpartition("-")[2]) - 1
        metadata = _metadata(run / "run_metadata.json")
        if index in told:  # as it was told; a run's own metadata does not know of its deadline
            page.add(index, run.name, told[index]["outcome"], told[index].get("error"))
        elif metadata:
            error = metadata.get("error") or {}
            page.add(index, run.name, metadata["outcome"], error.get("message"))
    return bool(before.get("done", True))


def _written(path: Path) -> dict[str, Any]:
    """Return the data that a page shows now; empty where there is none."""
    try:
        text = path.read_bytes().partition(b" = ")[2].rstrip(b";\n")
        data = msgspec.json.decode(text)
    except (OSError, *NOT_JSON):
        return {}
    return data if isinstance(data, dict) else {}


def _metadata(path: Path) -> dict[str, Any]:
    try:
        data = msgspec.json.decode(path.read_bytes())
    except (OSError, *NOT_JSON):
        return {}
    return data if isinstance(data, dict) else {}


def _make_thumbnail(source: Path, target: Path) -> bool:
    """Write a thumbnail; False where the picture cannot be read."""
    try:
        target.parent.mkdir(exist_ok=True)
        with source.open("rb") as file, Image.open(file) as image:
            image.draft("RGB", (THUMBNAIL, THUMBNAIL))
            small = image.convert("RGB")
            small.thumbnail((THUMBNAIL, THUMBNAIL))
        small.save(target, "JPEG", quality=82)
    except OSError:
        return False
    return True
