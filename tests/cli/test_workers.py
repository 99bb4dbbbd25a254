"""Processes of the embedded model that share a plan."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from stablenew.cli.job import Job
from stablenew.cli.unfinished import resume_line
from stablenew.config.settings import Settings
from tests.cli.program import run

WORDS = ("--prompt", "a blue cat", "--seed", "1", "--set", "txt2img.steps=1")
SWEEP = (*WORDS, "--sweep", "txt2img.cfg_scale=1,2,3,4")


def made(folder: Path) -> dict[str, bytes]:
    return {
        path.parent.name.rpartition("-")[2]: path.read_bytes()
        for path in folder.glob("runs/*/txt2img_1.png")
    }


def test_workers_make_the_pictures_of_one_process(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    run(*SWEEP, cwd=one)
    done = run(*SWEEP, "--workers", "2", "--json", cwd=two)
    assert len(made(two)) == 4
    assert made(two) == made(one)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    nodes = {line["node"] for line in lines if line["type"] == "StepStarted"}
    assert nodes == {"embedded 1", "embedded 2"}


def test_workers_are_of_the_embedded_model_alone(tmp_path: Path) -> None:
    done = run(*WORDS, "--workers", "2", "--url", "http://a:1", cwd=tmp_path, expect=2)
    assert "--workers: given with the backend 'server', expected the embedded one" in done.stderr
    done = run(*WORDS, "--workers", "0", cwd=tmp_path, expect=2)
    assert "--workers: given 0, expected" in done.stderr


def test_the_line_that_goes_on_with_a_plan_says_how_many_share_it() -> None:
    job = cast(Job, SimpleNamespace(settings=Settings(), dask=None, workers=2, rater=None))
    assert resume_line(Path("runs/p"), job) == "python -m stablenew.run --resume runs/p --workers 2"
