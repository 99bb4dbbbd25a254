"""Every system call of an append fails or is the last; promises 1 to 3 hold at each."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stablenew.storage import system
from tests.storage.harness import (
    KILLED,
    ROADS,
    SCENES,
    Fault,
    append,
    close_readers,
    faulty,
    in_child,
    line,
    on_road,
    spare,
)
from tests.support import moments, open_handles, rounds

Scene = Callable[[Path], bytes]

every_scene = pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
every_road = pytest.mark.parametrize("road", ROADS)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is one: thousands of flushes."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


def fresh(folder: Path) -> Path:
    close_readers()
    shutil.rmtree(folder / "runs", ignore_errors=True)
    (folder / "runs").mkdir()
    return folder / "runs" / "r.jsonl"


def strays(path: Path) -> list[str]:
    return [each.name for each in path.parent.iterdir() if each.suffix in (".tmp", ".old")]


def case(scene: Scene, road: str, how: str) -> int:
    """Return a number for each case of the sweeps."""
    return SCENES.index(scene) + list(ROADS).index(road) + len(how)


def content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def raw(path: Path, scene: Scene) -> tuple[bytes, bytes]:
    """Set a scene; return what the file is and what it is once healed."""
    healed = scene(path)
    return content(path), healed


def check_next(path: Path, expected: bytes) -> None:
    """The next append works, and nothing is left lying about."""
    append(path, line("next"))
    assert content(path) == expected + line("next")
    assert strays(path) == []


@every_road
@every_scene
def test_without_a_fault_the_line_is_there_and_nothing_is_left(
    folder: Path, scene: Scene, road: str
) -> None:
    with on_road(road):
        path = fresh(folder)
        _, healed = raw(path, scene)
        for name in ("one", "two", "three"):
            append(path, line(name))
        assert content(path) == healed + line("one") + line("two") + line("three")
        assert strays(path) == []


@every_road
@every_scene
@pytest.mark.parametrize("how", ["before", "after", "half"])
def test_a_call_that_fails_leaves_the_file_as_it_was(
    folder: Path, scene: Scene, road: str, how: str
) -> None:
    failed = 0
    with on_road(road):
        for moment in moments(every=11, first=case(scene, road, how)):
            path = fresh(folder)
            before, healed = raw(path, scene)
            handles = open_handles()
            fault = Fault(moment, how, (errno.EIO, errno.ENOSPC, errno.EACCES)[moment % 3])
            error: OSError | None = None
            with faulty(fault):
                try:
                    append(path, line("new"))
                except OSError as caught:
                    error = caught
            if len(fault.calls) < moment:
                break
            where = f"call {moment}, {fault.calls[moment - 1]}"
            if error is None:
                assert content(path) == healed + line("new"), where
            elif "indeterminate" in str(error):
                assert content(path) in (before, healed, healed + line("new")), where
            else:
                assert content(path) == before, where
            failed += error is not None
            expected = content(path) if content(path) != before else healed
            assert open_handles() <= handles, where
            check_next(path, expected)
    assert failed > rounds(0, 3)


@every_road
@every_scene
@pytest.mark.parametrize("how", ["kill before", "kill after", "kill half"])
def test_a_kill_at_any_call_leaves_whole_lines(
    folder: Path, scene: Scene, road: str, how: str
) -> None:
    with on_road(road):
        for moment in moments(every=11, first=case(scene, road, how)):
            path = fresh(folder)
            before, healed = raw(path, scene)
            fault = Fault(moment, how)

            def killed(fault: Fault = fault, path: Path = path) -> None:
                with faulty(fault):
                    append(path, line("new"))

            if in_child(killed) != KILLED:
                break
            found = content(path)
            assert found in (before, healed + line("new")), moment
            check_next(path, healed if found == before else found)
    assert moment > 8


def test_readers_of_the_new_file_never_wait_for_a_lease(folder: Path) -> None:
    """It is given back before the file is put where readers open it."""
    with on_road("exchange"):
        path = fresh(folder)
        spare(path)
        fault = Fault()
        with faulty(fault):
            append(path, line("new"))
    assert fault.calls.index("lease") < fault.calls.index("release") < fault.calls.index("exchange")


def test_what_a_failed_write_left_in_a_spare_is_cut_off_at_once(folder: Path) -> None:
    """Half a batch must not go on taking room on a disk that is full."""
    with on_road("exchange"):
        path = fresh(folder)
        spare(path)
        noting = Fault()
        with faulty(noting):
            append(path, line("one"))
        sizes = [each.stat().st_size for each in path.parent.glob(".*.spare*")]
        moment = noting.calls.index("write") + 1
        with faulty(Fault(moment, "half", errno.ENOSPC)), pytest.raises(OSError, match="space"):
            append(path, line("two"))
        assert [each.stat().st_size for each in path.parent.glob(".*.spare*")] == sizes


class Disk:
    """What a power cut would leave: names count once their folder was flushed, data once synced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name_is_safe = True
        self.data_is_safe = True

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        for name in ("exchange", "rename", "link", "sync_folder", "sync"):
            patch.setattr(system, name, self._noting(name, getattr(system, name)))

    def _noting(self, name: str, call: Callable[..., None]) -> Callable[..., None]:
        def noting(*arguments: object) -> None:
            call(*arguments)
            if name == "sync_folder":
                self.name_is_safe = True
            elif name == "sync":
                self.data_is_safe = True
            elif self.path in arguments:
                self.name_is_safe = False

        return noting


def appended_safely(path: Path, scene: Scene) -> bool:
    """Say whether an acknowledged line would outlive a power cut."""
    scene(path)
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(path)
        disk.watch(patch)
        disk.data_is_safe = False
        append(path, line("new"))
    return disk.name_is_safe and disk.data_is_safe


@every_road
@every_scene
def test_an_acknowledged_line_outlives_a_power_cut(folder: Path, scene: Scene, road: str) -> None:
    with on_road(road):
        assert appended_safely(fresh(folder), scene)


@every_scene
@pytest.mark.parametrize("call", ["sync", "sync_folder"])
def test_the_check_catches_a_missing_flush(
    folder: Path, scene: Scene, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the same check without the flush of the data, or of the folder."""
    with on_road("exchange"):
        path = fresh(folder)
        noted = Disk._noting

        def forgetful(disk: Disk, name: str, call_: Callable[..., None]) -> Callable[..., None]:
            return (lambda *_: None) if name == call else noted(disk, name, call_)

        monkeypatch.setattr(Disk, "_noting", forgetful)
        assert not appended_safely(path, scene)


@pytest.mark.parametrize("guarded", [True, False])
def test_a_reader_never_sees_its_file_change_unless_the_lease_is_left_out(
    folder: Path, guarded: bool
) -> None:
    """The control: without the lease, the file that a reader has open grows under it."""
    with on_road("exchange"), pytest.MonkeyPatch.context() as patch:
        if not guarded:
            patch.setattr(system, "lease", lambda descriptor: True)
        path = fresh(folder)
        for name in "abcdefgh":
            append(path, line(name))
        with path.open("rb") as reader:
            before = os.fstat(reader.fileno()).st_size
            for name in "ijklmn":
                append(path, line(name))
            changed = os.fstat(reader.fileno()).st_size != before
    assert changed is not guarded
