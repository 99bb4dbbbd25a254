"""`--resume`, `--only-failed`, `--fresh` and what a dry run says of earlier pictures."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from unittest import mock

import pytest

from stablenew import app
from stablenew.backends.base import StageRequest
from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.cli.arguments import run_parser
from stablenew.cli.job import read_job
from stablenew.cli.unfinished import unfinished
from stablenew.errors import BackendError
from tests.cli.program import run
from tests.support import lines

SWEEP = ("--backend", "fake", "--prompt", "a cat", "--sweep", "txt2img.cfg_scale=1:6:1")


def plan_of(folder: Path) -> Path:
    (path,) = folder.glob("runs/*/plan.json")
    return path.parent.relative_to(folder)


def behaves(how: Callable[[StageRequest, int], Behaviour]) -> AbstractContextManager[object]:
    """Have `--backend fake` behave in some way."""
    return mock.patch.dict(app.BACKENDS, fake=lambda _: FakeBackend(how))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plan that Ctrl-C stopped in its second step."""
    folder = tmp_path_factory.mktemp("stopped")

    def interrupted(_: StageRequest, call: int) -> Behaviour:
        if call == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return Behaviour(hang=call == 2)

    with behaves(interrupted):
        err = run(*SWEEP, "--learn", "--json", cwd=folder, expect=130).stderr
    assert f"go on with     python -m stablenew.run --resume {plan_of(folder)}" in err
    return folder


@pytest.fixture
def cut(stopped: Path, tmp_path: Path) -> Path:
    """A copy of that folder."""
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_a_plan_goes_on_where_it_stopped_and_says_so_when_it_is_finished(cut: Path) -> None:
    plan = plan_of(cut)
    done = run("--resume", str(plan), cwd=cut)
    assert "succeeded" in done.stdout
    assert "reused" in done.stdout
    records = [json.loads(line)["run_id"] for line in lines(cut / "runs/learning_records.jsonl")]
    assert sorted(records) == [f"{plan.name}-{number:05d}" for number in range(1, 7)]
    again = run("--resume", str(plan), "--json", cwd=cut)
    assert again.stderr == f"{plan.name} is finished; nothing to do\n"
    (envelope,) = [json.loads(line) for line in again.stdout.splitlines()]
    assert (envelope["outcome"], envelope["exit_code"]) == ("succeeded", 0)
    assert len(lines(cut / "runs/learning_records.jsonl")) == 6


@pytest.mark.parametrize("out", ["runs", "runs/", "./runs/../runs"])
def test_the_folder_that_a_plan_is_in_may_be_named_as_well(cut: Path, out: str) -> None:
    plan = str(plan_of(cut))
    assert "backend calls: 5" in run("--resume", plan, "--out", out, "--dry-run", cwd=cut).stdout


def test_a_dry_run_of_a_resume_says_what_is_left(cut: Path) -> None:
    printed = run("--resume", str(plan_of(cut)), "--dry-run", "--json", cwd=cut).stdout
    plain = json.loads(printed.splitlines()[0])
    states = [step["state"] for step in plain["steps"]]
    done = states.count("reused")
    assert 1 <= done < 6
    assert states == ["reused"] * done + ["new"] * (6 - done)
    assert plain["backend_calls"] == 6 - done


def test_the_same_line_again_names_the_unfinished_plan_and_starts_a_new_one(cut: Path) -> None:
    first = plan_of(cut)
    done = run(*SWEEP, "--learn", cwd=cut)
    said = done.stderr.splitlines()[0]
    assert said.startswith(f"{first.name} is unfinished (")
    assert said.endswith(f"; python -m stablenew.run --resume {first}")
    assert len(list(cut.glob("runs/*/plan.json"))) == 2
    other = run(*SWEEP[:-1], "txt2img.cfg_scale=1,2", "--learn", cwd=cut)
    assert "unfinished" not in other.stderr


def test_only_what_failed_is_run_again(tmp_path: Path) -> None:
    words = ("--backend", "fake", "--prompt", "a", "--seed", "3", "--sweep", "txt2img.steps=2,9")

    def failing(request: StageRequest, _: int) -> Behaviour:
        failed = BackendError("out of memory", stage="txt2img")
        return Behaviour(error=failed if request.settings["steps"] == 9 else None)

    with behaves(failing):
        run(*words, cwd=tmp_path, expect=1)
        plan = str(plan_of(tmp_path))
        dry = run("--resume", plan, "--dry-run", cwd=tmp_path).stdout
        done = run("--resume", plan, "--only-failed", cwd=tmp_path, expect=1)
    assert "step 2  steps=9  failed" in dry
    assert "step 1/2  steps=2  reused" in done.stderr
    assert "step 2/2  steps=9  failed: txt2img: out of memory" in done.stderr


def test_fresh_makes_everything_again(tmp_path: Path) -> None:
    words = ("--backend", "fake", "--prompt", "a", "--seed", "3", "--set", "upscale.enabled=true")
    run(*words, cwd=tmp_path)
    assert "backend calls: 0" in run(*words, "--dry-run", cwd=tmp_path).stdout
    assert "backend calls: 2" in run(*words, "--fresh", "--dry-run", cwd=tmp_path).stdout
    run(*words, "--fresh", cwd=tmp_path)
    made = [json.loads(p.read_text()) for p in tmp_path.glob("runs/*/run_metadata.json")]
    assert [[stage["outcome"] for stage in each["stages"]] for each in made] == [
        ["succeeded", "succeeded"]
    ] * 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--resume", "runs/nope"), "runs/nope/plan.json: No such file or directory; "),
        (("--resume", "runs/nope", "--seed", "3"), "--seed: --resume takes the plan as it is; "),
        (("--resume", ""), "--resume: given '', expected a plan's folder"),
        (("--resume", "runs/x", "--no-learn"), "--learn: --resume takes the plan as it is; "),
        (("--resume", "runs/x", "--fresh"), "--fresh: --resume takes the plan as it is; "),
        (("--resume", "runs/x", "--out", "."), "--out: --resume takes the plan as it is; "),
        (("--only-failed",), "--only-failed: of which plan? "),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(
    tmp_path: Path, words: Sequence[str], expected: str
) -> None:
    done = run(*words, cwd=tmp_path, expect=2)
    assert done.stderr.startswith(f"stablenew: {expected}")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "Input data was truncated"),
        ("{", "Input data was truncated"),
        ("[]", "something in it is no table of keys"),
        ('{"plan": {}}', "'created_at' is missing"),
        ('{"created_at": "x"}', "Invalid isoformat string: 'x'"),
    ],
)
def test_a_plan_file_that_cannot_be_read_is_one_line(
    tmp_path: Path, content: str, said: str
) -> None:
    folder = tmp_path / "runs" / "plan-1"
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(content)
    done = run("--resume", "runs/plan-1", cwd=tmp_path, expect=2)
    assert done.stderr == f"stablenew: runs/plan-1/plan.json: no plan: {said}\n"


def test_a_plan_of_another_backend_is_named_without_the_workers(
    cut: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(cut)
    words = [*SWEEP, "--learn", "--backend", "embedded", "--workers", "2"]
    job = read_job(vars(run_parser().parse_args(words)), {})
    assert job.workers == 2
    (line,) = unfinished(job)
    assert line.endswith(f"--resume {plan_of(cut)}")


def test_a_time_limit_ends_with_the_line_that_goes_on(tmp_path: Path) -> None:
    words = ("--backend", "fake", "--prompt", "a", "--sweep", "txt2img.cfg_scale=1:30:0.5")
    with behaves(lambda *_: Behaviour(delay=0.2)):
        done = run(*words, "--max-time", "1s", "--json", cwd=tmp_path, expect=4)
    assert "not run; pictures: " in done.stderr
    assert f"go on with     python -m stablenew.run --resume {plan_of(tmp_path)}" in done.stderr
    *events, envelope = map(json.loads, done.stdout.splitlines())
    assert (events[-1]["outcome"], events[-1]["out_of_time"]) == ("succeeded", True)
    assert (envelope["outcome"], envelope["exit_code"]) == ("succeeded", 4)
    again = ("--resume", str(plan_of(tmp_path)), "--max-time", "1s", "--json")
    with behaves(lambda *_: Behaviour(delay=0.2)):
        first, *_ = map(json.loads, run(*again, cwd=tmp_path, expect=4).stdout.splitlines())
    assert first["sequence"] == envelope["sequence"] + 1


def test_what_ran_its_steps_in_time_has_succeeded(tmp_path: Path) -> None:
    words = ("--backend", "fake", "--prompt", "a", "--sweep", "txt2img.cfg_scale=1,2,3")
    done = run(*words, "--max-time", "1h", "--max-steps", "2", cwd=tmp_path)
    assert "3 steps: 2 succeeded, 1 not run" in done.stdout


def test_an_estimate_is_said_and_compared_with_the_truth(tmp_path: Path) -> None:
    words = ("--prompt", "a", "--seed", "3", "--set", "txt2img.steps=3")
    run(*words, "--sweep", "txt2img.cfg_scale=1,2,3", cwd=tmp_path)
    wide = (*words, "--sweep", "txt2img.cfg_scale=1:24:1")
    said = run(*wide, "--dry-run", cwd=tmp_path).stdout.splitlines()[0]
    assert said.startswith("steps: 24, pictures: 24, backend calls: 21, about ")
    plain = json.loads(run(*wide, "--dry-run", "--json", cwd=tmp_path).stdout.splitlines()[0])
    assert plain["estimate"]["low"] < plain["estimate"]["seconds"] < plain["estimate"]["high"]


@pytest.mark.parametrize("text", ["x", "0", "5 m", "1m1h"])
def test_a_time_that_is_none_is_said(tmp_path: Path, text: str) -> None:
    done = run("--prompt", "a", "--max-time", text, cwd=tmp_path, expect=2)
    assert done.stderr.startswith(f"stablenew: --max-time: given {text!r}, expected a time")


def test_only_failed_leaves_a_plan_that_was_cut_to_be_resumed(cut: Path) -> None:
    plan = str(plan_of(cut))
    done = run("--resume", plan, "--only-failed", cwd=cut)
    assert "not run" in done.stdout
    assert f"go on with     python -m stablenew.run --resume {plan}" in done.stdout
    assert "nothing to do" not in run("--resume", plan, cwd=cut).stderr
    assert len(lines(cut / "runs/learning_records.jsonl")) == 6


def test_a_finished_step_whose_picture_is_gone_is_made_again(cut: Path) -> None:
    plan = plan_of(cut)
    (picture,) = (cut / f"{plan}-00001").glob("*.png")
    whole = picture.read_bytes()
    picture.write_bytes(b"")
    run("--resume", str(plan), cwd=cut)
    assert picture.read_bytes() == whole
    assert len(lines(cut / "runs/learning_records.jsonl")) == 6
