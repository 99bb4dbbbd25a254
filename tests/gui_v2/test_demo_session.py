"""What the demo windows share, with a window that only takes notes."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import demo_session
import pytest
from demo_session import THUMBNAIL, Row, Session, thumbnail
from PIL import Image

from stablenew.app import App, open_app
from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.config.settings import Settings
from stablenew.learning.axis import axis_of_values
from stablenew.learning.learning_plan import LearningPlan
from stablenew.learning.learning_record_reader import read_records
from tests.support import config, until

SWEEP = "txt2img.cfg_scale=3,5,7"


class Notes:
    """A window that notes what it is shown."""

    def __init__(self) -> None:
        self.status: list[tuple[str, bool]] = []
        self.rows: list[Row] = []
        self.states: list[tuple[int, str]] = []
        self.fractions: list[float] = []
        self.pictures: list[tuple[str, bytes]] = []

    def show_status(self, text: str, *, running: bool) -> None:
        self.status.append((text, running))

    def show_rows(self, rows: list[Row]) -> None:
        self.rows = list(rows)
        self.pictures.clear()
        self.fractions.clear()

    def show_row(self, index: int, row: Row) -> None:
        self.rows[index] = row
        self.states.append((index, row.state))

    def show_fraction(self, fraction: float) -> None:
        self.fractions.append(fraction)

    def add_picture(self, label: str, picture: bytes) -> None:
        self.pictures.append((label, picture))


@asynccontextmanager
async def session(
    runs: Path, backend: FakeBackend | None = None
) -> AsyncIterator[tuple[App, Session, Notes]]:
    notes = Notes()
    async with open_app(Settings(out=runs), backend=backend or FakeBackend()) as app:
        yield app, Session(app, notes), notes


async def test_a_plan_is_shown_from_its_start_to_its_end(runs: Path) -> None:
    async with session(runs) as (app, demo, notes):
        assert notes.status == [("ready", False)]
        demo.start("a cat", SWEEP, learn=True)
        await until(lambda: len(notes.pictures) == 3 and not notes.status[-1][1])
        assert app.learning.last_result is not None
        assert demo.dropped == 0
    assert [text for text, running in notes.status if running] == ["starting", "running 3 steps"]
    assert notes.status[-1] == ("succeeded: 3 of 3 succeeded", False)
    assert [row.label for row in notes.rows] == ["cfg_scale=3", "cfg_scale=5", "cfg_scale=7"]
    assert [row.state for row in notes.rows] == ["succeeded"] * 3
    assert (0, "txt2img 50%") in notes.states
    assert notes.fractions == sorted(notes.fractions)
    assert notes.fractions[-1] == 1.0
    assert [label for label, _ in notes.pictures] == [row.label for row in notes.rows]
    assert len(list(read_records(runs / "learning_records.jsonl"))) == 3


async def test_a_step_of_many_axes_is_shown_by_all_of_them_once_it_begins(runs: Path) -> None:
    names = ("cfg_scale", "steps", "width")
    axes = [axis_of_values(f"txt2img.{name}", [8, 9]) for name in names]
    async with session(runs) as (app, demo, notes):
        await app.learning.run_learning_plan(LearningPlan(axes=axes), config(), max_steps=2)
        await until(lambda: notes.fractions and notes.fractions[-1] == 1.0)
        assert demo.dropped == 0
    assert [row.label for row in notes.rows] == [
        "cfg_scale=8, steps=8, width=8",
        "cfg_scale=9, steps=8, width=8",
    ]


async def test_the_toggle_decides_whether_there_are_records(runs: Path) -> None:
    async with session(runs) as (_, demo, notes):
        demo.start("a cat", SWEEP, learn=False)
        await until(lambda: notes.status[-1][0].startswith("succeeded"))
        assert not (runs / "learning_records.jsonl").exists()
        demo.start("a cat", SWEEP, learn=True)
        await until(lambda: (runs / "learning_records.jsonl").exists())


async def test_cancel_in_the_middle_and_start_again(runs: Path) -> None:
    hangs = [True]
    backend = FakeBackend(lambda request, call: Behaviour(hang=hangs[0] and call == 2))
    async with session(runs, backend) as (_, demo, notes):
        demo.start("a cat", SWEEP, learn=False)
        await until(lambda: len(backend.calls) == 2)
        demo.start("a dog", SWEEP, learn=False)  # one thing at a time
        demo.cancel()
        await until(lambda: not notes.status[-1][1])
        assert notes.status[-1][0] == "cancelled: 1 of 3 succeeded"
        assert [row.state for row in notes.rows] == ["succeeded", "cancelled", "waiting"]
        hangs[0] = False
        demo.start("a cat", SWEEP, learn=False)
        await until(lambda: notes.status[-1][0] == "succeeded: 3 of 3 succeeded")


async def test_a_plan_can_be_paused_and_goes_on(runs: Path) -> None:
    async with session(runs, FakeBackend(Behaviour(delay=0.02))) as (_, demo, notes):
        demo.start("a cat", SWEEP, learn=False)
        await until(lambda: notes.states)
        demo.pause_or_resume()
        await until(lambda: notes.status[-1] == ("paused", True))
        demo.pause_or_resume()
        await until(lambda: notes.status[-1][0].startswith("succeeded"))


@pytest.mark.parametrize(("every", "fewest", "most"), [(0, 21, 200), (1_000, 0, 2)])
async def test_progress_that_comes_quicker_than_a_person_sees_is_not_all_shown(
    runs: Path, monkeypatch: pytest.MonkeyPatch, every: float, fewest: int, most: int
) -> None:
    monkeypatch.setattr(demo_session, "SHOWN_EVERY", every)
    backend = FakeBackend(Behaviour(progress=tuple(n / 200 for n in range(1, 201))))
    async with session(runs, backend) as (_, demo, notes):
        demo.start("a cat", "txt2img.cfg_scale=3", learn=False)
        await until(lambda: notes.status[-1][0].startswith("succeeded"))
    assert fewest <= sum(state.startswith("txt2img") for _, state in notes.states) <= most


async def test_without_a_sweep_it_is_a_single_run(runs: Path) -> None:
    async with session(runs) as (_, demo, notes):
        demo.start("a cat", " ", learn=False)
        await until(lambda: notes.status[-1][0] == "succeeded: 1 of 1 succeeded")
        await until(lambda: notes.pictures)
    assert [row.label for row in notes.rows] == ["a single run"]


@pytest.mark.parametrize(
    ("prompt", "sweep", "said"),
    [
        ("a cat", "txt2img.cfg_scal=1,2", "did you mean txt2img.cfg_scale"),
        ("a cat", "txt2img.cfg_scale", "="),
        ("", SWEEP, "prompt"),
        ("a cat", "txt2img.sampler_name=Euler,Nope", "Nope"),
    ],
)
async def test_what_is_wrong_is_said_in_the_status_line(
    runs: Path, prompt: str, sweep: str, said: str
) -> None:
    async with session(runs) as (_, demo, notes):
        demo.start(prompt, sweep, learn=False)
        await until(lambda: len(notes.status) > 2)
        text, running = notes.status[-1]
        assert said in text
        assert not running
        demo.start("a cat", SWEEP, learn=False)
        await until(lambda: notes.status[-1][0].startswith("succeeded"))


async def test_what_was_interrupted_is_the_first_thing_that_is_said(runs: Path) -> None:
    (runs / ".under_way").mkdir(parents=True)
    (runs / ".under_way" / "plan-1").touch()
    (runs / "plan-1").mkdir()
    async with session(runs) as (_, _, notes):
        assert notes.status == [("plan-1 was interrupted", False)]


async def test_leaving_in_the_middle_cancels_and_tells_the_end(runs: Path) -> None:
    with anyio.fail_after(50):
        async with session(runs, FakeBackend(Behaviour(hang=True))) as (_, demo, notes):
            demo.start("a cat", SWEEP, learn=False)
            await until(lambda: notes.states)
    (events,) = runs.glob("*/events.jsonl")
    assert b'"outcome":"cancelled"' in events.read_bytes().splitlines()[-1]


def test_a_thumbnail_is_small_and_keeps_the_shape(tmp_path: Path) -> None:
    Image.new("RGBA", (400, 100), "red").save(tmp_path / "a.png")
    with Image.open(io.BytesIO(thumbnail(tmp_path / "a.png"))) as small:
        assert small.size == (THUMBNAIL, THUMBNAIL // 4)
