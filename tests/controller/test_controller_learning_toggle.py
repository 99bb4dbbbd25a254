from __future__ import annotations

from pathlib import Path

import pytest

from stablenew.app import App, open_app
from stablenew.backends.fake import FakeBackend
from stablenew.config.settings import Settings
from stablenew.events.bus import EventBus
from stablenew.learning.learning_record_writer import LearningRecordWriter
from tests.support import config, lines


async def run_single(app: App) -> None:
    await app.pipeline.run_pipeline(config())


async def run_plan(app: App) -> None:
    plan = {"target_variable": "steps", "sweep_values": [5]}
    await app.learning.run_learning_plan(plan, config())


both = pytest.mark.parametrize("run", [run_single, run_plan])


@both
async def test_learning_is_off_by_default_and_no_writer_is_made(
    runs: Path, run: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(run)
    made: list[Path] = []
    monkeypatch.setattr(LearningRecordWriter, "__init__", lambda _, path: made.append(path))
    async with open_app(
        Settings(out=runs), backend=FakeBackend(), bus=EventBus(strict=True)
    ) as app:
        assert app.pipeline.learning_enabled is False
        await run(app)
    assert made == []
    assert not (runs / "learning_records.jsonl").exists()


@both
async def test_the_toggle_takes_effect_at_the_next_run(runs: Path, run: object) -> None:
    assert callable(run)
    records = runs / "learning_records.jsonl"
    async with open_app(
        Settings(out=runs), backend=FakeBackend(), bus=EventBus(strict=True)
    ) as app:
        await run(app)
        assert len(lines(records)) == 0
        app.pipeline.learning_enabled = True
        await run(app)
        assert len(lines(records)) == 1
        app.pipeline.learning_enabled = False
        await run(app)
        assert len(lines(records)) == 1


async def test_the_settings_decide_how_it_begins(runs: Path) -> None:
    settings = Settings(out=runs, learning_enabled=True)
    async with open_app(settings, backend=FakeBackend()) as app:
        assert app.pipeline.learning_enabled is True
