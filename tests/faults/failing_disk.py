"""A disk whose n-th call fails: every call that Python makes about the files below one folder."""

from __future__ import annotations

import builtins
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

BY_NAME = (
    *("open", "stat", "lstat", "listdir", "scandir", "mkdir"),
    *("unlink", "rename", "replace", "link", "truncate"),
)
BY_DESCRIPTOR = ("write", "read", "fsync", "fstat", "ftruncate")


@attrs.define(eq=False)
class FailingDisk:
    """Counts the calls about a folder and fails one of them.

    Attributes:
        folder: Whose files are meant; everything else is left alone.
        fails_at: The number of the call that fails, from 1; 0 for none.
        code: What it fails with.
        calls: What was called so far, each with its path.
    """

    folder: Path
    fails_at: int = 0
    code: int = 0
    calls: list[str] = attrs.field(factory=list)
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    @property
    def failed(self) -> str:
        """What failed, empty if it did not come to that."""
        return self.calls[self.fails_at - 1] if 0 < self.fails_at <= len(self.calls) else ""

    @contextmanager
    def inserted(self) -> Iterator[None]:
        """Have this process use the disk."""
        with pytest.MonkeyPatch.context() as patch:
            for name in BY_NAME:
                patch.setattr(os, name, self._by_name(name, getattr(os, name)))
            for name in BY_DESCRIPTOR:
                patch.setattr(os, name, self._by_descriptor(name, getattr(os, name)))
            patch.setattr(io, "FileIO", self._file_class())
            opened = self._opening(io.open)
            patch.setattr(io, "open", opened)
            patch.setattr(builtins, "open", opened)
            yield

    def call(self, name: str, path: int | str | os.PathLike[str]) -> None:
        """Count a call, and fail it if it is the one."""
        named = _name_of(path) if isinstance(path, int) else os.fspath(path)
        if not isinstance(named, str) or not named.startswith(str(self.folder)):
            return
        with self._lock:
            self.calls.append(f"{name} {named[len(str(self.folder)) :]}")
            fails = len(self.calls) == self.fails_at
        if fails:
            by_name = name in (*BY_NAME, "io.open")
            raise OSError(self.code, os.strerror(self.code), *([named] if by_name else []))

    def _by_name(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def called(path: Any = ".", *args: Any, **kwargs: Any) -> Any:
            self.call(name, path)
            return real(path, *args, **kwargs)

        return called

    def _by_descriptor(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def called(descriptor: int, *args: Any) -> Any:
            self.call(name, descriptor)
            return real(descriptor, *args)

        return called

    def _opening(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def opened(
            path: Any, mode: str = "r", buffering: int = -1, *args: Any, **kwargs: Any
        ) -> Any:
            self.call("io.open", path)
            if "b" in mode:  # as io.open itself does it
                file = io.FileIO(path, mode.replace("b", ""), opener=kwargs.get("opener"))
                if buffering == 0:
                    return file
                if "+" in mode:
                    return io.BufferedRandom(file)
                return io.BufferedReader(file) if "r" in mode else io.BufferedWriter(file)
            return real(path, mode, buffering, *args, **kwargs)

        return opened

    def _file_class(self) -> type[io.FileIO]:
        call = self.call

        class File(io.FileIO):
            def write(self, data: Any) -> int:
                call("write", self.fileno())
                return super().write(data)

            def readall(self) -> bytes:
                call("read", self.fileno())
                return super().readall()

            def readinto(self, buffer: Any) -> int | None:
                call("read", self.fileno())
                return super().readinto(buffer)

        return File


def _name_of(descriptor: int) -> str:
    try:
        return _readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""


_readlink = os.readlink
