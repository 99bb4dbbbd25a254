"""Each call to a disk fails once, all through a day at a terminal: one line, and an exit code."""

from __future__ import annotations

import errno
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import pytest

from stablenew.run import command, main
from tests.cli.program import run
from tests.faults.failing_disk import FailingDisk
from tests.support import moments

RUN = ("--backend", "fake", "--prompt", "a cat", "--seed", "1", "--learn")
CALLS = 250
"""A day makes more calls than so many; fewer would be a disk that is not looked at."""


@attrs.define(eq=False)
class Day:
    """Somebody's commands, one after the other, on a disk that fails once.

    Attributes:
        disk: The disk; the runs are in its folder.
        codes: What each command ended with.
    """

    disk: FailingDisk
    codes: list[int] = attrs.field(factory=list)

    def spend(self) -> None:
        runs = self.disk.folder
        ratings = runs.parent / "ratings.json"
        with self.disk.inserted():
            self._type(*RUN, "--out", str(runs), "--sweep", "txt2img.steps=1,2")
            plans = (call for call in self.disk.calls if "/plan.json" in call)
            plan_id = next(plans, "none/none").split("/")[1]
            rated = {"run_id": f"{plan_id}-00001", "image_id": "txt2img_1", "rating": 4}
            ratings.write_text(json.dumps({"plan_id": plan_id, "ratings": [rated]}))
            folder = str(runs / plan_id)
            self._type(*RUN, "--out", str(runs), "--sweep", "txt2img.steps=1,2", "--dry-run")
            self._type("--resume", folder, "--backend", "fake")
            self._type(folder, "--events-from", "1")
            for words in (
                ("rate", folder, "--from", str(ratings)),
                ("recommend", "--out", str(runs)),
                ("dataset", "--out", str(runs), "--to", "csv", str(runs / "table.csv")),
                ("dataset", "--out", str(runs), "--to", "folder", str(runs / "folder")),
            ):
                self._type(*words, entry=command)

    def _type(self, *words: str, entry: Callable[[Sequence[str]], int] = main) -> None:
        before = self.disk.failed
        done = run(*words, cwd=self.disk.folder.parent, expect=None, entry=entry)
        self.codes.append(done.returncode)
        assert "Traceback" not in done.stderr
        assert done.returncode in (0, 1, 2)
        if done.returncode and not before:
            assert str(self.disk.folder) in done.stderr


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_each_call_that_fails_is_a_line_and_an_exit_code(code: int) -> None:
    for moment in moments(83, first=code):
        with tempfile.TemporaryDirectory() as folder:
            day = Day(FailingDisk(Path(folder).resolve() / "runs", moment, code))
            try:
                day.spend()
            except BaseException as error:
                error.add_note(f"call {moment} failed: {day.disk.failed}")
                raise
        if not day.disk.failed:
            assert moment > CALLS
            assert day.codes == [0] * len(day.codes)
            return
