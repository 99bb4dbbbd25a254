"""What the events of a plan put on its contact sheets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from stablenew.config.pipeline_config import Setting
from stablenew.learning.choice_labels import in_common
from stablenew.learning.learning_events import PlanStarted, StepFinished
from stablenew.report.sheet_layout import SheetAxis, lay_out, sheets_of
from stablenew.report.shown_axes import ShownAxis, shown_axes

if TYPE_CHECKING:  # it loads Pillow: in a thread, when it is needed
    from stablenew.report.contact_sheet import SheetCell

CONTACT_SHEET = "contact_sheet.png"

MOST_SHEETS = 100
"""Sheets of one plan that are drawn; its page shows all."""

_MOST_SEEDS = 16
"""Pictures of a step up to which their seeds are named."""


@attrs.define(eq=False)
class PlanSheet:
    """A plan's contact sheets in the making.

    Attributes:
        started: The plan's first event.
        steps: Those that have ended.
    """

    started: PlanStarted
    steps: list[StepFinished] = attrs.field(factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is no picture to show."""
        return not any(step.outputs for step in self.steps)

    def draw(self, base_dir: Path) -> Iterator[tuple[str, bytes]]:
        """Yield each sheet with its file name; for a worker thread.

        Args:
            base_dir: The folder of all runs.
        """
        from stablenew.report.contact_sheet import draw_contact_sheet  # loads Pillow

        self.steps.sort(key=lambda step: step.index)  # several servers end them in any order
        shown = self._begun(shown_axes(self.started.axes))
        axes = [_sheet_axis(axis) for axis in shown]
        cells = self._cells(shown, base_dir)
        if self.started.mode == "adaptive":
            axes, cells = self._in_a_row(axes, cells)
        sheets = sheets_of(axes, cells)
        drawn = sheets[:MOST_SHEETS]
        layout = lay_out(axes, self.started.images, len(drawn))
        for number, (says, cells) in enumerate(drawn, start=1):
            if number == MOST_SHEETS < len(sheets):
                says = f"{says} (the last sheet of {len(sheets):,}; the page has all)"
            data = draw_contact_sheet(
                layout,
                axes[:2],
                cells,
                title=", ".join([self._title(), *filter(None, [says])]),
                subtitle=self._subtitle(each=not layout.by_picture),
                pictures=self._seeds(),
            )
            yield sheet_name(number), data

    def _begun(self, axes: Sequence[ShownAxis]) -> list[ShownAxis]:
        """Return axes without the choices that no step had: a plan may end after 2 of 4,000."""
        used = map(set, zip(*(step.places for step in self.steps), strict=True))
        return [
            attrs.evolve(axis, order=tuple(place for place in axis.order if place in some))
            for axis, some in zip(axes, used, strict=True)
        ]

    def _in_a_row(
        self, axes: Sequence[SheetAxis], cells: Mapping[tuple[int, ...], SheetCell]
    ) -> tuple[list[SheetAxis], dict[tuple[int, ...], SheetCell]]:
        """Return the steps of an adaptive plan one after the other: a grid would be all holes.

        As they were made; by the values where these are of one axis.
        """
        several = [axis for axis in range(len(axes)) if len(axes[axis].labels) > 1] or [0]
        positions = sorted(cells) if len(several) == 1 else list(cells)
        labels = [", ".join(axes[n].labels[place[n]] for n in several) for place in positions]
        own = axes[several[0]].images
        images = tuple(own[place[several[0]]] for place in positions) if len(several) == 1 else ()
        row = SheetAxis(name=axes[0].name, labels=tuple(labels), images=images)
        return [row], {(n,): cells[place] for n, place in enumerate(positions)}

    def _cells(self, axes: Sequence[ShownAxis], base_dir: Path) -> dict[tuple[int, ...], SheetCell]:
        """Return what each step made by its position: which label of each axis."""
        from stablenew.report.contact_sheet import SheetCell, SheetPicture

        ranks = [{place: rank for rank, place in enumerate(axis.order)} for axis in axes]
        cells = {}
        for step in self.steps:
            position = tuple(rank[place] for rank, place in zip(ranks, step.places, strict=True))
            pictures = tuple(
                SheetPicture(path=base_dir / output.path, blank=output.blank)
                for output in step.outputs
            )
            cells[position] = SheetCell(
                pictures=pictures,
                note=str(step.error or step.outcome),
                image=next((str(each.settings.get("image", "")) for each in step.outputs), ""),
            )
        return cells

    def _title(self) -> str:
        """Return what is across and down; a sheet says itself what is fixed on it."""
        name = self.started.metadata.get("experiment_name")
        axes = self.started.axes
        if self.started.mode == "adaptive":
            axes = tuple(axis for axis in axes if not axis.condition)
        else:
            axes = axes[:2]
        title = " × ".join(axis.name for axis in axes)
        return f"{name}: {title}" if name else title

    def _subtitle(self, *, each: bool) -> str:
        """Return what the steps share: the prompt, or what the prompts have in common; the seeds.

        Args:
            each: Whether no column says what seed its pictures have.
        """
        made = (output.settings.get("prompt") for step in self.steps for output in step.outputs)
        prompts = [*dict.fromkeys(made)]
        prompt = prompts[0] if len(prompts) == 1 else in_common(prompts)
        seeds = self._shared_seeds() if each else []
        said = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}" if seeds else ""
        return " · ".join(filter(None, [str(prompt or ""), said]))

    def _shared_seeds(self) -> list[Setting]:
        """Return the seeds of a step's pictures, where they are those of all steps, and few."""
        varied = (path for axis in self.started.axes for path in axis.paths)
        if any(path.endswith(".seed") for path in varied) or self.started.images > _MOST_SEEDS:
            return []
        outputs = max((step.outputs for step in self.steps), key=len)
        seeds = [output.settings.get("seed") for output in outputs]
        return [] if None in seeds else seeds

    def _seeds(self) -> list[str]:
        """Return a label for each picture of a step: its seed, unless that is what is varied."""
        seeds = self._shared_seeds()
        numbers = range(1, self.started.images + 1)
        return [f"seed {seeds[n - 1]}" if n <= len(seeds) else f"picture {n}" for n in numbers]


def sheet_name(number: int) -> str:
    """Return the file name of a sheet, from 1."""
    return CONTACT_SHEET if number == 1 else f"contact_sheet_{number}.png"


def _sheet_axis(axis: ShownAxis) -> SheetAxis:
    labels, images = ([each[place] for place in axis.order] for each in (axis.labels, axis.images))
    return SheetAxis(name=axis.path, labels=tuple(labels), images=tuple(images))
