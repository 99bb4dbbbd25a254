"""What all runs in a folder left behind, as one plain dataset."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import msgspec

from stablenew.config.settings import RECORDS_FILE
from stablenew.learning.feedback_reader import FEEDBACK_FILE
from stablenew.learning.learning_record_reader import read_records
from stablenew.record_reader import read_lines

logger = logging.getLogger(__name__)


def build_learning_dataset(base_dir: str | Path) -> dict[str, list[dict[str, object]]]:
    """Gather the records and ratings under a folder.

    A run that was recorded more than once counts once, the last line wins. A line that cannot be
    read is logged with its number and left out.

    Args:
        base_dir: The folder of all runs.

    Returns:
        `{"runs": […], "feedback": […]}`, both as plain data.
    """
    base = Path(base_dir)
    runs = {str(run["run_id"]): run for run in _runs(base / RECORDS_FILE)}
    feedback = [
        rating for path in sorted(base.glob(f"*/{FEEDBACK_FILE}")) for rating in _ratings(path)
    ]
    return {"runs": list(runs.values()), "feedback": feedback}


def _runs(path: Path) -> Iterator[dict[str, object]]:
    for record in read_records(path):
        yield msgspec.json.decode(record.to_json())


def _ratings(path: Path) -> Iterator[dict[str, object]]:
    for number, line in read_lines(path):
        try:
            rating = msgspec.json.decode(line)
        except msgspec.DecodeError as error:
            logger.warning("%s:%d: left out: %s", path, number, error)
            continue
        if isinstance(rating, dict):
            yield rating
