"""The words for several servers, with backends that make tiny pictures in their place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import attrs
import pytest

from stablenew import app
from stablenew.backends.base import Capabilities
from stablenew.backends.fake import FAKE_CAPABILITIES, Behaviour, FakeBackend
from stablenew.cli.job import Job
from stablenew.cli.unfinished import resume_line
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.config.settings import Settings
from stablenew.errors import BackendUnavailableError, ConfigError
from stablenew.learning.learning_events import (
    NodeReturned,
    NodesAwaited,
    NodeSetAside,
    PlanStarted,
    StepFinished,
    StepMoved,
    StepStarted,
)
from stablenew.pipeline.results import Failure, Outcome
from stablenew.pipeline.stage_events import RunStarted, StageProgress
from tests.cli.program import run
from tests.cli.test_progress import taken

A, B = "http://a:7860", "http://b:7860"
SWEEP = ("--prompt", "a cat", "--seed", "1", "--sweep", "txt2img.cfg_scale=1:6:1")


class Server(FakeBackend):
    """A server; `http://gone…` is none, and `http://comfy…` another kind."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(Behaviour(delay=0.004))
        self.url, self._kind = settings.url, settings.backend

    async def capabilities(self) -> Capabilities:
        if "gone" in self.url:
            raise BackendUnavailableError(f"nobody answers at {self.url}")
        kind = "comfyui" if "comfy" in self.url else "webui"
        if self._kind not in ("server", kind):
            raise BackendUnavailableError(f"{self.url} answers, but is no {self._kind}")
        return attrs.evolve(FAKE_CAPABILITIES, backend=kind)


@pytest.fixture(autouse=True)
def servers() -> Iterator[list[str]]:
    opened: list[str] = []

    def make(settings: Settings) -> Server:
        opened.append(settings.url)
        return Server(settings)

    with mock.patch.dict(app.BACKENDS, server=make, webui=make, comfyui=make):
        yield opened


def test_url_twice_shares_the_plan_and_every_line_has_its_node(tmp_path: Path) -> None:
    done = run("--url", A, "--url", "b:7860", *SWEEP, "--json", cwd=tmp_path)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert all("node" in line for line in lines)
    steps = [line for line in lines if line["type"] == "StepFinished"]
    assert {line["node"] for line in steps} == {A, B}
    assert {line["node"] for line in lines if line["type"] == "StageStarted"} == {A, B}
    assert f", on {A}" in done.stderr
    assert f", on {B}" in done.stderr
    (plan,) = tmp_path.glob("runs/*/plan.json")
    assert json.loads(plan.read_bytes())["urls"] == [A, B]
    data = (plan.parent / "report_data.js").read_text()
    assert f'"node":"{A}"' in data.replace(": ", ":")


def test_one_server_is_told_as_before(tmp_path: Path) -> None:
    done = run("--url", A, *SWEEP, cwd=tmp_path)
    assert ", on " not in done.stderr
    (plan,) = tmp_path.glob("runs/*/plan.json")
    assert "urls" not in json.loads(plan.read_bytes())


def test_the_environment_has_several_with_commas_and_a_plan_file_a_list(
    tmp_path: Path, servers: list[str]
) -> None:
    run(*SWEEP, "--dry-run", cwd=tmp_path, environ={"STABLENEW_URL": f"{A}, {B}"})
    assert servers == [A, B]
    (tmp_path / "plan.toml").write_text(f'urls = ["{B}", "{A}"]\nprompt = "a"\n')
    run("plan.toml", "--dry-run", cwd=tmp_path)
    assert servers[2:] == [B, A]
    run("plan.toml", "--url", A, "--dry-run", cwd=tmp_path)
    assert servers[4:] == [A]
    (tmp_path / "plan.toml").write_text(f'urls = ["{B}"]\nurl = "{A}"\nprompt = "a"\n')
    done = run("plan.toml", "--dry-run", cwd=tmp_path, expect=2)
    assert "plan.toml: url, urls: both are given, expected one of them" in done.stderr


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://127.0.0.1:7860", "localhost:7860/"),
        ("http://Host", "http://host:80/?__theme=dark"),
        ("https://host/sd/", "https://host:443/sd/docs"),
    ],
)
def test_the_same_server_twice_is_refused_in_any_spelling(
    tmp_path: Path, one: str, other: str
) -> None:
    done = run("--url", one, "--url", other, *SWEEP, cwd=tmp_path, expect=2)
    assert done.stderr.count("\n") == 1
    assert "are the same server; expected it once" in done.stderr
    with pytest.raises(ConfigError, match="same server"):
        Settings(urls=[one, other])


def test_credentials_stay_with_their_server() -> None:
    settings = Settings(urls=["http://me:secret@a", "b"], auth="you:other")
    assert settings.urls == ("http://a", "http://b")
    assert [each.auth for each in settings.servers] == ["you:other", "you:other"]
    settings = Settings(urls=["http://me:secret@a", "b"])
    assert [each.auth for each in settings.servers] == ["me:secret", None]
    assert "secret" not in repr(settings)


def test_a_server_that_does_not_answer_is_exit_3_or_left_out(tmp_path: Path) -> None:
    words = ("--url", A, "--url", "http://gone:1", *SWEEP)
    done = run(*words, cwd=tmp_path, expect=3)
    assert "nobody answers at http://gone:1" in done.stderr
    assert "--skip-unreachable" in done.stderr
    assert list(tmp_path.iterdir()) == []
    done = run(*words, "--skip-unreachable", cwd=tmp_path)
    assert "note: left out: nobody answers at http://gone:1" in done.stderr
    done = run("--url", "http://gone:2", "--url", "http://gone:1", *SWEEP, cwd=tmp_path, expect=3)
    assert "http://gone:1" in done.stderr
    assert "http://gone:2" in done.stderr


def test_servers_of_several_kinds_are_exit_2_unless_they_are_wanted(tmp_path: Path) -> None:
    words = ("--url", A, "--url", "http://comfy:1", *SWEEP)
    done = run(*words, cwd=tmp_path, expect=2)
    assert f"{A} is webui, http://comfy:1 is comfyui: their pictures differ" in done.stderr
    run(*words, "--mix-servers", cwd=tmp_path)


def test_a_resumed_plan_goes_on_with_its_servers(tmp_path: Path, servers: list[str]) -> None:
    run("--url", A, "--url", B, *SWEEP, "--max-steps", "2", cwd=tmp_path)
    (plan,) = tmp_path.glob("runs/*/plan.json")
    run("--resume", str(plan.parent), cwd=tmp_path)
    assert servers == [A, B, A, B]
    run("--resume", str(plan.parent), "--url", B, cwd=tmp_path)
    assert servers[4:] == [B]


def test_a_plan_of_several_kinds_goes_on_with_each_as_it_answers(tmp_path: Path) -> None:
    mixed = ("--url", "http://comfy:1", "--url", A, "--mix-servers")
    run(*mixed, *SWEEP, "--max-steps", "2", cwd=tmp_path)
    (plan,) = tmp_path.glob("runs/*/plan.json")
    assert json.loads(plan.read_bytes())["backend"] == "comfyui"
    again = ("--resume", str(plan.parent))
    done = run(*again, cwd=tmp_path, expect=2)
    assert f"http://comfy:1 is comfyui, {A} is webui: their pictures differ" in done.stderr
    run(*again, "--mix-servers", cwd=tmp_path)
    done = run(*again, "--url", A, "--url", B, cwd=tmp_path, expect=2)
    assert "backend: the plan began on comfyui 1, and this is webui 1" in done.stderr


def test_the_line_that_goes_on_has_what_no_plan_keeps() -> None:
    settings = Settings(mix_servers=True, skip_unreachable=True)
    what = {"config": PipelineConfig(), "plan": None, "images": 1, "max_steps": None}
    job = Job(settings=settings, metadata={}, workers=3, **what)  # type: ignore[arg-type]
    line = resume_line(Path("my runs/p"), job)
    given = "--mix-servers --skip-unreachable --workers 3"
    assert line == f"python -m stablenew.run --resume 'my runs/p' {given}"


def step(index: int, node: str) -> dict[str, object]:
    run_id = f"p-{index}"
    return {"index": index, "steps": 4, "value": index, "label": f"cfg={index}"} | {
        "run_id": run_id,
        "node": node,
    }


async def test_one_bar_shows_the_plan_and_what_each_server_does() -> None:
    started = PlanStarted(steps=4, stage="txt2img", variable="cfg", values=(1,), images=1)
    error = Failure(kind="BackendUnavailableError", message="b is gone")
    shown = await taken(
        started,
        StepStarted(**step(0, A)),  # type: ignore[arg-type]
        StepStarted(**step(1, B)),  # type: ignore[arg-type]
        RunStarted(run_id="p-0", stages=("txt2img",), images=1, node=A),
        RunStarted(run_id="p-1", stages=("txt2img",), images=1, node=B),
        StageProgress(run_id="p-0", stage="txt2img", fraction=0.5, image=1, images=1, node=A),
        StageProgress(run_id="p-1", stage="txt2img", fraction=0.5, image=1, images=1, node=B),
        StepFinished(**step(0, A), outcome=Outcome.SUCCEEDED),  # type: ignore[arg-type]
        StepMoved(**step(1, B), error=error),  # type: ignore[arg-type]
        NodesAwaited(seconds_left=12),
        NodeReturned(node=B, seconds=5),
        NodeSetAside(node=B, error=error),
    )
    assert shown == [
        ("0 of 4 steps, 2 servers", 0.125),
        ("0 of 4 steps, 2 servers", 0.25),
        f"step 1/4  cfg=0  succeeded, pictures: 0, on {A}",
        "step 2/4  cfg=1  b is gone; it goes to another server",
        ("waiting for a server, 12 s left", 0.25),
        f"{B} is back after 5 s",
        f"{B} gets no more steps: b is gone",
    ]


def test_a_terminal_shows_a_line_for_each_server() -> None:
    from stablenew.cli.progress import BarDisplay

    display = BarDisplay()
    display._bar.console.width = 60
    display.show("2 of 9 steps", 0.2, [f"{url}  step 1 txt2img 1/2" for url in "abcdefghijk"])
    with display._bar.console.capture() as capture:
        display._bar.console.print(*display._bar.get_renderables())
    text = capture.get()
    assert "a  step 1 txt2img 1/2" in text
    assert "h  step 1" in text
    assert "… and 3 more" in text
