"""Appends records to the record file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stablenew._names import checked_path
from stablenew.config.settings import RECORDS_FILE
from stablenew.errors import RecordError
from stablenew.learning.learning_record import LearningRecord
from stablenew.storage.disk_errors import disk_errors
from stablenew.storage.record_appender import LOCK_TIMEOUT, append_lines


class LearningRecordWriter:
    """Appends records, durably; a reader never sees half of one.

    Args:
        records_path: The file, or a folder (or a path without a suffix) that holds it.
        timeout: Seconds to wait for another process that is appending.

    Attributes:
        records_path: The file.
    """

    def __init__(self, records_path: str | Path, *, timeout: float = LOCK_TIMEOUT) -> None:
        path = checked_path("records_path", records_path)
        self._timeout = timeout
        with disk_errors(path):
            self.records_path = path if path.suffix and not path.is_dir() else path / RECORDS_FILE

    async def append_record(self, record: LearningRecord) -> None:
        """Append one record; when this returns it is on disk.

        Raises:
            RecordError: It is not; the file is as it was.
        """
        await self.append_records([record])

    async def append_records(self, records: Sequence[LearningRecord]) -> None:
        """Append records, all or none.

        Raises:
            RecordError: None of them is written; the file is as it was.
        """
        try:
            lines = [record.to_json().encode() for record in records]
        except ValueError as error:
            raise RecordError(
                f"a record cannot be written: {error}", path=self.records_path
            ) from error
        await append_lines(self.records_path, lines, timeout=self._timeout)

    write = append_record
