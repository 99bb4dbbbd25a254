"""What a plan or a run leaves in its folder, by name."""

from __future__ import annotations

from pathlib import Path

from stablenew.events.event_log import EVENTS_FILE
from stablenew.learning.gallery import PLAN_FILE
from stablenew.pipeline.run_metadata import METADATA_FILE
from stablenew.report.reporter import CONTACT_SHEET, PAGE

_KINDS = {
    "page": PAGE,
    "contact_sheet": CONTACT_SHEET,
    "plan": PLAN_FILE,
    "metadata": METADATA_FILE,
    "events": EVENTS_FILE,
}


def left_in(folder: Path) -> list[tuple[str, Path]]:
    """Return what is there of it, each with what it is."""
    return [(kind, folder / name) for kind, name in _KINDS.items() if (folder / name).exists()]
