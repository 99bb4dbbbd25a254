"""The words for a Dask cluster, and a plan on one that the command line starts."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from stablenew.cli.arguments import run_parser
from stablenew.cli.dask_workers import named_backend
from stablenew.cli.job import Job, drafted_job, read_job
from stablenew.cli.unfinished import resume_line
from stablenew.config.settings import Settings
from stablenew.errors import ConfigError
from tests.cli.program import run
from tests.cli.test_workers import made

SCHEDULER = "tcp://scheduler:8786"
WORDS = ("--prompt", "a cat", "--seed", "1", "--set", "txt2img.steps=1")
SWEEP = (*WORDS, "--sweep", "txt2img.cfg_scale=1,2,3")


def job(*words: str, **environ: str) -> Job:
    flags = vars(run_parser().parse_args([*WORDS, *words]))
    return read_job(flags, {f"STABLENEW_{name}": value for name, value in environ.items()})


def test_a_cluster_is_named_by_a_word_a_variable_or_a_plan_file(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(f'dask = "{SCHEDULER}"\n')
    for named in (
        job("--dask", SCHEDULER),
        job(DASK=SCHEDULER),
        job(str(file)),
        job("--dask", SCHEDULER, URL="http://a:1", BACKEND="webui", AUTH="a:b"),
    ):
        assert (named.dask, named.settings) == (SCHEDULER, Settings())
    assert job(str(file), "--url", "http://a:1").dask is None
    assert job(str(file), BACKEND="fake").dask is None
    local = job("--dask", "local", "--workers", "4")
    assert (local.dask, local.workers) == ("local", 4)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--url", "http://a:1"), r"^dask, url: both are given.*\(STABLENEW_URL there\)$"),
        (("--backend", "webui"), r"^dask, backend: both are given.*\(STABLENEW_BACKEND there\)$"),
        (("--auth", "a:b"), "^dask, auth: both are given"),
        (("--workers", "2"), rf"^--workers: given with the cluster '{SCHEDULER}', which has its"),
    ],
)
def test_what_makes_no_sense_with_a_cluster_is_one_line(words: tuple[str, ...], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        job("--dask", SCHEDULER, *words)


def test_a_workflow_is_none_of_a_cluster(tmp_path: Path) -> None:
    file = tmp_path / "w.json"
    file.write_text(json.dumps({"1": {"class_type": "SaveImage", "inputs": {}}}))
    done = run("--dask", SCHEDULER, "--workflow", str(file), cwd=tmp_path, expect=2)
    assert "stablenew: dask: given with a workflow, which is read with the nodes" in done.stderr


def test_what_is_wrong_is_said_before_a_cluster_is_looked_for(tmp_path: Path) -> None:
    for dry in ((), ("--dry-run",)):
        done = run("--dask", "tcp://127.0.0.1:1", "--workers", "2", *dry, cwd=tmp_path, expect=2)
        assert "--workers: given with the cluster" in done.stderr
        assert "no Dask scheduler" not in done.stderr


def test_without_dask_the_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr("stablenew.cli.job_values.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"is not installed; pip install 'stablenew\[dask\]'"):
        job("--dask", "local")


def test_a_scheduler_that_does_not_answer_is_exit_3(tmp_path: Path) -> None:
    done = run("--dask", "tcp://127.0.0.1:1", *WORDS, "--dry-run", cwd=tmp_path, expect=3)
    assert done.stderr == "stablenew: no Dask scheduler answers at tcp://127.0.0.1:1\n"


def test_a_worker_has_the_backend_that_its_environment_names() -> None:
    assert named_backend({"PATH": "/bin"}).name == "embedded"
    found = named_backend({"STABLENEW_URL": "http://a:1", "STABLENEW_SEED": "no number"})
    assert getattr(found, "url", "") == "http://a:1"
    assert named_backend({"STABLENEW_BACKEND": "fake"}).name == "fake"
    with pytest.raises(ConfigError, match=r"^STABLENEW_URL: given 2, expected one for a worker"):
        named_backend({"STABLENEW_URL": "http://a:1,http://b:1"})


def test_the_line_that_goes_on_names_the_cluster(tmp_path: Path) -> None:
    local = cast(Job, SimpleNamespace(settings=Settings(), dask="local", workers=2, rater=None))
    given = "--dask local --workers 2"
    assert resume_line(Path("p"), local) == f"python -m stablenew.run --resume p {given}"
    run(*SWEEP, "--max-steps", "1", cwd=tmp_path)
    (plan,) = tmp_path.glob("runs/*/plan.json")
    flags = vars(run_parser().parse_args(["--resume", str(plan.parent), "--dask", SCHEDULER]))
    assert drafted_job(flags, {}).dask == SCHEDULER


def test_a_plan_on_a_cluster_of_this_machine_leaves_nothing_but_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """One real worker, in a process of its own."""
    here, there, temporary = (tmp_path / name for name in ("here", "there", "tmp"))
    for each in (here, there, temporary):
        each.mkdir()
    run(*SWEEP, cwd=here)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    done = run(*SWEEP, "--dask", "local", "--workers", "1", "--json", cwd=there)
    assert made(there) == made(here)
    assert len(made(there)) == 3
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {each["node"] for each in lines if each["type"] == "StepStarted"} == {"dask 1"}
    begins = ("step ", "3 steps: ", "page ", "contact sheet ", "plan ", "events ", "pictures ")
    assert [line for line in done.stderr.splitlines() if not line.startswith(begins)] == []
    assert capfd.readouterr().err == ""  # the worker's
    assert os.listdir(temporary) == []  # noqa: PTH208  # names are what is wanted
    assert [each.name for each in there.iterdir()] == ["runs"]
    left = subprocess.run(["pgrep", "-f", str(temporary)], capture_output=True, text=True).stdout
    assert left == ""
