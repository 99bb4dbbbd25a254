"""What a plan or a run leaves in its folder, by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, takewhile
from operator import itemgetter
from pathlib import Path

from stablenew.events.event_log import EVENTS_FILE
from stablenew.learning.gallery import PLAN_FILE
from stablenew.pipeline.run_metadata import METADATA_FILE
from stablenew.report.plan_sheet import CONTACT_SHEET, MOST_SHEETS, sheet_name
from stablenew.report.reporter import PAGE

_KINDS = {
    "page": PAGE,
    "contact_sheet": CONTACT_SHEET,
    "plan": PLAN_FILE,
    "metadata": METADATA_FILE,
    "events": EVENTS_FILE,
}


def left_in(folder: Path) -> list[tuple[str, Path]]:
    """Return what is there of it, each with what it is; a plan of three axes has many sheets."""
    found = []
    for kind, name in _KINDS.items():
        paths = [folder / name]
        if name == CONTACT_SHEET:
            paths += [folder / sheet_name(number) for number in range(2, MOST_SHEETS + 1)]
        found += [(kind, path) for path in takewhile(Path.exists, paths)]
    return found


def in_few_lines(files: Iterable[tuple[str, Path]]) -> Iterator[tuple[str, Path]]:
    """Yield files as a person is told of them: of many sheets the first, and how many more."""
    for kind, some in groupby(files, key=itemgetter(0)):
        first, *others = (path for _, path in some)
        yield kind, first
        if others:
            yield f"and {len(others)} more", first.with_name(f"{first.stem}_*{first.suffix}")
