"""The pipeline knows nothing of learning; what it tells is enough for those who do."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import stablenew
from stablenew.app import open_app
from stablenew.backends.fake import FakeBackend
from stablenew.config.settings import Settings
from stablenew.events.bus import EventBus
from stablenew.learning.learning_record_builder import build_learning_record
from stablenew.pipeline.results import PipelineRunResult
from stablenew.pipeline.stage_events import RunFinished
from tests.support import Listener, config

PIPELINE = sorted((Path(stablenew.__file__).parent / "pipeline").glob("*.py"))


@pytest.mark.parametrize("path", PIPELINE, ids=lambda path: path.stem)
def test_the_pipeline_imports_nothing_of_learning(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert "learning" not in (node.module or "")


async def run(runs: Path, *, learn: bool) -> PipelineRunResult:
    bus = EventBus(strict=True)
    settings = Settings(out=runs, learning_enabled=learn)
    async with open_app(settings, backend=FakeBackend(), bus=bus) as app:
        listener = Listener(bus)
        result = await app.pipeline.run_pipeline(config(upscale={}), images=2)
        await bus.drain()
        (finished,) = listener.of(RunFinished)
        assert finished.result is result
    return result


async def test_with_learning_off_pictures_metadata_and_events_are_there_and_no_record(
    runs: Path,
) -> None:
    result = await run(runs, learn=False)
    names = sorted(path.name for path in (runs / result.run_id).iterdir())
    assert names == [
        "events.jsonl",
        "run_metadata.json",
        "txt2img_1.png",
        "txt2img_2.png",
        "upscale_1.png",
        "upscale_2.png",
    ]
    assert not (runs / "learning_records.jsonl").exists()


async def test_what_is_told_at_the_end_is_all_that_a_record_needs(runs: Path) -> None:
    result = await run(runs, learn=True)
    record = build_learning_record(result)
    (line,) = (runs / "learning_records.jsonl").read_text().splitlines()
    assert line == record.to_json()
