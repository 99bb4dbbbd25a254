"""Pictures and thumbnails of the folder of runs, and of nothing else on this machine."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.to_thread
from PIL import Image

from stablenew.studio.answers import NotThereError

THUMBNAILS = "thumbnails"
SIDE = 256
"""The longest side of a thumbnail in pixels."""

_AT_ONCE = 1
"""Thumbnails that are made at once: the plan under way keeps a core."""

_LOWER = 10
"""By how much the thread that makes them gives way."""

_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,120}")
_NAME = re.compile(r"[^/\\\0]{1,200}\.(?:png|jpe?g|webp)", re.IGNORECASE)
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,120}")


def picture_path(out: Path, folder: str, name: str) -> Path:
    """Return the file of a picture; blocks.

    Raises:
        NotThereError: There is none of that name in the folder of runs: `..`, links that lead out
            of it, and what is no picture included.
    """
    if _FOLDER.fullmatch(folder) and _NAME.fullmatch(name):
        base = out.resolve()
        path = (base / folder / name).resolve()
        if path.is_relative_to(base) and path.is_file():
            return path
    raise NotThereError(f"no picture {folder[:100]}/{name[:100]}")


class Thumbnails:
    """Makes them once, off the loop, and keeps them beside the run's metadata.

    Args:
        out: The folder of all runs.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._making = ThreadPoolExecutor(_AT_ONCE, "thumbnails", _give_way)
        self._looking = anyio.CapacityLimiter(2)

    async def get(self, run_id: str, image_id: str) -> Path | bytes:
        """Return the file of a thumbnail, or the thumbnail itself where it cannot be kept.

        Raises:
            NotThereError: There is no such picture, or it cannot be read.
        """
        found = await anyio.to_thread.run_sync(
            self._find, run_id, image_id, limiter=self._looking, abandon_on_cancel=True
        )
        source, target, there = found
        if there:
            return target
        # One that is not waited for any more, of a tab that was closed, is not begun.
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._making, _made, source, target)

    def close(self) -> None:
        """Make no more."""
        self._making.shutdown(wait=False, cancel_futures=True)

    def _find(self, run_id: str, image_id: str) -> tuple[Path, Path, bool]:
        if not _FOLDER.fullmatch(run_id) or not _IMAGE.fullmatch(image_id):
            raise NotThereError(f"no picture {run_id[:100]}/{image_id[:100]}")
        folder = self._out.resolve() / run_id
        target = folder / THUMBNAILS / f"{image_id}.jpg"
        for ending in ("png", "jpg", "jpeg", "webp"):
            if (folder / f"{image_id}.{ending}").is_file():
                source = picture_path(self._out, run_id, f"{image_id}.{ending}")
                kept = target.resolve()
                inside = kept.is_relative_to(self._out.resolve())
                return source, target, inside and _is_newer(kept, source)
        raise NotThereError(f"no picture {run_id}/{image_id}")


def _give_way() -> None:
    """Have the thread that makes thumbnails wait for every other one: the loop, the model."""
    if sys.platform == "linux":  # elsewhere that would be the whole process
        with suppress(OSError):
            own = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(19, own + _LOWER))


def _is_newer(target: Path, source: Path) -> bool:
    try:
        found = target.stat()
        return found.st_size > 0 and found.st_mtime_ns >= source.stat().st_mtime_ns
    except OSError:
        return False


def _made(source: Path, target: Path) -> Path | bytes:
    """Make a thumbnail; a folder that cannot be written to gets none."""
    import io

    from stablenew.storage.files import write_whole

    buffer = io.BytesIO()
    try:
        with Image.open(source) as image:
            image.draft("RGB", (SIDE, SIDE))
            small = image.convert("RGB")
            small.thumbnail((SIDE, SIDE))
        small.save(buffer, "JPEG", quality=82)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise NotThereError(f"{source.name}: no picture that can be read") from error
    data = buffer.getvalue()
    try:
        target.parent.mkdir(exist_ok=True)
        write_whole(target, data)
    except OSError:
        return data
    return target
