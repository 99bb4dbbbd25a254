"""Which plans and runs there are in a folder, the newest first, and what they are looked for by.

A folder may have fifty thousand runs: what is kept of each is little, what is shown is read from
disk, and no look reads all of them again. Everything here blocks: for a worker thread.

What it promises, with a test for each line:

1. A run or plan is there once its file is; also one of another program, one that was renamed or
   taken away, and a rating that another program gave: at once where it is shown, in a while where
   only a filter would tell.
2. A look at a folder in which nothing changed costs no look at each run.
3. Of a folder that is very large the newest are known first.
"""

from __future__ import annotations

import os
import threading
import time
from bisect import insort
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import TypeVar, cast

import attrs

from stablenew.learning.gallery import PLAN_FILE
from stablenew.pipeline.run_metadata import METADATA_FILE

T = TypeVar("T")

_AT_ONCE = 2_000
"""Folders that one look reads at the most."""

_ODD = 500
"""Folders that are neither run nor plan so far, the newest, at which each look looks again."""

_SURE = 2_000_000_000
"""Nanoseconds after which a folder's time tells whether something came: clocks tick coarsely."""

_SWEPT, _SWEPT_EVERY = 200, 10.0
"""Runs that are looked at in one go for whether they changed, and seconds between two rounds."""

_SHARE = 0.05
"""Of the time that listing the folder may take: it changes with every step of a plan."""

_QUICK = 0.05
"""Seconds of a listing that need no pause after it, however busy the machine."""

_PICKED = 8
"""Searches of which what was found is kept."""

_NUMBER = 5
"""Digits of a step's number in the id of its run."""


@attrs.frozen
class PictureRow:
    """What a picture is looked for by, in lower case.

    Attributes:
        rating: 0 where there is none.
    """

    prompt: str
    model: str
    rating: int


@attrs.frozen
class RunRow:
    """What is kept of a run.

    Attributes:
        stamp: Of its files, as they were when it was read.
        succeeded: Whether it did.
        tags: What it is tagged with, in lower case.
    """

    stamp: int
    succeeded: bool
    tags: str
    pictures: tuple[PictureRow, ...]


Read = Callable[[str], RunRow | None]
"""Reads a run; None where it has not ended yet."""


class RunIndex:
    """The runs of a folder; see the module.

    Args:
        out: The folder.
        read: Reads one.
        stamp: Returns what changes when a run's files do, at a glance; 0 where there are none.
    """

    def __init__(self, out: Path, read: Read, stamp: Callable[[str], int]) -> None:
        self._version = 0  # counts every change
        self._out = out
        self._read = read
        self._stamp = stamp
        self._lock = threading.RLock()
        self._looked_at = -1
        self._not_before = 0.0
        self._names: set[str] = set()
        self._owners: dict[str, list[str]] = {}
        self._order: list[str] = []
        self._rows: dict[str, RunRow] = {}
        self._unplaced: dict[str, None] = {}
        self._unread: dict[str, None] = {}
        self._odd: set[str] = set()
        self._absent: set[str] = set()
        self._changed: set[str] = set()
        self._to_sweep: list[str] = []
        self._swept_at = 0.0
        self._versions: dict[str, int] = {}
        self._picked: dict[Hashable, dict[str, tuple[int, object]]] = {}

    @property
    def progress(self) -> dict[str, int] | None:
        """How many runs are known of how many; None where all are."""
        with self._lock:
            more = len(self._unread) + len(self._unplaced)
            return {"done": len(self._rows), "of": len(self._rows) + more} if more else None

    def look(self) -> None:
        """Take up what came or went; of very much the newest, `go_on` takes up the others."""
        with self._lock:
            changed_at = _changed_at(self._out)
            started = time.monotonic()
            if changed_at != self._looked_at and started >= self._not_before:
                self._scan()
                sure = time.time_ns() - changed_at > _SURE
                self._looked_at = changed_at if sure else -1
                ended = time.monotonic()
                self._not_before = ended + max(0.0, ended - started - _QUICK) / _SHARE
            odd = sorted(self._odd)[-_ODD:]
            self._odd.difference_update(odd)
            self._unplaced |= dict.fromkeys(odd)
            self._place_some(_AT_ONCE)
            while self._changed:
                name = self._changed.pop()
                if self._rows.pop(name, None) is not None:
                    self._unread[name] = None
                    self._changed_in(name)
            there = [name for name in self._absent if self._stamp(name)]
            self._absent.difference_update(there)
            self._unread |= dict.fromkeys(sorted(there))
            self._read_some(_AT_ONCE)

    def go_on(self) -> bool:
        """Take up some more, or look what changed of what is known; return whether to go on.

        What changed is seen by its files' times, of some of the runs at each call.
        """
        with self._lock:
            if self.progress is not None:
                self._place_some(_AT_ONCE // 20)
                self._read_some(_AT_ONCE // 20)
                return True
            if not self._to_sweep and time.monotonic() - self._swept_at > _SWEPT_EVERY:
                self._to_sweep, self._swept_at = [*self._rows], time.monotonic()
            some, self._to_sweep = self._to_sweep[:_SWEPT], self._to_sweep[_SWEPT:]
        for name in some:
            self.check(name)
        return bool(self._to_sweep)

    def check(self, name: str) -> None:
        """Have a run read anew whose files changed."""
        row = self._rows.get(name)
        if row is None or row.stamp != self._stamp(name):
            self.forget(name)

    def forget(self, name: str) -> None:
        """Have a run read anew at the next look; never waits for one."""
        self._changed.add(name)

    def owners(self) -> Sequence[str]:
        """Return the ids of all plans and single runs, the newest first."""
        with self._lock:
            return self._order[::-1]

    def runs_of(self, owner: str) -> Sequence[str]:
        """Return the runs of a plan in their order, or a single run itself."""
        with self._lock:
            return tuple(self._owners.get(owner, ()))

    def row(self, name: str) -> RunRow | None:
        """Return what is kept of a run; None where it has not ended, or was not read yet."""
        return self._rows.get(name)

    def select(self, key: Hashable, pick: Callable[[str], T]) -> list[T]:
        """Return what is picked of each plan and single run, the newest first.

        Args:
            key: Names what is picked: only what changed since is asked for anew.
            pick: Says it of one.
        """
        with self._lock:
            known = self._picked.pop(key, {})
            picked: dict[str, tuple[int, object]] = {}
            for owner in reversed(self._order):
                version = self._versions[owner]
                each = known.get(owner)
                if each is None or each[0] != version:
                    each = version, pick(owner)
                picked[owner] = each
            self._picked[key] = picked
            while len(self._picked) > _PICKED:
                del self._picked[next(iter(self._picked))]
            return [cast(T, each) for _, each in picked.values()]

    def _changed_in(self, name: str) -> None:
        """Note that something of a plan, or of a run, is another one now."""
        plan = name.rpartition("-")[0]
        self._version += 1
        self._versions[plan if plan in self._owners else name] = self._version

    def _scan(self) -> None:
        try:
            with os.scandir(self._out) as entries:
                there = [e for e in entries if e.is_dir(follow_symlinks=False)]
            names = {each.name for each in there if not each.name.startswith(".")}
        except OSError:
            names = set()
        if gone := self._names - names:
            self._owners, self._order, self._unplaced, self._odd = {}, [], {}, set()
            for name in gone:
                self._rows.pop(name, None)
                self._unread.pop(name, None)
                self._absent.discard(name)
        new = names - (set() if gone else self._names)
        self._names = names
        for name in sorted(new):
            plan, _, number = name.rpartition("-")
            if len(number) >= _NUMBER and number.isdecimal() and plan in names:
                self._place(plan, name)
            else:
                self._unplaced[name] = None

    def _place_some(self, most: int) -> None:
        """Take up folders that are no plan's runs, the newest first."""
        for _ in range(min(most, len(self._unplaced))):
            name, _ = self._unplaced.popitem()
            folder = self._out / name
            if name in self._owners:
                continue
            if (folder / PLAN_FILE).exists():
                self._place(name, None)
            elif (folder / METADATA_FILE).exists():
                self._place(name, name)
            else:
                self._odd.add(name)

    def _place(self, owner: str, name: str | None) -> None:
        if owner not in self._owners:
            self._owners[owner] = []
            insort(self._order, owner)
        self._changed_in(name or owner)
        if name is not None:
            insort(self._owners[owner], name)
            if name not in self._rows:
                self._unread[name] = None

    def _read_some(self, most: int) -> None:
        """Read runs that are not known, the newest first."""
        for _ in range(min(most, len(self._unread))):
            name, _ = self._unread.popitem()
            row = self._read(name)
            if row is None:
                self._absent.add(name)
            else:
                self._rows[name] = row
                self._changed_in(name)


def _changed_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
