"""Which finished pictures there are, by fingerprint: a file that can always be made anew.

`.pictures.jsonl` in the folder of all runs has a line for each picture that was kept: what its
run's metadata says of it. A picture costs one line, whatever there is already; a process reads what
others added since it last looked. Deleted, it is made anew from the metadata of all runs.

Everything here blocks: for a worker thread.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import monotonic

import attrs
import msgspec

from stablenew._convert import json_line, structure
from stablenew.errors import ConfigError
from stablenew.pipeline.results import StageOutput
from stablenew.pipeline.run_metadata import METADATA_FILE
from stablenew.storage import files
from stablenew.storage.record_reader import NOT_JSON

logger = logging.getLogger(__name__)

INDEX_FILE = ".pictures.jsonl"

_LOOK_EVERY = 0.1
"""Seconds for which what was read last is believed to be all there is."""

_WRITTEN_WITHIN = 2.0
"""Seconds after which half a line is no line that another process is writing."""


def stored_output(data: Mapping[str, object]) -> StageOutput:
    """Return a picture from what was kept of it; what a newer version kept besides is left out.

    Raises:
        ConfigError: It is none.
    """
    fields = attrs.fields_dict(StageOutput)
    return structure({name: data[name] for name in data if name in fields}, StageOutput)


class _Key(msgspec.Struct):
    """What is read of every line."""

    fingerprint: str = ""


class _Metadata(msgspec.Struct):
    """What is read of a run's metadata when the index is made anew."""

    stage_outputs: list[msgspec.Raw] = []


class PictureIndex:
    """Finds finished pictures under a folder.

    Args:
        base_dir: The folder of all runs.
    """

    def __init__(self, base_dir: Path) -> None:
        self._base_dir = base_dir
        self._path = base_dir / INDEX_FILE
        self._places: dict[str, list[tuple[int, int]]] = {}
        self._inode = -1
        self._read_to = 0
        self._looked_at = -math.inf
        self._added: set[str] = set()
        self._lock = threading.Lock()

    def may_have(self, fingerprint: str) -> bool:
        """Return whether it is worth looking; does not block.

        What another process adds is found a tenth of a second later at the latest.
        """
        indexed = fingerprint in self._places or fingerprint in self._added
        return indexed or monotonic() - self._looked_at > _LOOK_EVERY

    def add(self, output: StageOutput) -> None:
        """Note a picture that was kept; a disk that says no costs making it again, no more."""
        try:
            files.append_whole(self._path, json_line(output) + b"\n", durable=False)
            self._added.add(output.fingerprint)  # once it can be read
        except OSError as error:
            logger.warning("%s: %s", self._path, error)

    def find(self, fingerprint: str) -> Iterator[StageOutput]:
        """Yield the pictures of a fingerprint whose files are there, the last one first.

        No blank one: what broke it may have been mended without a trace in the fingerprint.
        Whether the files are whole is not known.
        """
        try:
            with self._lock:
                self._catch_up()
                places = tuple(self._places.get(fingerprint, ()))
            for place in reversed(places):
                output = self._read(*place)
                if output is None or output.blank:
                    continue
                if (self._base_dir / output.path).exists():
                    yield output
        except OSError as error:
            logger.warning("%s: %s", self._path, error)

    def _read(self, offset: int, length: int) -> StageOutput | None:
        with self._path.open("rb") as file:
            file.seek(offset)
            line = file.read(length)
        try:
            return stored_output(msgspec.json.decode(line))
        except (*NOT_JSON, ConfigError):
            return None

    def _catch_up(self) -> None:
        """Read what was added since the last look; everything, where the file is another one.

        A file with something else in it than whole lines is made anew, as one that was deleted.
        """
        self._looked_at = monotonic()
        self._added.clear()
        try:
            now = self._path.stat()
        except FileNotFoundError:
            self._rebuild()
            now = self._path.stat()
        if now.st_ino != self._inode or now.st_size < self._read_to:
            self._places.clear()
            self._inode, self._read_to = now.st_ino, 0
        if now.st_size > self._read_to and not self._take(complete=_is_complete(now)):
            logger.warning("%s: damaged, and made anew", self._path)
            self._rebuild()
            self._places.clear()
            self._inode, self._read_to = self._path.stat().st_ino, 0
            self._take()

    def _take(self, *, complete: bool = False) -> bool:
        """Note what the lines say that were added; False where something is no line of an index.

        Args:
            complete: Whether nobody is in the middle of adding one.
        """
        with self._path.open("rb") as file:
            file.seek(self._read_to)
            data = file.read()
        decoder = msgspec.json.Decoder(_Key)
        offset = self._read_to
        whole = data.endswith(b"\n") or not complete
        for line in data[: data.rfind(b"\n") + 1].splitlines(keepends=True):
            try:
                key = decoder.decode(line).fingerprint
            except NOT_JSON:
                whole, key = False, ""
            if key:
                self._places.setdefault(key, []).append((offset, len(line)))
            offset += len(line)
        self._read_to = offset
        return whole

    def _rebuild(self) -> None:
        """Make the file anew from the metadata of all runs."""
        self._base_dir.mkdir(parents=True, exist_ok=True)
        lines = b"".join(self._lines())
        if lines or self._path.exists():
            files.write_whole(self._path, lines)
        else:  # a new folder; a kill leaves no temporary file there
            self._path.touch()

    def _lines(self) -> Iterator[bytes]:
        decoder = msgspec.json.Decoder(_Metadata)
        for entry in sorted(os.scandir(self._base_dir), key=lambda entry: entry.name):
            try:
                with open(f"{entry.path}/{METADATA_FILE}", "rb") as file:  # noqa: PTH123  # 100,000 of them
                    outputs = decoder.decode(file.read()).stage_outputs
            except (OSError, *NOT_JSON):
                continue
            for output in outputs:
                # As it is written on one line, without its indentation.
                yield msgspec.json.format(bytes(output), indent=-1) + b"\n"


def _is_complete(found: os.stat_result) -> bool:
    """Return whether a file was last written to a while ago."""
    return time.time() - found.st_mtime > _WRITTEN_WITHIN
