"""A person's ratings, beside the pictures they are for."""

from __future__ import annotations

from pathlib import Path

from stablenew._clock import Clock, checked_id
from stablenew._convert import sorted_json
from stablenew.errors import ConfigError
from stablenew.record_appender import append_lines

FEEDBACK_FILE = "feedback.jsonl"


async def record_feedback(
    run_id: str,
    image_id: str,
    rating: int,
    notes: str | None = None,
    *,
    base_dir: str | Path = "runs",
    clock: Clock = Clock(),
) -> Path:
    """Add a rating to `<run_id>/feedback.jsonl`; an earlier one stays.

    Args:
        run_id: The run that made the picture.
        image_id: The picture: `<stage>_<n>`.
        rating: 1 (bad) to 5 (good).
        notes: Whatever the person has to say.
        base_dir: The folder of all runs.
        clock: Where the time comes from.

    Returns:
        The file.

    Raises:
        ConfigError: The rating is none of 1 to 5, or an id is not safe as a file name.
        RecordError: The rating is not on disk; the file is as it was.
    """
    if isinstance(rating, bool) or not isinstance(rating, int) or not 1 <= rating <= 5:
        raise ConfigError(f"rating: given {rating!r}, expected a whole number from 1 to 5")
    path = Path(base_dir, checked_id("run_id", run_id), FEEDBACK_FILE)
    line = {
        "run_id": run_id,
        "image_id": checked_id("image_id", image_id),
        "rating": rating,
        "notes": notes,
        "timestamp": clock.now().isoformat(),
    }
    await append_lines(path, [sorted_json(line).encode()])
    return path
