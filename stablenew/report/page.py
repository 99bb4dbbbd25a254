"""The page of a plan: `report.html`, its data beside it, and thumbnails; all of it from disk.

The page opens without a server: a classic script reads `report_data.js`, which is written again as
steps finish, and an open page follows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import attrs
import msgspec
from PIL import Image

from stablenew._convert import json_line
from stablenew.config.pipeline_config import Setting
from stablenew.errors import ConfigError
from stablenew.learning.axis import Axis, Choice
from stablenew.learning.feedback_reader import ReportProblem, read_feedback
from stablenew.learning.gallery import plan_runs
from stablenew.learning.learning_adapter import build_learning_plan_from_dict
from stablenew.learning.learning_plan import LearningPlan
from stablenew.pipeline.run_metadata import final_outputs
from stablenew.storage import files
from stablenew.storage.record_reader import NOT_JSON

PAGE, DATA, THUMBNAILS = "report.html", "report_data.js", "thumbnails"
THUMBNAIL = 256
"""The longest side of a thumbnail in pixels."""

_SHOWN = 60
"""Settings of a picture that are shown at the most."""


@attrs.define(eq=False)
class Page:
    """What is known of a plan's page so far.

    Attributes:
        folder: The plan's.
        plan: The content of `plan.json`.
        explored: The plan in it.
        steps: One entry for each step that has ended, in order.
    """

    folder: Path
    plan: Mapping[str, Any]
    steps: dict[int, dict[str, Any]] = attrs.field(factory=dict)
    explored: LearningPlan = attrs.field()

    @explored.default
    def _explored(self) -> LearningPlan:
        return build_learning_plan_from_dict(self.plan["plan"])

    @property
    def axes(self) -> list[dict[str, Any]]:
        """What the plan varies, each with its values, those that were chosen on the way last."""
        shown: list[dict[str, Any]] = []
        for axis in self.explored.axes:
            made = [step["values"][axis.name] for step in self.steps.values()]
            values = list(dict.fromkeys([*_values(axis), *made]))
            shown.append({"path": axis.name, "values": values})
        return shown

    def add(self, index: int, run_id: str, outcome: str, error: str | None) -> None:
        """Add a step that has ended, with what its run's folder says; makes its thumbnails."""
        metadata = _metadata(self.folder.parent / run_id / "run_metadata.json")
        tags = metadata.get("metadata") or {}
        planned = index < self.explored.count
        choices = self.explored.choices(self.explored.cells[index]) if planned else ()
        told = {
            axis.name: _value(axis, choice)
            for axis, choice in zip(self.explored.axes, choices, strict=bool(choices))
        } or {self.explored.axes[0].name: tags.get("variable_value")}
        outputs = final_outputs(metadata) if metadata else []
        self.steps[index] = {
            "index": index,
            "values": told,
            "outcome": outcome,
            "error": error,
            "seconds": float(metadata.get("duration") or 0.0),
            "pictures": [
                self._picture(run_id, number, output)
                for number, output in enumerate(outputs, start=1)
            ],
        }

    def _picture(self, run_id: str, number: int, output: Mapping[str, Any]) -> dict[str, Any]:
        source = self.folder.parent / output["path"]
        thumb = f"{THUMBNAILS}/{run_id}-{output['image_id']}.jpg"
        small = max(output["width"], output["height"]) <= THUMBNAIL
        if not small and not (self.folder / thumb).exists():
            small = not _make_thumbnail(source, self.folder / thumb)
        return {
            "run_id": run_id,
            "image_id": output["image_id"],
            "number": number,
            "path": f"../{output['path']}",
            "thumb": None if small else thumb,
            "width": output["width"],
            "height": output["height"],
            "reused_from": output.get("reused_from"),
            "settings": dict(list((output.get("settings") or {}).items())[:_SHOWN]),
            "warnings": list(output.get("warnings") or []),
            "blank": bool(output.get("blank")),
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
        page = resources.files("stablenew.report").joinpath("page.html").read_bytes()
        target = self.folder / PAGE
        if not target.exists() or target.read_bytes() != page:
            files.write_whole(target, page)
        data = json_line(self._data(done=done, written=written, report=report))
        # "</script" in a prompt would end the page's script if the data stood in it; it does not.
        files.write_whole(self.folder / DATA, b"window.STABLENEW_REPORT = " + data + b";\n")

    def _data(self, *, done: bool, written: str, report: ReportProblem | None) -> dict[str, object]:
        steps = [self.steps[index] for index in sorted(self.steps)]
        runs = [picture["run_id"] for step in steps for picture in step["pictures"][:1]]
        ratings = read_feedback(self.folder.parent, run_ids=runs, report=report).ratings
        first = next((p for step in steps for p in step["pictures"]), None)
        shown: list[list[Any]] = [step["pictures"] for step in steps]
        most = max(shown, key=len, default=[])
        name = (self.plan.get("metadata") or {}).get("experiment_name")
        varied = " × ".join(str(axis["path"]) for axis in self.axes)
        seeds = [picture["settings"].get("seed") for picture in most]
        same = all(path["path"] != "txt2img.seed" for path in self.axes)
        return {
            "plan_id": self.plan["plan_id"],
            "title": f"{name}: {varied}" if name else varied,
            "prompt": first["settings"].get("prompt", "") if first else "",
            "axes": self.axes,
            "images": self.plan["plan"].get("images_per_step", 1),
            "seeds": seeds if same and None not in seeds else None,
            "steps": steps,
            "ratings": {f"{a}/{b}": each.rating for (a, b), each in ratings.items()},
            "done": done,
            "written": written,
        }


def _values(axis: Axis) -> tuple[Setting, ...]:
    return tuple(_value(axis, choice) for choice in axis.choices)


def _value(axis: Axis, choice: Choice) -> Setting:
    """Return a choice as the page has it: its value, where it is that of one path."""
    return choice.overrides[axis.path] if axis.paths == (axis.name,) else choice.label


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
    before = _written(folder / DATA)
    told = {step["index"]: step for step in before.get("steps", [])}
    for run in plan_runs(folder):
        index = int(run.name.rpartition("-")[2]) - 1
        metadata = _metadata(run / "run_metadata.json")
        if index in told:  # as it was told; a run's own metadata does not know of its deadline
            page.add(index, run.name, told[index]["outcome"], told[index]["error"])
        elif metadata:
            error = metadata.get("error") or {}
            page.add(index, run.name, metadata["outcome"], error.get("message"))
    if done is None:
        done = bool(before.get("done", True))
    page.write(done=done, written=written, report=report)
    return True


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
