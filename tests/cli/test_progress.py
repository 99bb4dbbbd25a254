"""The command line's parts in this process: progress, and a backend that is not there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest

from stablenew import app
from stablenew.backends.base import Capabilities
from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.cli.progress import LineDisplay, Progress
from stablenew.config.settings import Settings
from stablenew.errors import BackendUnavailableError
from stablenew.events.event import Event
from stablenew.learning.learning_events import (
    PlanStarted,
    RatingsAwaited,
    StepFinished,
    StepStarted,
)
from stablenew.pipeline.results import Failure, Outcome, PipelineRunResult, StageOutput
from stablenew.pipeline.stage_events import (
    BackendAwaited,
    BackendLost,
    BackendReturned,
    RunFinished,
    RunStarted,
    StageProgress,
    StageStarted,
)
from stablenew.run import main


def test_a_backend_that_is_not_there_is_exit_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Gone(FakeBackend):
        async def capabilities(self) -> Capabilities:
            raise BackendUnavailableError("nobody answers at 127.0.0.1:7860")

    monkeypatch.setitem(app.BACKENDS, "fake", Gone)
    monkeypatch.chdir(tmp_path)
    assert main(["--backend", "fake", "--prompt", "a"]) == 3
    assert capsys.readouterr().err == "stablenew: nobody answers at 127.0.0.1:7860\n"
    assert list(tmp_path.iterdir()) == []


async def taken(*events: Event) -> list[tuple[str, float] | str]:
    """Return what a display is shown of some events."""
    shown: list[tuple[str, float] | str] = []

    class Display(LineDisplay):
        def show(self, label: str, fraction: float, nodes: Sequence[str] = ()) -> None:
            shown.append((label, round(fraction, 3)))

        def tell(self, line: str) -> None:
            shown.append(line)

    progress = Progress(Display())
    for event in events:
        await progress.take(event)
    return shown


async def test_a_server_that_is_away_is_shown_with_a_countdown() -> None:
    failure = Failure(kind="BackendUnavailableError", message="no answer", stage="txt2img")
    shown = await taken(
        RunStarted(stages=("txt2img",), images=1),
        BackendLost(stage="txt2img", error=failure, patience=60.0),
        BackendAwaited(stage="txt2img", seconds_left=59.6),
        BackendReturned(stage="txt2img", seconds=3.2),
    )
    assert shown == [
        "txt2img: no answer; waiting up to 60 s for it",
        ("txt2img: waiting, 60 s left", 0.0),
        "it is back after 3 s",
    ]


async def test_progress_counts_steps_stages_and_pictures_as_one_whole() -> None:
    stages = ("txt2img", "upscale")
    shown = await taken(
        PlanStarted(steps=2, stage="txt2img", variable="steps", values=(5, 6), images=2),
        StepStarted(index=1, steps=2, value=6, label="steps=6"),
        RunStarted(stages=stages, images=2),
        StageStarted(stage="txt2img", images=2),
        StageProgress(stage="txt2img", fraction=0.5, image=1, images=2),
        StepFinished(index=1, steps=2, value=6, label="steps=6", outcome=Outcome.CANCELLED),
    )
    assert shown == [
        ("step 2/2 steps=6  txt2img", 0.5),
        ("step 2/2 steps=6  txt2img 1/2", 0.625),
        "step 2/2  steps=6  cancelled",
    ]


async def test_a_single_run_shows_its_stage_and_why_it_failed() -> None:
    failure = Failure(kind="X", message="out of memory", stage="upscale")
    result = PipelineRunResult(run_id="r", outcome=Outcome.FAILED, error=failure)
    shown = await taken(
        RunStarted(stages=("txt2img",), images=1),
        StageStarted(stage="txt2img", images=1),
        RunFinished(result=result),
    )
    assert shown == [("txt2img", 0.0), "failed: upscale: out of memory"]


async def test_blank_pictures_are_counted_in_a_steps_line() -> None:
    fine = StageOutput(
        stage="txt2img",
        image_id="txt2img_1",
        path="a.png",
        width=8,
        height=8,
        sha256="",
        settings={},
    )
    outputs = (fine, attrs.evolve(fine, blank=True))
    shown = await taken(
        PlanStarted(steps=1, stage="txt2img", variable="steps", values=(4,), images=2),
        StepFinished(
            index=0, steps=1, value=4, label="x=4", outcome=Outcome.SUCCEEDED, outputs=outputs
        ),
    )
    assert shown == ["step 1/1  x=4  succeeded, pictures: 2, blank: 1"]


def test_blank_pictures_are_in_the_closing_lines_with_their_likely_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(FakeBackend):
        def __init__(self, _: Settings) -> None:
            super().__init__(lambda _, call: Behaviour(blank=call in (2, 3, 4)))

    monkeypatch.setitem(app.BACKENDS, "fake", Broken)
    monkeypatch.chdir(tmp_path)
    words = ["--sweep", "txt2img.steps=2,3", "--images-per-step", "2"]
    assert main(["--backend", "fake", "--prompt", "a", *words]) == 1
    out, err = capsys.readouterr()
    assert "2 steps: 1 succeeded, 1 failed; pictures: 4, blank: 3," in out
    assert out.count("note: blank picture: one single colour: NaN in the VAE") == 1
    assert "failed: txt2img: every picture is blank, each one single colour" in err
    words += ["--backend", "fake", "--prompt", "b", "--json"]
    assert main(words) == 1
    envelope = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert envelope["blank"] == 3
    main(["--json", "--events-from", "0", str(tmp_path / "runs" / envelope["plan_id"])])
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["blank"] == 3


async def test_whoever_rates_sees_no_values_before_the_picture() -> None:
    display = LineDisplay()
    told: list[str] = []
    display.tell = told.append  # type: ignore[method-assign,assignment]
    progress = Progress(display, asks=True)
    ended = StepFinished(
        index=0, steps=6, value=7, label="cfg_scale=7", outcome=Outcome.SUCCEEDED, run_id="r"
    )
    for event in (ended, RatingsAwaited(pictures=(("r", "txt2img_1"),))):
        await progress.take(event)
    assert told == ["step 1/6  succeeded, pictures: 0"]
