"""Thumbnails of the pictures that a plan's runs started from, for its page; loads Pillow."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import attrs

from stablenew.errors import ConfigError
from stablenew.pipeline.picture_decoding import small_picture
from stablenew.storage import files


@attrs.define(eq=False)
class StartThumbnails:
    """The pictures that runs started from, each with its thumbnail in the plan's folder.

    Attributes:
        folder: The plan's.
        subfolder: Where in it thumbnails are.
        side: The longest side of one in pixels.
        by_path: The thumbnail of each file, "" where there is none: the file is gone, or another.
    """

    folder: Path
    subfolder: str
    side: int
    by_path: dict[str, str] = attrs.field(factory=dict)

    def add(self, told: object) -> None:
        """Add the picture that a run's metadata names, if it does; makes its thumbnail."""
        path, sha256 = (
            (told.get("path"), told.get("sha256")) if isinstance(told, Mapping) else (None, None)
        )
        if not isinstance(path, str) or not isinstance(sha256, str) or self.by_path.get(path):
            return
        # Named by the content, and kept: the file may be gone when the page is written again.
        thumb = f"{self.subfolder}/start-{hashlib.sha256(sha256.encode()).hexdigest()[:16]}.jpg"
        there = (self.folder / thumb).exists() or self._made(Path(path), sha256, thumb)
        self.by_path[path] = thumb if there else ""

    def _made(self, path: Path, sha256: str, thumb: str) -> bool:
        try:
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() != sha256:
                return False
            buffer = io.BytesIO()
            small_picture(data, self.side).save(buffer, "JPEG", quality=82)
            (self.folder / thumb).parent.mkdir(exist_ok=True)
            files.write_whole(self.folder / thumb, buffer.getvalue())
        except (OSError, ConfigError):
            return False
        return True
