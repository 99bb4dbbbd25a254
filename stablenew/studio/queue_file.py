"""What waits and what runs, kept on disk: a studio that is killed has it again when it starts.

What it promises, with a test for each line:

1. The file is written whole or not at all; a job that was taken is in it before that is answered.
2. One studio keeps the queue of a folder; another one on the same folder says that it does not.
3. A file that cannot be read is put aside under another name, and one line says so.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs
import msgspec

from stablenew._convert import json_line, structure
from stablenew.errors import ConfigError
from stablenew.storage import files, system
from stablenew.storage.record_reader import NOT_JSON
from stablenew.studio.access import FOLDER
from stablenew.studio.queue_item import KeptItem

logger = logging.getLogger(__name__)

_SCHEMA = "stablenew.queue/1"


@attrs.frozen(kw_only=True)
class _Content:
    schema: str
    items: tuple[KeptItem, ...] = ()


class QueueFile:
    """The file; see the module.

    Args:
        out: The folder of all runs.

    Attributes:
        notes: What a person should be told of it, a line each.
    """

    def __init__(self, out: Path) -> None:
        self.notes: list[str] = []
        self.path = out / FOLDER / "queue.json"
        self._lock: int | None = None
        self._failing = False

    def open(self) -> Sequence[KeptItem]:
        """Return what an earlier studio left, and keep the queue from now on; blocks."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = system.open_lock(self.path.with_name("queue.lock"))
        except OSError as error:
            self._note(f"queue: not kept over a restart: {error.strerror or error}")
            return ()
        if not system.lock(descriptor, wait=False):
            os.close(descriptor)
            self._note("queue: not kept over a restart: another studio keeps that of this folder")
            return ()
        self._lock = descriptor
        return self._read()

    def close(self) -> None:
        """Write no more, and let another studio have it; what is in it stays."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def write(self, items: Iterable[KeptItem]) -> None:
        """Have the file say what there is; a disk that says no is noted once."""
        if self._lock is None:
            return
        content = json_line({"schema": _SCHEMA, "items": list(items)})
        try:
            await files.replace(self.path, msgspec.json.format(content, indent=1) + b"\n")
        except OSError as error:
            if not self._failing:
                self._note(f"queue: {self.path}: not written: {error.strerror or error}")
            self._failing = True
        else:
            self._failing = False

    def _read(self) -> Sequence[KeptItem]:
        try:
            content = structure(msgspec.json.decode(self.path.read_bytes()), _Content)
            if content.schema != _SCHEMA:
                raise ConfigError(f"schema: given {content.schema!r}, expected {_SCHEMA}")
        except FileNotFoundError:
            return ()
        except (OSError, RecursionError, *NOT_JSON, ConfigError) as error:
            self._put_aside(str(error).partition("\n")[0])
            return ()
        return content.items

    def _put_aside(self, problem: str) -> None:
        for number in range(1, 1000):
            aside = self.path.with_name(f"queue.broken-{number}.json")
            try:
                files.link_or_copy(self.path, aside)
                self.path.unlink()
            except FileExistsError:
                continue
            except OSError as error:
                self.close()  # what cannot be put aside is not written over
                self._note(f"queue: {self.path}: {problem}; left as it is: {error.strerror}")
            else:
                self._note(f"queue: {self.path}: {problem}; put aside as {aside.name}")
            return

    def _note(self, line: str) -> None:
        logger.info("%s", line)
        self.notes.append(line)
