"""What a disk says, as an error of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stablenew.errors import RecordError


@contextmanager
def disk_errors(path: Path, doing: str = "cannot be read") -> Iterator[None]:
    """Have an `OSError` inside leave as a `RecordError` that names the file.

    Args:
        path: What to name where the error names no file.
        doing: What did not work.

    Raises:
        RecordError: The disk said no.
    """
    try:
        yield
    except OSError as error:
        named = error.filename if isinstance(error.filename, str) and error.filename else path
        # A deadline's error says nothing.
        why = error.strerror or str(error) or "the disk did not answer in time"
        raise RecordError(f"{doing}: {why}", path=Path(named)) from error
