"""The pictures that runs start from: files of somebody's, looked at and read, never changed.

What is wrong with one is known before anything runs, and whoever reads it later gets what was
looked at, or an error: a file may change while a plan runs.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import anyio.to_thread
import attrs

from stablenew._arguments import checked_list
from stablenew._names import checked_path
from stablenew.config.image_files import ENDINGS, is_glob, pictures_in
from stablenew.config.pipeline_config import Setting
from stablenew.errors import ConfigError

LARGEST_FILE = 512 * 2**20
"""Bytes that a file may have: all of them are in memory for a moment."""


@attrs.frozen(kw_only=True)
class StartPicture:
    """A picture to start from.

    Attributes:
        path: Of its file, from the root.
        sha256: Of the file.
        width: In pixels, as it is seen: turned as its EXIF says.
        height: Likewise.
        problem: What is wrong with it; "" where nothing is.
    """

    path: str
    sha256: str = ""
    width: int = 0
    height: int = 0
    problem: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height

    @property
    def settings(self) -> dict[str, Setting]:
        """What is said of it among the settings of the pictures that come from it."""
        return {"image": self.path, "image_sha256": self.sha256}


async def look_at_pictures(paths: Iterable[str]) -> dict[str, StartPicture]:
    """Look at pictures, in a thread; none that is the same as before is read again.

    A picture that is missing, broken, too large or none is among them, with its problem.

    Raises:
        ConfigError: One of them is no path.
    """
    every = dict.fromkeys(str(checked_path("paths", path)) for path in checked_list("paths", paths))
    return {path: await anyio.to_thread.run_sync(_look_at, path) for path in every}


def read_start_picture(picture: StartPicture, *, flat: bool) -> bytes:
    """Return a picture as backends take it; blocks, for a worker thread.

    It is turned as its EXIF says, in RGB, or in RGBA where it may be transparent. What needs
    nothing of this is returned as it lies there.

    Args:
        picture: As it was looked at.
        flat: Put what is transparent on white, as the WebUI does before it samples.

    Raises:
        ConfigError: It is no longer what was looked at.
    """
    from stablenew.pipeline.picture_decoding import as_backends_take_it  # loads Pillow

    try:
        data = Path(picture.path).read_bytes()
    except OSError as error:
        raise ConfigError(f"image: {picture.path}: {_said(error)}") from error
    if hashlib.sha256(data).hexdigest() != picture.sha256:
        raise ConfigError(f"image: {picture.path}: has changed since this began")
    return as_backends_take_it(data, flat=flat)


def changed_pictures(
    before: Mapping[str, StartPicture], now: Mapping[str, StartPicture]
) -> Iterator[StartPicture]:
    """Yield the pictures that are not what they were, each with that for its problem."""
    for path, then in before.items():
        there = now.get(path, then)
        if not there.problem and there.sha256 != then.sha256:
            hashes = f"sha256 {then.sha256[:12]}, now {there.sha256[:12]}"
            problem = f"is another picture than the one that the plan began with ({hashes})"
            yield attrs.evolve(there, problem=f"{problem}; put that one back, or start a new plan")


def _look_at(path: str) -> StartPicture:
    try:
        found = Path(path).stat()
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(_no_file(Path(path), found.st_mode))
        if found.st_size > LARGEST_FILE:
            most = f"at most {LARGEST_FILE // 2**20} MB"
            raise ConfigError(f"has {found.st_size / 2**20:,.0f} MB, expected {most}")
        return _looked_at(path, found.st_size, found.st_mtime_ns)
    except ConfigError as error:
        return StartPicture(path=path, problem=str(error))
    except OSError as error:
        nothing = isinstance(error, FileNotFoundError) and is_glob(path)
        problem = "no picture matches this" if nothing else _said(error)
        return StartPicture(path=path, problem=problem)


def _no_file(path: Path, mode: int) -> str:
    if not stat.S_ISDIR(mode):
        return "is no file, expected a picture"
    if pictures_in(path):
        return "is a folder, expected a picture"
    return f"is a folder with no picture in it ({', '.join(ENDINGS)})"


@lru_cache(maxsize=10_000)
def _looked_at(path: str, _size: int, _changed_at: int) -> StartPicture:
    """Look at a file, once as long as it stays as it is; a plan is checked more than once."""
    from stablenew.pipeline.picture_decoding import checked_size  # loads Pillow

    with Path(path).open("rb") as file:
        width, height = checked_size(file)
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return StartPicture(path=path, sha256=sha256, width=width, height=height)


def _said(error: OSError) -> str:
    return "no such file" if isinstance(error, FileNotFoundError) else str(error.strerror or error)
