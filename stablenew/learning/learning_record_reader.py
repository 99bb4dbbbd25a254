"""Reads records back, lazily; a bad line is reported and the next one read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from stablenew._names import checked_path
from stablenew.errors import RecordError
from stablenew.learning.learning_record import LearningRecord
from stablenew.storage.record_reader import read_lines

logger = logging.getLogger(__name__)


def read_records(
    path: str | Path, *, report: Callable[[RecordError], None] | None = None
) -> Iterator[LearningRecord]:
    """Yield the records of a file as it was when it was opened, one at a time.

    Args:
        path: The file; a missing one has no records.
        report: Told of each line that is no record, with its number; logged if not given.

    Raises:
        RecordError: It is there, and cannot be read.
    """
    path = checked_path("path", path)
    for number, line in read_lines(path):
        try:
            record = LearningRecord.from_json(line)
        except (ValueError, RecursionError) as error:
            (report or _log)(RecordError(f"no record: {error}", path=path, line=number))
        else:
            yield record


def _log(error: RecordError) -> None:
    logger.warning("left out: %s", error)
