"""Each call to a disk fails once, all through a session: it is told in a line, nothing is lost.

One session is a plan with learning, its resume, ratings, and everything that reads or exports what
there is. What must hold is checked on a disk that is well again.
"""

from __future__ import annotations

import errno
import inspect
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
from PIL import Image

import stablenew
from stablenew import (
    BackendError,
    Behaviour,
    FakeBackend,
    LearningExecutionResult,
    Settings,
    StableNewError,
    open_app,
)
from tests.faults.failing_disk import FailingDisk
from tests.support import leftovers, lines, moments, rounds

PLAN = {"target_variable": "txt2img.steps", "sweep_values": [1, 2]}
CONFIG = {"txt2img": {"prompt": "a cat", "seed": 1}}
FIRST, SECOND = "plan-00001", "plan-00002"
PICTURE = (FIRST, "txt2img_1")
RECORDS = "learning_records.jsonl"
CALLS = 300
"""A session makes more than so many; fewer would be a disk that is not looked at."""


def behave(_: object, call: int) -> Behaviour:
    """Fail the plan's second step, for the resume to make."""
    return Behaviour(error=BackendError("out of memory") if call == 2 else None)


@attrs.define(eq=False)
class Session:
    """What somebody does in one folder, on a disk that fails once.

    Attributes:
        disk: The disk.
        told: The line of each error that was raised, by what was done.
        results: Of the plan and of its resume, each with what was said of records.
    """

    disk: FailingDisk
    told: dict[str, str] = attrs.field(factory=dict)
    results: dict[str, tuple[LearningExecutionResult, str | None]] = attrs.field(factory=dict)

    async def run(self) -> None:
        """Do everything once."""
        runs, backend = self.disk.folder, FakeBackend(behave)
        with self.disk.inserted():
            await self._ends("plan", lambda: self._plan(backend))
            if "plan" in self.results:
                await self._ends("resume", lambda: self._plan(backend))
                for stars in (4, 3):
                    await self._ends(f"rating {stars}", partial(rated, runs, stars))
            for name, read in READINGS.items():
                await self._ends(name, partial(read, runs))

    async def _ends(self, name: str, call: Callable[[], Any]) -> None:
        """See that a call ends as it should, or in one line about a file of ours."""
        try:
            returned = call()
            if inspect.isawaitable(returned):
                await returned
        except StableNewError as error:
            said = self.told[name] = str(error)
        else:
            return
        assert str(self.disk.folder) in said
        assert "\n" not in said

    async def _plan(self, backend: FakeBackend) -> None:
        name = "resume" if "plan" in self.results else "plan"
        self.results[name] = await plan(self.disk.folder, backend, resume=name == "resume")


READINGS: dict[str, Callable[[Path], object]] = {
    "records": lambda runs: list(stablenew.read_records(runs / RECORDS)),
    "feedback": stablenew.read_feedback,
    "dataset": stablenew.build_learning_dataset,
    "advice": stablenew.recommend,
    "table": lambda runs: stablenew.export_csv(runs, runs / "table.csv"),
    "folder": lambda runs: stablenew.export_folder(runs, runs / "folder"),
    "gallery": lambda runs: stablenew.open_gallery(runs / "plan"),
    "package": lambda runs: stablenew.package_feedback("plan", base_dir=runs),
}


async def rated(runs: Path, stars: int) -> None:
    await stablenew.record_feedback(*PICTURE, stars, base_dir=runs)


async def plan(
    runs: Path, backend: FakeBackend, *, resume: bool
) -> tuple[LearningExecutionResult, str | None]:
    """Run the plan, or go on with it; return what became of it and of its records."""
    settings = Settings(out=runs, learning_enabled=True)
    async with open_app(settings, backend=backend) as app:
        if resume:
            result = await app.learning.resume_plan("plan")
        else:
            result = await app.learning.run_learning_plan(PLAN, CONFIG, plan_id="plan")
        recorder = app.pipeline.recorder
        return result, recorder.problem if recorder else None


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is one: thousands of flushes."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name).resolve()


def recorded(runs: Path) -> list[str]:
    return [record.run_id for record in stablenew.read_records(runs / RECORDS)]


def check_files(runs: Path) -> None:
    """Nothing is half-written: pictures load, a file of JSON and each line of it are whole."""
    told = [json.loads(line)["sequence"] for line in lines(runs / "plan" / "events.jsonl")]
    assert told == list(range(1, len(told) + 1))
    for path in runs.rglob("[!.]*.*"):
        if path.suffix in (".png", ".jpg"):
            Image.open(path).load()
        elif path.suffix == ".json":
            json.loads(path.read_bytes())
        elif path.suffix == ".jsonl":
            assert path.read_bytes()[-1:] in (b"", b"\n"), path
            assert all(isinstance(json.loads(line), dict) for line in lines(path)), path


def check_told(session: Session) -> None:
    """A step that failed says which file; a record is on disk or its loss is told; ratings stay."""
    runs = session.disk.folder
    for result, problem in session.results.values():
        for run in filter(None, (step.run_result for step in result.step_results)):
            if run.error and run.error.kind != "BackendError":
                assert run.error.message.startswith(str(runs))
            assert not run.success or problem or run.run_id in recorded(runs)
    kept = [stars for stars in (4, 3) if f"rating {stars}" not in session.told]
    if "plan" in session.results and kept:
        assert stablenew.read_feedback(runs).ratings[PICTURE].rating == kept[-1]


async def check_next(session: Session) -> None:
    """On a disk that is well again the plan comes to its end, with one record for each run."""
    runs = session.disk.folder
    result, problem = await plan(runs, FakeBackend(), resume=(runs / "plan" / "plan.json").exists())
    assert result.success
    assert problem is None
    assert sorted(recorded(runs)) == [FIRST, SECOND]
    assert {path.parent.name for path in runs.glob("plan-*/*.png")} == {FIRST, SECOND}
    if not session.disk.failed.startswith("unlink"):
        assert leftovers(runs) == []
    check_files(runs)


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.ENOSPC], ids=os.strerror)
async def test_each_call_that_fails_is_told_and_loses_nothing(folder: Path, code: int) -> None:
    for moment in moments(73, first=2 * code):
        session = Session(FailingDisk(folder / str(moment), moment, code))
        try:
            await session.run()
            check_files(session.disk.folder)
            check_told(session)
            await check_next(session)
        except BaseException as error:
            error.add_note(f"call {moment} failed: {session.disk.failed}; told: {session.told}")
            raise
        if not session.disk.failed:
            assert moment > CALLS
            return


async def test_without_a_failure_nothing_is_told(folder: Path) -> None:
    session = Session(FailingDisk(folder / "runs"))
    await session.run()
    assert session.told == {}
    assert len(session.disk.calls) > CALLS
    check_told(session)
    await check_next(session)


ODD = {"deep": b"[" * 100_000, "empty": b"", "bytes": b"\xff\xfe\0\n", "null": b"null\n"}
ODD |= {"list": b"[1]\n", "keys": b'{"run_id": 5, "stages": 5, "outputs": [5]}\n'}


@pytest.mark.parametrize("odd", ODD)
async def test_a_file_that_holds_something_else_is_told(folder: Path, odd: str) -> None:
    session = Session(FailingDisk(folder))
    await session.run()
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files[list(ODD).index(odd) % rounds(4, 1) :: rounds(4, 1)]:
        data = path.read_bytes()
        path.write_bytes(ODD[odd])
        try:
            await session.run()
        except BaseException as error:
            error.add_note(f"in {path.relative_to(folder)}")
            raise
        path.write_bytes(data)
