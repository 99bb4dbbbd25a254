"""A file of JSON lines, changed only by renaming a complete file over it, at a flat cost.

What is promised (Linux; elsewhere the cost grows with the file):

1. Whoever opens the file, at any moment, sees whole lines; whoever opens it later sees an extension
   of that.
2. An append that returned survives kill -9, and a power cut if the disk honours a flush. One that
   did not return is there whole, once, or not at all.
3. A failed append leaves the file as it was and raises `RecordError` with path, cause and advice.
   Where a rename cannot be undone, the error says `indeterminate`.
4. An append costs its own size, flat to millions of records, but for one copy after: adopting a
   file, a power cut, an edit by somebody else, or a reader that holds every spare.
5. Any number of tasks and processes may append; concurrent appends are committed together; nobody
   waits for a dead one.
6. A torn or foreign tail is healed: a whole last line gets its newline, anything else is moved to
   `<name>.torn-<time>` and reported, never glued to the next record, never silently dropped.
7. Disk: twice the file (three times after a slow reader), twice the bytes written.

How: the previous generation is kept as a spare that lags by the last batch. An append brings it up
to date, adds its lines, forces it to disk, and swaps it with the live file; what was displaced is
the next spare. A spare is written to only under a write lease: no reader has it open. Small files,
and platforms without leases, are copied instead.

    live · .<name>.spare0, .spare1 · .<name>.tmp, .old (fixed names) · .<name>.lock (lock and state)

The state says which file was live and how much of each spare is right; it has a checksum and is
believed only if the live file is the one that it names.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Mapping
from pathlib import Path

import attrs

from stablenew.storage import system
from stablenew.storage.record_state import ChangedError, RecordState, Spare
from stablenew.storage.record_tail import is_whole, set_aside, tail_of
from stablenew.storage.system import Stat

logger = logging.getLogger(__name__)

SMALL = 256 * 1024
"""Bytes up to which copying the file costs less than keeping a spare."""

SLOTS = ("spare0", "spare1")  # two: a reader that reads all the time holds one
_PASSING = ("tmp", "old", "torn")
_NO_EXCHANGE = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}


@attrs.define(eq=False)
class Commit:
    """One batch on its way into the file: `start`, write `pending`, then `finish` or `give_up`.

    Each blocks, and whatever it raises, it leaves the file as it was and closes everything.

    Attributes:
        path: The file itself, no symbolic link.
        lock: The locked lock file; closed in the end.
        descriptor: The file in the making, to which `pending` is to be written.
    """

    path: Path
    lock: int
    state: RecordState = attrs.field(factory=RecordState)
    live: Stat | None = None
    building: Path = Path()
    made: Stat | None = None
    descriptor: int = -1
    right: int = 0  # how much of the file in the making is right before `pending` is written
    common: int = 0  # how much of the live file is left as it is
    pending: list[bytes] = attrs.field(factory=list)
    leased: bool = False
    spoiled: bool = False
    keeps_spare: bool = True
    helpers: Mapping[str, Path] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        start = f"{self.path.parent}{os.sep}.{self.path.name}."
        self.helpers = {ending: Path(start + ending) for ending in (*SLOTS, *_PASSING)}

    def beside(self, ending: str) -> Path:
        """Return the path of a helper file."""
        return self.helpers[ending]

    def start(self, data: list[bytes]) -> None:
        """Choose a file to build and bring it as far as the live one.

        Raises:
            ChangedError: Somebody else wrote to the live file meanwhile.
            OSError: The disk said no.
        """
        try:
            self._begin(data)
        except BaseException:
            self.give_up()
            raise

    def _begin(self, data: list[bytes]) -> None:
        for ending in _PASSING:  # what a killed commit left
            system.unlink(self.beside(ending))
        self.live = system.stat(self.path)
        self.state = RecordState.read(self.lock)
        ours = self.live is not None and self.state.live == self.live.identity
        self.keeps_spare = system.SPARES and self.live is not None and self.live.size >= SMALL
        if not (ours and self.keeps_spare):
            self._forget_spares()
        self.pending = data
        if not self._begin_spare():
            self._begin_copy(heal=not ours)

    def _forget_spares(self) -> None:
        for slot in SLOTS:
            system.unlink(self.beside(slot))
        self.state = RecordState(self.state.live)

    def _begin_spare(self) -> bool:
        """Take the newest spare that nobody reads; False if there is none."""
        spares = self.state.spares.items()
        for slot, spare in sorted(spares, key=lambda item: -item[1].generation):
            try:
                self.descriptor = system.open_spare(self.beside(slot))
            except OSError:
                continue
            if self._fits(spare) and self._take_lease():
                self._build(self.beside(slot), spare.valid)
                system.truncate(self.descriptor, spare.valid)
                self.pending = [self._missing(spare.valid), *self.pending]
                return True
            self._close_file()
        return False

    def _build(self, path: Path, right: int) -> None:
        """Go on with the file that was opened at `path`."""
        self.building, self.right = path, right
        self.made = system.stat_open(self.descriptor)
        if self.live is not None:
            self.common = self.live.size
            system.mirror(self.descriptor, self.live)

    def _fits(self, spare: Spare) -> bool:
        assert self.live
        found = system.stat_open(self.descriptor)
        alone = found.inode == spare.inode and found.inode != self.live.inode and found.links == 1
        return alone and spare.valid <= min(self.live.size, found.size)

    def _take_lease(self) -> bool:
        try:
            self.leased = system.lease(self.descriptor)
        except OSError as error:  # NFS, FAT and the like: spares are of no use there
            logger.debug("%s: no leases: %s", self.path, error)
            self.keeps_spare = False
        return self.leased

    def _missing(self, valid: int) -> bytes:
        """Read what the live file has and the spare lacks."""
        assert self.live
        with self.path.open("rb") as live:
            self._check(system.stat_open(live.fileno()))
            return system.read(live.fileno(), self.live.size - valid, valid)

    def _begin_copy(self, *, heal: bool) -> None:
        temp = self.beside("tmp")
        self.descriptor = system.create(temp)
        self._build(temp, self.live.size if self.live else 0)
        if self.live is None:
            return
        with self.path.open("rb") as live:
            self._check(system.stat_open(live.fileno()))
            system.copy(live.fileno(), self.descriptor, self.live.size)
            if heal:
                self._heal(tail_of(live.fileno(), self.live.size))

    def _check(self, found: Stat | None) -> None:
        if found is None or self.live is None or found.identity != self.live.identity:
            raise ChangedError

    def _heal(self, tail: bytes) -> None:
        """Give a whole last line its newline; move anything else out of the way."""
        if not tail:
            return
        if is_whole(tail):
            logger.warning("%s: its last line had no newline and got one", self.path)
            self.pending = [b"\n", *self.pending]
            return
        set_aside(self.path, self.beside("torn"), tail)
        self.right = self.common = self.right - len(tail)
        system.truncate(self.descriptor, self.right)

    def finish(self) -> None:
        """Force the file to disk, put it in place, and keep what was displaced as a spare.

        Raises:
            ChangedError: Somebody else wrote to the live file meanwhile.
            OSError: The disk said no; `indeterminate` where the rename cannot be undone.
        """
        try:
            self._flush()
            try:
                displaced = self._publish()
                system.sync_folder(self.path.parent)
            except BaseException:
                self._undo()
                raise
        except BaseException:
            self.give_up()
            raise
        system.quietly(self._remember, displaced)
        self._close()

    def _flush(self) -> None:
        self.spoiled = True  # a flush that fails says nothing of what the disk has
        system.sync(self.descriptor)
        self.made = system.stat_open(self.descriptor)
        if self.made.size != self.right + sum(map(len, self.pending)):
            raise OSError(errno.EIO, "the file has another size than was written")
        self._release()  # it is whole; who opens it as the live file must not wait
        if os.name == "nt":  # an open file cannot be renamed there
            self._close_file()

    def _publish(self) -> Path | None:
        """Put the file in place; return where the displaced one is, None if it is gone."""
        if self.live is None:
            self._publish_first()
            return None
        try:
            system.exchange(self.building, self.path)
        except OSError as error:
            if error.errno not in _NO_EXCHANGE:
                raise
            return self._publish_by_link()
        self._check(system.stat(self.building))
        return self._park(self.building)

    def _publish_first(self) -> None:
        try:
            system.link(self.building, self.path)
        except FileExistsError:
            raise ChangedError from None
        except OSError as error:
            if error.errno not in system.NO_LINKS:
                raise
            system.rename(self.building, self.path)
        system.quietly(system.unlink, self.building)

    def _publish_by_link(self) -> Path | None:
        """Do without the exchange: a second name for the live file, then a plain rename."""
        old: Path | None = self.beside("old")
        try:
            system.link(self.path, self.beside("old"))
        except OSError as error:
            if error.errno not in system.NO_LINKS:
                raise
            old = None  # no links either: the displaced file is lost to us
        self._check(system.stat(self.path))
        system.rename(self.building, self.path)
        return self._park(old) if old else None

    def _park(self, displaced: Path) -> Path:
        """Move the displaced file to a slot; failing to is no failure."""
        slot = self._slot()
        if not self.keeps_spare or displaced == slot:
            return displaced
        system.quietly(system.rename, displaced, slot)
        return displaced if system.stat(displaced) else slot

    def _slot(self) -> Path:
        """Return the slot that was built in, or a free one, or the one with the older spare."""
        if self.building.name.endswith(SLOTS):
            return self.building
        ages = {slot: spare.generation for slot, spare in self.state.spares.items()}
        return self.beside(min(SLOTS, key=lambda slot: ages.get(slot, -1)))

    def _remember(self, displaced: Path | None) -> None:
        assert self.made
        spares = dict(self.state.spares) if self.keeps_spare else {}
        if displaced is not None and displaced.name.endswith(SLOTS):
            assert self.live
            newest = max((spare.generation for spare in spares.values()), default=0)
            slot = displaced.name.rpartition(".")[2]
            spares[slot] = Spare(self.live.inode, self.common, newest + 1)
        elif displaced is not None:
            system.quietly(system.unlink, displaced)
        now = system.stat(self.path)
        if now is not None and now.inode == self.made.inode:
            system.quietly(RecordState(now.identity, spares).write, self.lock)

    def _undo(self) -> None:
        """After an error while publishing: have the old file in place, or say that it is not.

        A rename may fail after it took effect, so what counts is which file is in place.
        """
        assert self.made
        try:
            now = system.stat(self.path)
            if now is not None and now.inode == self.made.inode:
                self._put_back(self.made)
                system.quietly(system.sync_folder, self.path.parent)
        except OSError as error:
            raise OSError(error.errno, f"indeterminate: {error}") from error

    def _put_back(self, made: Stat) -> None:
        if self.live is None:
            system.unlink(self.path)
            return
        others = {made.inode, *(spare.inode for spare in self.state.spares.values())}
        for ending in (*SLOTS, "tmp", "old"):
            found = system.stat(self.beside(ending))
            if found is not None and found.inode not in others:
                system.rename(self.beside(ending), self.path)
                return
        raise OSError(errno.EIO, "the file that was replaced is gone")

    def give_up(self) -> None:
        """Leave no trace: a spare goes back to what it was, a file in the making goes away."""
        system.quietly(self._clean)
        self._close()

    def _clean(self) -> None:
        if self.made is None:
            return
        in_place = system.stat(self.path)
        if in_place is not None and in_place.inode == self.made.inode:
            return
        if self.building.name.endswith(SLOTS) and not self.spoiled:
            system.truncate(self.descriptor, self.right)
        else:
            system.unlink(self.building)
        for ending in ("old", "torn"):
            system.unlink(self.beside(ending))

    def _close(self) -> None:
        self._release()
        self._close_file()
        system.quietly(system.close, self.lock)

    def _release(self) -> None:
        if self.leased:
            self.leased = False
            system.quietly(system.release, self.descriptor)

    def _close_file(self) -> None:
        if self.descriptor >= 0:
            system.quietly(system.close, self.descriptor)
            self.descriptor = -1
