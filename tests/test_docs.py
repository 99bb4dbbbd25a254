"""What the documents show, used as they say."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from stablenew.learning.learning_plan import LearningExecutionResult
from stablenew.pipeline.results import Outcome

DOCS = Path(__file__).parents[1] / "docs"


def programs(document: str, heading: str) -> list[str]:
    """Return the programs under a heading."""
    section = (DOCS / document).read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
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
