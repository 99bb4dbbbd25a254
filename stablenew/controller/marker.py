"""What is under way, for other processes to see: a locked file under `runs/.under_way`.

The kernel's lock dies with its holder, so that a plan whose process was killed is known by a marker
that nobody holds. Everything here blocks: for a worker thread.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stablenew.errors import StableNewError
from stablenew.storage import system

FOLDER = ".under_way"

_TRIES = 50
_BETWEEN_TRIES = 0.02
"""Seconds; whoever looks for the dead holds a marker for a moment."""


def hold(base_dir: Path, name: str) -> int:
    """Mark a plan or a single run as under way; `release` ends that.

    Raises:
        StableNewError: It is under way in another process.
        OSError: The disk said no.
    """
    path = base_dir / FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(_TRIES):
        descriptor = system.open_lock(path)
        if _is_ours(path, descriptor):
            return descriptor
        time.sleep(_BETWEEN_TRIES)
    raise StableNewError(f"{name} is under way in another process")


def note_step(descriptor: int, step: int | None) -> None:
    """Note which step is under way: a few bytes that outlive the process, not a power cut.

    Args:
        descriptor: What `hold` returned.
        step: The step; None where it is not known which of several would be to blame.

    Raises:
        OSError: The disk said no.
    """
    system.write_state(descriptor, b"" if step is None else b"%d\n" % step)


def release(base_dir: Path, name: str, descriptor: int) -> None:
    """Say that it is no longer under way."""
    path = base_dir / FOLDER / name
    if sys.platform == "win32":  # where an open file cannot be deleted
        os.close(descriptor)
        path.unlink(missing_ok=True)
        return
    try:
        path.unlink(missing_ok=True)  # first, so that nobody finds it unlocked
    finally:
        os.close(descriptor)


def is_held(base_dir: Path, name: str) -> bool:
    """Return whether some process is at it now."""
    path = base_dir / FOLDER / name
    try:
        descriptor = os.open(path, os.O_RDONLY)  # whoever may only look may ask, too
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        return not system.lock(descriptor, wait=False)
    finally:
        os.close(descriptor)


@contextmanager
def dead(base_dir: Path) -> Iterator[dict[str, int | None]]:
    """Give the names whose holders died, each with its step; afterwards they are marked no more."""
    held: dict[str, int] = {}
    try:
        for name in _names(base_dir):
            path = base_dir / FOLDER / name
            try:
                descriptor = os.open(path, os.O_RDWR)
            except OSError:  # it has just ended, or is somebody else's
                continue
            if _is_ours(path, descriptor):
                held[name] = descriptor
        yield {name: _step(descriptor) for name, descriptor in held.items()}
    except BaseException:
        for descriptor in held.values():
            os.close(descriptor)
        raise
    for name, descriptor in held.items():
        release(base_dir, name, descriptor)


def _step(descriptor: int) -> int | None:
    text = system.read(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None


def _names(base_dir: Path) -> list[str]:
    try:
        return sorted(os.listdir(base_dir / FOLDER))  # noqa: PTH208  # names are what is wanted
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_ours(path: Path, descriptor: int) -> bool:
    """Lock an open marker; where somebody has it, or it is there no more by its name, it is closed.

    Raises:
        OSError: The disk said no; it is closed, and held by nobody.
    """
    ours = False
    try:
        if system.lock(descriptor, wait=False):
            ours = os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        pass
    finally:
        if not ours:
            os.close(descriptor)
    return ours
