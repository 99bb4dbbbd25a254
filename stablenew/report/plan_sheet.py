"""What the events of a plan put on its contact sheets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from stablenew.config.pipeline_config import Setting
from stablenew.learning.learning_events import PlanExtended, PlanStarted, StepFinished
from stablenew.report.sheet_labels import in_common, value_labels
from stablenew.report.sheet_layout import SheetAxis, lay_out, sheets_of

if TYPE_CHECKING:  # it loads Pillow: in a thread, when it is needed
    from stablenew.report.contact_sheet import SheetCell

CONTACT_SHEET = "contact_sheet.png"


@attrs.define(eq=False)
class PlanSheet:
    """A plan's contact sheets in the making.

    Attributes:
        started: The plan's first event.
        added: Values that were added to its first axis.
        steps: Those that have ended.
    """

    started: PlanStarted
    added: list[Setting] = attrs.field(factory=list)
    steps: list[StepFinished] = attrs.field(factory=list)

    def extend(self, event: PlanExtended) -> None:
        """Take further values of the first axis."""
        self.added.extend(event.values)

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

        axes = self._axes()
        layout = lay_out(axes, self.started.images)
        cells = self._cells(base_dir)
        for number, (others, says) in enumerate(sheets_of(axes), start=1):
            data = draw_contact_sheet(
                layout,
                axes[:2],
                {place[:2]: cell for place, cell in cells.items() if place[2:] == others},
                title=", ".join(filter(None, [self._title(), says])),
                subtitle=self._subtitle(),
                pictures=self._seeds(),
            )
            yield CONTACT_SHEET if number == 1 else f"contact_sheet_{number}.png", data

    def _varied(self) -> list[tuple[str, list[Setting]]]:
        """Return the settings that the plan varies, with their values as the page has them."""
        started = self.started
        varied = [(f"{started.stage}.{started.variable}", [*started.values, *self.added])]
        if started.y_variable is not None:
            varied.append((started.y_variable, [*started.y_values]))
        return [(path, _ordered(values)) for path, values in varied]

    def _axes(self) -> list[SheetAxis]:
        varied = self._varied()
        short = [path.rpartition(".")[2] for path, _ in varied]
        names = short if len(set(short)) == len(short) else [path for path, _ in varied]
        return [
            SheetAxis(name=path, labels=value_labels(name, values))
            for name, (path, values) in zip(names, varied, strict=True)
        ]

    def _cells(self, base_dir: Path) -> dict[tuple[int, ...], SheetCell]:
        from stablenew.report.contact_sheet import SheetCell, SheetPicture

        places = [{value: n for n, value in enumerate(values)} for _, values in self._varied()]
        cells = {}
        for step in self.steps:
            values = (step.value, step.y_value)
            paired = list(zip(places, values, strict=False))
            if any(value not in place for place, value in paired):
                continue
            position = tuple(place[value] for place, value in paired)
            pictures = tuple(
                SheetPicture(path=base_dir / output.path, blank=output.blank)
                for output in step.outputs
            )
            cells[position] = SheetCell(pictures=pictures, note=str(step.error or step.outcome))
        return cells

    def _title(self) -> str:
        name = self.started.metadata.get("experiment_name")
        title = " × ".join(path for path, _ in self._varied())
        return f"{name}: {title}" if name else title

    def _subtitle(self) -> str:
        """Return what the steps share: the prompt, or what the prompts have in common; the seed."""
        first = next(step.outputs[0] for step in self.steps if step.outputs)
        prompt, seed = first.settings.get("prompt"), first.settings.get("seed")
        varied = dict(self._varied())
        for path, values in varied.items():
            if path.endswith(".prompt"):
                prompt = in_common(values)
        alone = self.started.images == 1 and seed is not None
        shared = alone and not any(path.endswith(".seed") for path in varied)
        return " · ".join(filter(None, [str(prompt or ""), f"seed {seed}" if shared else ""]))

    def _seeds(self) -> list[str]:
        """Return a label for each picture of a step: its seed, unless that is what is varied."""
        outputs = max((step.outputs for step in self.steps), key=len)
        seeds = [output.settings.get("seed", "?") for output in outputs]
        if self.started.variable == "seed":
            seeds = []
        numbers = range(1, self.started.images + 1)
        return [f"seed {seeds[n - 1]}" if n <= len(seeds) else f"picture {n}" for n in numbers]


def _ordered(values: Sequence[Setting]) -> list[Setting]:
    different = list(dict.fromkeys(values))
    numbers = [v for v in different if isinstance(v, int | float) and not isinstance(v, bool)]
    return [*sorted(numbers)] if len(numbers) == len(different) else different
