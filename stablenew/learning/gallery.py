"""The pictures of a plan or of a single run, as their folders show them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs
import msgspec

from stablenew._convert import frozen_mapping
from stablenew._names import checked_path
from stablenew.config.pipeline_config import Setting
from stablenew.errors import ConfigError, RecordError
from stablenew.learning.axis import label_of
from stablenew.learning.choice_labels import LABEL_LETTERS, labels_apart
from stablenew.pipeline.run_metadata import METADATA_FILE, final_outputs
from stablenew.storage.disk_errors import disk_errors
from stablenew.storage.record_reader import NOT_JSON

PLAN_FILE = "plan.json"


@attrs.frozen(kw_only=True)
class Shown:
    """One finished picture.

    Attributes:
        path: Of the file.
        varied: The values that set its run apart, by their paths.
        settings: What it was made with.
        seconds: How long its run took.
        blank: Whether it is one single colour: a rating of it says nothing.
    """

    run_id: str
    image_id: str
    path: Path
    varied: Mapping[str, Setting] = attrs.field(converter=frozen_mapping)
    settings: Mapping[str, Setting] = attrs.field(converter=frozen_mapping)
    seconds: float = 0.0
    blank: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """What names it: its run's id and its own."""
        return self.run_id, self.image_id


@attrs.frozen(kw_only=True)
class Gallery:
    """What a plan or a single run made.

    Attributes:
        plan_id: The plan's id, or the single run's.
        base_dir: The folder of all runs.
        pictures: Those of each run's last stage, in the order of the runs.
    """

    plan_id: str
    base_dir: Path
    pictures: tuple[Shown, ...]

    def label(self, picture: Shown) -> str:
        """Return what sets a picture's run apart from the others: `steps=4, prompt=film 0.2`."""
        return ", ".join(
            f"{path.partition('.')[2] or path}={self._labels[path][label_of(value)]}"
            for path, value in picture.varied.items()
        )

    @cached_property
    def _labels(self) -> Mapping[str, Mapping[str, str]]:
        values: dict[str, dict[str, None]] = {}
        for picture in self.pictures:
            for path, value in picture.varied.items():
                values.setdefault(path, {})[label_of(value)] = None
        return {
            path: dict(zip(some, labels_apart([*some], LABEL_LETTERS), strict=True))
            for path, some in values.items()
        }


def open_gallery(
    folder: str | Path, *, report: Callable[[RecordError], None] | None = None
) -> Gallery:
    """Read what a plan's folder, or a single run's, belongs to.

    Args:
        folder: `runs/<plan_id>`.
        report: Told of each run whose metadata cannot be read, which is left out.

    Raises:
        ConfigError: It is no folder of a plan or a run.
        RecordError: It cannot be read.
    """
    folder = checked_path("folder", folder)
    with disk_errors(folder):
        return _opened(folder, report)


def _opened(folder: Path, report: Callable[[RecordError], None] | None) -> Gallery:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder, expected runs/<plan_id>")
    folder = folder.resolve()
    base = folder.parent
    if (folder / PLAN_FILE).exists():
        runs = plan_runs(folder)
    elif (folder / METADATA_FILE).exists():
        runs = [folder]
    else:
        expected = f"expected a plan's, with {PLAN_FILE} in it"
        raise ConfigError(f"{folder}: no plan and no run, {expected}")
    pictures = [picture for run in runs for picture in _pictures(run, base, report)]
    return Gallery(plan_id=folder.name, base_dir=base, pictures=tuple(pictures))


def plan_runs(folder: Path) -> list[Path]:
    """Return the folders of a plan's runs, in order: its name and a step's number, no other's.

    Raises:
        RecordError: The folder of all runs cannot be read.
    """
    step = re.compile(r"-\d{5,}")
    name, base = folder.name, folder.parent
    with disk_errors(base):
        # A pattern of its own for each plan would fill glob's caches.
        there = os.listdir(base) if base.exists() else []  # noqa: PTH208
    runs = (each for each in there if each.startswith(name) and step.fullmatch(each, len(name)))
    return [base / each for each in sorted(runs)]


def _pictures(run: Path, base: Path, report: Callable[[RecordError], None] | None) -> list[Shown]:
    path = run / METADATA_FILE
    try:
        return _read(msgspec.json.decode(path.read_bytes()), base)
    except FileNotFoundError:
        return []  # cut short before it had any
    except (*NOT_JSON, KeyError, TypeError, AttributeError, ValueError, OSError) as error:
        if report is not None:
            report(RecordError(f"no metadata of a run: {error!r}", path=path))
        return []


def _read(data: Any, base: Path) -> list[Shown]:
    """Return the pictures of a run's last stage; raises whatever odd metadata leads to."""
    varied = _varied(data.get("metadata") or {})
    return [
        Shown(
            run_id=data["run_id"],
            image_id=output["image_id"],
            path=base / output["path"],
            varied=varied,
            settings=output.get("settings") or {},
            seconds=float(data.get("duration") or 0.0),
            blank=bool(output.get("blank")),
        )
        for output in final_outputs(data)
    ]


def _varied(tags: Mapping[str, Setting]) -> dict[str, Setting]:
    if isinstance(tagged := tags.get("varied"), dict):
        return tagged
    if not tags.get("variable_name"):
        return {}
    varied = {f"{tags.get('stage')}.{tags['variable_name']}": tags.get("variable_value")}
    if tags.get("y_variable"):
        varied[str(tags["y_variable"])] = tags.get("y_value")
    return varied
