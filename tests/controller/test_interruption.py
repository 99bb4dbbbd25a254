"""Nothing stays `running`: after an error, a kill, a full disk, a second start."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from stablenew.app import App, open_app
from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.config.settings import Settings
from stablenew.controller import marker
from stablenew.controller.activity import State
from stablenew.controller.interruption import Interruption, find_interruptions
from stablenew.errors import ConfigError, RecordError, StableNewError
from stablenew.hosts import ThreadHost
from stablenew.learning.learning_record_reader import read_records
from stablenew.report.page import DATA
from stablenew.storage import files, system
from tests.cli.program import run
from tests.support import config, leftovers

PLAN = {"target_variable": "txt2img.cfg_scale", "sweep_values": [3, 5, 7]}
MADE = {"created_at": "2026-11-20T12:00:00+00:00"}

HANGS = """
import sys, anyio
from pathlib import Path
from stablenew import FakeBackend, Behaviour, Settings, open_app, PipelineConfig
from stablenew.pipeline.stage_events import StageProgress

async def main():
    backend = FakeBackend(lambda request, call: Behaviour(hang=call == {call}))
    settings = Settings(out=Path(sys.argv[1]), learning_enabled=True)
    async with open_app(settings, backend=backend) as app, anyio.create_task_group() as tasks:
        async def say():
            while len(backend.calls) < {call}:
                await anyio.sleep(0.01)
            await app.bus.drain()
            print("hangs", flush=True)
        tasks.start_soon(say)
        config = {{"txt2img": {{"prompt": "a cat", "seed": 1}}}}
        if {single}:
            await app.pipeline.run_pipeline(config)
        else:
            await app.learning.run_learning_plan({plan}, config, plan_id="plan-1")

anyio.run(main)
"""


@contextmanager
def hanging(runs: Path, *, call: int, single: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """Have another process run something that hangs in a call; it is killed at the end."""
    code = HANGS.format(call=call, single=single, plan=PLAN)
    with subprocess.Popen(
        [sys.executable, "-c", code, str(runs)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"hangs\n"
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def killed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a plan left which was killed in its second call."""
    folder = tmp_path_factory.mktemp("killed") / "runs"
    with hanging(folder, call=2):
        pass
    return folder


@pytest.fixture
def killed(runs: Path, killed_once: Path) -> Path:
    shutil.copytree(killed_once, runs, symlinks=True)
    return runs


def state(app: App) -> State:
    return app.learning.state


def page_is_done(runs: Path) -> bool:
    text = (runs / "plan-1" / DATA).read_text()
    done = json.loads(text.partition(" = ")[2].rstrip().rstrip(";"))["done"]
    assert isinstance(done, bool)
    return done


async def test_the_next_start_reports_a_killed_plan_and_what_is_missing(killed: Path) -> None:
    runs = killed
    assert not page_is_done(runs)
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        (found,) = app.interrupted
        assert state(app) is State.IDLE
    assert (found.id, found.steps, found.missing) == ("plan-1", 3, ("cfg_scale=5", "cfg_scale=7"))
    assert str(found) == (
        "plan-1 was interrupted: 1 of 3 steps done, missing: cfg_scale=5; cfg_scale=7"
    )
    assert page_is_done(runs)
    assert len(list(read_records(runs / "learning_records.jsonl"))) == 1
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        assert app.interrupted == ()  # said once


async def test_what_a_killed_writer_left_half_written_is_removed(killed: Path) -> None:
    runs = killed
    run = runs / "plan-1-00002"
    run.mkdir(exist_ok=True)
    halves = [runs / "plan-1" / ".report.html.0a1b2c3d.tmp", run / ".txt2img_1.png.0a1b2c3d.tmp"]
    others = runs / "somebody-else" / ".a.0a1b2c3d.tmp"
    others.parent.mkdir()
    for path in (*halves, others):
        path.write_bytes(b"half")
    assert len(find_interruptions(runs)) == 1
    assert [path.exists() for path in (*halves, others)] == [False, False, True]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def test_a_killed_plan_is_gone_on_with_and_not_begun_again_under_its_id(runs: Path) -> None:
    with hanging(runs, call=1):
        pass
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        before = snapshot(runs / "plan-1")
        with pytest.raises(ConfigError, match=r"'plan-1', which is a plan already.*resume_plan"):
            await app.learning.run_learning_plan(PLAN, config(), plan_id="plan-1")
        assert snapshot(runs / "plan-1") == before
        result = await app.learning.resume_plan("plan-1")
    assert result.success
    assert leftovers(runs) == []
    assert os.listdir(runs / marker.FOLDER) == []  # noqa: PTH208  # names are what is wanted


async def test_a_killed_single_run_is_reported(runs: Path) -> None:
    with hanging(runs, call=1, single=True):
        pass
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        (found,) = app.interrupted
    assert str(found) == f"{found.id} was interrupted"
    assert (runs / found.id).is_dir()


async def test_what_another_process_is_at_is_not_interrupted_and_not_started_twice(
    runs: Path,
) -> None:
    with hanging(runs, call=2):
        async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
            assert app.interrupted == ()
            before = (runs / "plan-1" / "events.jsonl").read_bytes()
            with pytest.raises(StableNewError, match="plan-1 is under way in another process"):
                await app.learning.run_learning_plan(PLAN, config(), plan_id="plan-1")
            assert (runs / "plan-1" / "events.jsonl").read_bytes() == before
            assert state(app) is State.ERROR
            assert (await app.learning.run_learning_plan(PLAN, config())).success
            assert state(app) is State.IDLE


def test_a_gui_without_a_loop_hears_of_it_too(runs: Path) -> None:
    with hanging(runs, call=3):
        pass
    with ThreadHost(Settings(out=runs), backend=FakeBackend()) as host:
        assert [each.missing for each in host.interrupted] == [("cfg_scale=7",)]


def test_the_command_line_says_it_on_stderr(killed: Path) -> None:
    words = ("--prompt", "a cat", "--backend", "fake", "--out", str(killed))
    done = run(*words, cwd=killed.parent)
    assert "plan-1 was interrupted: 1 of 3 steps done, missing: cfg_scale=5; " in done.stderr


async def test_a_full_disk_ends_a_plan_and_the_next_one_runs(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(RecordError, match="cannot be written: No space left"):
                await app.learning.run_learning_plan(PLAN, config())
            assert state(app) is State.ERROR
        assert (await app.learning.run_learning_plan(PLAN, config())).success
        assert state(app) is State.IDLE
    assert leftovers(runs) == []
    assert find_interruptions(runs) == ()


def test_a_disk_that_fails_while_a_marker_is_made_leaves_nobody_holding_it(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os.path, "samestat", broken)
        with pytest.raises(OSError, match="Input/output error"):
            marker.hold(runs, "plan-1")
    marker.release(runs, "plan-1", marker.hold(runs, "plan-1"))


async def test_a_step_that_cannot_be_noted_in_its_marker_runs_all_the_same(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(system, "write_state", full)
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        assert (await app.learning.run_learning_plan(PLAN, config())).success


async def test_an_error_in_the_middle_leaves_no_marker(runs: Path) -> None:
    backend = FakeBackend(Behaviour(error=ValueError("no")))
    async with open_app(Settings(out=runs), backend=backend) as app:
        result = await app.learning.run_learning_plan(PLAN, config())
        assert not result.success
        assert not marker.is_held(runs, result.plan_id)
    assert find_interruptions(runs) == ()


def mark(runs: Path, name: str) -> Path:
    """Leave what a process leaves that was killed."""
    (runs / marker.FOLDER).mkdir(parents=True, exist_ok=True)
    (runs / marker.FOLDER / name).touch()
    folder = runs / name
    folder.mkdir()
    return folder


def test_a_plan_killed_after_its_end_was_told_is_not_interrupted(runs: Path) -> None:
    folder = mark(runs, "plan-1")
    content = {"plan": PLAN, "config": config().to_dict(), "max_steps": None, **MADE}
    (folder / "plan.json").write_text(json.dumps(content))
    (folder / "events.jsonl").write_text('{"type": "PlanFinished"}\n')
    assert find_interruptions(runs) == ()
    assert not (runs / marker.FOLDER / "plan-1").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"plan": {}, "config": {}}', b"\xff"])
def test_a_plan_file_that_cannot_be_read_is_reported_without_its_steps(
    runs: Path, content: bytes
) -> None:
    (mark(runs, "plan-1") / "plan.json").write_bytes(content)
    assert find_interruptions(runs) == (Interruption(id="plan-1"),)


def test_a_torn_last_line_of_events_is_no_step(runs: Path) -> None:
    folder = mark(runs, "plan-1")
    content = {"plan": PLAN, "config": config().to_dict(), "max_steps": 2, **MADE}
    (folder / "plan.json").write_text(json.dumps(content))
    whole = '{"type": "StepFinished", "index": 0, "outcome": "succeeded"}\n'
    (folder / "events.jsonl").write_text(whole + whole.replace("0", "1")[:-10])
    done = {"outcome": "succeeded", "stages": [], "stage_outputs": []}
    (runs / "plan-1-00001").mkdir()
    (runs / "plan-1-00001" / "run_metadata.json").write_text(json.dumps(done))
    assert find_interruptions(runs) == (
        Interruption(id="plan-1", steps=2, missing=("cfg_scale=5",)),
    )


async def test_an_app_opens_where_nothing_can_be_written(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark(runs, "plan-1")

    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "unlink", read_only)
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        assert [each.id for each in app.interrupted] == ["plan-1"]


async def test_the_events_are_on_disk_before_the_mark_is_taken_away(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, marked = files.append, []

    async def slowly(path: Path, data: bytes, *, durable: bool) -> None:
        await anyio.sleep(0.2)
        marked.append(marker.is_held(runs, path.parent.name))
        await append(path, data, durable=durable)

    monkeypatch.setattr(files, "append", slowly)
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        result = await app.learning.run_learning_plan(PLAN, config())
        told = (runs / result.plan_id / "events.jsonl").read_bytes().splitlines()
    assert b"PlanFinished" in told[-1]
    assert marked
    assert all(marked)


@pytest.mark.parametrize("seconds", [0, 0.0001])
async def test_the_last_result_is_that_of_the_last_plan_however_early_it_ended(
    runs: Path, seconds: float
) -> None:
    async with open_app(Settings(out=runs), backend=FakeBackend(Behaviour(hang=False))) as app:
        first = await app.learning.run_learning_plan(PLAN, config())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await app.learning.run_learning_plan(PLAN, config())
        last = app.learning.last_result
        assert last is not None
        assert last.plan_id != first.plan_id
        assert str(last.outcome) == "cancelled"


def test_many_missing_steps_are_counted_and_the_first_are_named() -> None:
    missing = tuple(f"steps={number}" for number in range(1, 2_001))
    told = str(Interruption(id="plan-1", steps=3_000, missing=missing))
    assert told.startswith("plan-1 was interrupted: 1000 of 3000 steps done, missing: steps=1; ")
    assert told.endswith("; steps=20; … and 1,980 more")
