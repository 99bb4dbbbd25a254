"""Plans and runs whose process died: found at the next start, with what is missing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import attrs

from stablenew.controller.marker import dead
from stablenew.controller.plan_progress import note_death, read_plan_progress
from stablenew.errors import ConfigError, RecordError
from stablenew.learning.gallery import plan_runs
from stablenew.learning.learning_steps import derive_steps
from stablenew.learning.plan_file import read_plan_file
from stablenew.pipeline.run_metadata import METADATA_FILE
from stablenew.storage import files

logger = logging.getLogger(__name__)


_NAMED = 20
"""Missing steps that are named in words."""


@attrs.frozen(kw_only=True)
class Interruption:
    """A plan, or a single run, that ended with its process.

    Attributes:
        id: The plan's, or the single run's.
        steps: How many it was to run; 1 for a single run. What an adaptive plan would have chosen
            later is not among them.
        missing: The steps that are not finished, in words: `cfg_scale=5`.
    """

    id: str
    steps: int = 1
    missing: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.missing:
            return f"{self.id} was interrupted"
        done = f"{self.steps - len(self.missing)} of {self.steps} steps done"
        more = len(self.missing) - _NAMED
        shown = [*self.missing[:_NAMED], *([f"… and {more:,} more"] if more > 0 else [])]
        return f"{self.id} was interrupted: {done}, missing: {'; '.join(shown)}"


def find_interruptions(
    base_dir: Path, conclude: Callable[[Path], None] = lambda _: None
) -> tuple[Interruption, ...]:
    """Return what died since somebody looked last; each is found once. Blocks: for a thread.

    Args:
        base_dir: The folder of all runs.
        conclude: Called with each plan's folder, before it is forgotten.
    """
    found: list[Interruption] = []
    try:
        with dead(base_dir) as names:
            for name, step in names.items():
                folder = base_dir / name
                for each in (folder, *plan_runs(folder)):
                    files.clear_temporaries(each)
                interruption = _read(folder)
                if interruption is None:
                    continue
                if step is not None:
                    note_death(folder, step)
                conclude(folder)
                found.append(interruption)
    except (OSError, RecordError) as error:  # a folder that is read-only, say: no reason to stop
        logger.warning("%s: interrupted plans stay marked: %s", base_dir, error)
    return tuple(found)


def _read(folder: Path) -> Interruption | None:
    """Return what is known of one; None where it had ended, or not begun."""
    try:
        stored = read_plan_file(folder)
        progress = read_plan_progress(folder, stored)
        plan = stored.plan.with_cells(progress.added_cells)
        labels = list(derive_steps(plan, stored.config)[: stored.max_steps].labels())
    except ConfigError:  # a single run, or a plan that cannot be read
        begun = folder.is_dir() and not (folder / METADATA_FILE).exists()
        return Interruption(id=folder.name) if begun else None
    if progress.ended:
        return None
    missing = tuple(each for n, each in enumerate(labels) if n not in progress.finished)
    return Interruption(id=folder.name, steps=len(labels), missing=missing)
