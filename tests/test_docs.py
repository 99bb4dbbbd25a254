"""What the documents show, used as they say."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs
import pytest
from PIL import Image

import stablenew
from stablenew.app import open_app
from stablenew.backends.base import Backend, Capabilities
from stablenew.config.settings import Settings
from stablenew.learning.learning_result import LearningExecutionResult
from stablenew.pipeline.results import Outcome
from stablenew.pipeline.stage_events import StageProgress

DOCS = Path(__file__).parents[1] / "docs"


def programs(document: str, heading: str | None = None) -> list[str]:
    """Return the programs under a heading, or before the first one."""
    text = (DOCS / document).read_text()
    section = (text.partition(f"\n## {heading}\n")[2] if heading else text).partition("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


async def paste(cell: str, names: dict[str, object]) -> object:
    """Run a cell as a notebook does: in a task of its own; return its last line's value."""
    tree = ast.parse(cell)
    last = tree.body[-1]
    if isinstance(last, ast.Expr):
        tree.body[-1] = ast.copy_location(
            ast.Assign([ast.Name("_", ast.Store())], last.value), last
        )
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(ast.fix_missing_locations(tree), "cell", "exec", flags)
    names.pop("_", None)

    async def run() -> None:
        running = eval(code, names)
        if inspect.isawaitable(running):
            await running

    await asyncio.get_running_loop().create_task(run())
    return names.get("_")


NOTEBOOK = ("embedding.md", "Notebook")
SETTINGS = {"txt2img": {"prompt": "a cat", "seed": 1, "width": 32, "height": 32}}


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    text = [cell.replace('"runs")', '"runs", backend="fake")') for cell in programs(*NOTEBOOK)]
    assert 'backend="fake"' in text[0]
    return text


async def test_the_cells_of_a_notebook_share_an_app(
    notebook: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, object] = {}
    opening, starting, waiting, closing = notebook
    await paste(opening, names)
    await paste(starting, names)
    running = names["running"]
    assert isinstance(running, asyncio.Task)
    assert not running.done()
    summary = await paste(waiting, names)
    assert isinstance(summary, Mapping)
    assert summary["succeeded"] == 3
    await paste(starting, names)
    await paste("app.learning.cancel_plan()", names)
    await paste(waiting, names)
    cancelled = names["result"]
    assert isinstance(cancelled, LearningExecutionResult)
    assert cancelled.outcome is Outcome.CANCELLED
    await paste(closing, names)
    hosting = names["hosting"]
    assert isinstance(hosting, asyncio.Task)
    assert hosting.done()
    assert "3 of 3 5 succeeded" in capsys.readouterr().out


async def test_a_notebook_whose_app_cannot_be_opened_is_told(notebook: list[str]) -> None:
    names: dict[str, object] = {}
    with pytest.raises(Exception, match="backend: given 'nope'"):
        await paste(notebook[0].replace('"fake"', '"nope"'), names)


@pytest.fixture
def own_backend(tmp_path: Path) -> Path:
    (text,) = programs("backends.md")
    path = tmp_path / "own_backend.py"
    path.write_text(text)
    return path


def test_a_backend_of_ones_own_runs_a_plan(
    own_backend: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(own_backend.parent)
    runpy.run_path(str(own_backend), run_name="__main__")
    assert capsys.readouterr().out.startswith("succeeded 3 steps ")
    runs = own_backend.parent / "runs"
    assert len(list(runs.glob("*/upscale_1.png"))) == 3
    assert len(list(runs.glob("*/contact_sheet.png"))) == 1
    with Image.open(next(runs.glob("*/upscale_1.png"))) as image:
        assert image.size == (256, 256)


async def test_a_backend_of_ones_own_stops_and_says_that_it_did(
    own_backend: Path, runs: Path
) -> None:
    waves: Callable[[], Backend] = runpy.run_path(str(own_backend))["Waves"]
    async with open_app(Settings(out=runs), backend=waves()) as app:

        async def cancel(event: StageProgress) -> None:
            app.pipeline.cancel()

        subscription = app.bus.subscribe(StageProgress, cancel)
        result = await app.pipeline.run_pipeline(SETTINGS)
        subscription.close()
        await subscription.drained()
        assert result.outcome is Outcome.CANCELLED
        (stage,) = result.stage_results
        assert stage.receipt is not None
        assert stage.receipt.confirmed
        assert (await app.pipeline.run_pipeline(SETTINGS)).success


async def test_another_version_of_a_backend_makes_the_same_picture_anew(
    own_backend: Path, runs: Path
) -> None:
    waves: Callable[[], Backend] = runpy.run_path(str(own_backend))["Waves"]

    async def outcome(backend: Backend) -> tuple[Outcome, str]:
        async with open_app(Settings(out=runs), backend=backend) as app:
            result = await app.pipeline.run_pipeline(SETTINGS)
        return result.stage_results[0].outcome, result.outputs[0].sha256

    made, sha256 = await outcome(waves())
    assert made is Outcome.SUCCEEDED
    assert await outcome(waves()) == (Outcome.REUSED, sha256)
    newer = waves()
    capabilities = attrs.evolve(await newer.capabilities(), version="2")

    async def say_newer() -> Capabilities:
        return capabilities

    newer.capabilities = say_newer  # type: ignore[method-assign]
    assert await outcome(newer) == (Outcome.SUCCEEDED, sha256)


def test_every_public_name_is_on_one_page_of_the_reference() -> None:
    pages = "".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    packages = " ".join(re.findall(r"```{public}\n(.*?)```", pages, re.DOTALL)).split()
    for name, home in stablenew._homes().items():
        on = [package for package in packages if f"{home}.".startswith(f"{package}.")]
        assert len(on) == 1, f"{name} of {home} is on {on}"


def test_every_page_is_in_the_navigation() -> None:
    listed = (DOCS / "index.md").read_text().splitlines()
    pages = [page.relative_to(DOCS).with_suffix("").as_posix() for page in DOCS.rglob("*.md")]
    assert [page for page in pages if page not in listed] == ["index"]
