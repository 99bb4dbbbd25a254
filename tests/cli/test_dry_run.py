"""What `--dry-run` says, in this process."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from stablenew.cli import dry_run as cli_dry_run
from stablenew.cli import large_plans
from stablenew.learning.learning_plan import LearningRunStep
from stablenew.learning.learning_steps import Steps
from stablenew.pipeline.durations import Estimate
from stablenew.run import main


@pytest.fixture
def dry_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> DryRun:
    monkeypatch.chdir(tmp_path)
    return DryRun(capsys)


class DryRun:
    """Runs the command line with `--dry-run`, on the fake backend."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str, code: int = 0) -> str:
        """Return what it prints."""
        all_words = ("--prompt", "a red cat", "--backend", "fake", *words, "--dry-run")
        assert main(all_words) == code
        out, err = self._capsys.readouterr()
        return err if code else out


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("txt2img.cfg_scale=1-10", "txt2img.cfg_scale: 1:10:1 (10 values)\n"),
        ("txt2img.cfg_scale=1-10 (+2)", "txt2img.cfg_scale: 1:9:2 (5 values)\n"),
        ("txt2img.cfg_scale=1-10 [5]", "txt2img.cfg_scale: 1:10:2.25 (5 values)\n"),
        ("txt2img.cfg_scale=3,5,9", "txt2img.cfg_scale: 3, 5, 9\n"),
        ("txt2img.sampler_name=*", "txt2img.sampler_name: Euler, Euler a, DPM++ 2M\n"),
        ('txt2img.prompt="a, b",c', "txt2img.prompt: a, b | c\n"),
        (
            f"txt2img.seed={','.join(str(n * n) for n in range(14))}",
            "txt2img.seed: 0, 1, 4, 9, 16, 25, 36, 49, 64, 81, 100, … 169 (14 in all)\n",
        ),
    ],
)
def test_an_axis_is_said_in_one_line_as_it_was_understood(
    dry_run: DryRun, given: str, shown: str
) -> None:
    assert shown in dry_run("--sweep", given)


def test_a_glob_that_matches_nothing_is_wrong_input(dry_run: DryRun) -> None:
    said = dry_run("--sweep", "txt2img.model=xl_*", code=2)
    assert said == (
        "stablenew: txt2img.model: given 'xl_*', which no name matches;"
        " there is fake-model, other-model\n"
    )


MILLION = [f"--sweep=txt2img.{name}=1:100" for name in ("cfg_scale", "steps", "seed")]


def test_a_million_steps_are_counted_and_the_first_are_shown(
    dry_run: DryRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    make = Steps._step

    def step(self: Steps, index: int) -> LearningRunStep:
        made.append(index)
        return make(self, index)

    monkeypatch.setattr(Steps, "_step", step)
    told = dry_run(*MILLION, "--set", "upscale.enabled=true", "--images-per-step", "2").splitlines()
    assert told[0] == ("steps: 1,000,000, pictures: 2,000,000, backend calls: about 4,000,000")
    assert told[4] == "step 1  cfg_scale=1, steps=1, seed=1  new"
    assert told[-4] == "step 20  cfg_scale=20, steps=1, seed=1  new"
    assert told[-1] == "… and 999,980 more"
    assert len(told) == 4 + 20 * 3 + 1
    assert len(made) < 2_000


def test_as_data_it_has_more_of_the_steps_and_says_how_many_there_are(dry_run: DryRun) -> None:
    line, _ = map(json.loads, dry_run(*MILLION, "--json").splitlines())
    assert (line["step_count"], line["pictures"], len(line["steps"])) == (10**6, 10**6, 1_000)
    assert line["steps"][-1]["label"] == "cfg_scale=100, steps=10, seed=1"


def test_what_is_there_of_very_many_steps_is_told_as_about(
    dry_run: DryRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # What stands for the others is small enough here that half of it can be made first.
    monkeypatch.setattr(cli_dry_run, "LOOKED_AT", 9)
    monkeypatch.setattr(cli_dry_run, "_DRAWN", 10)
    words = ("--sweep", "txt2img.steps=1:20", "--seed", "5", "--prompt", "a red cat")
    assert main(["--backend", "fake", *words, "--max-steps", "10", "--quiet"]) == 0
    capsys.readouterr()
    told = dry_run(*words[:4]).splitlines()
    calls = int(told[0].partition("backend calls: about ")[2].partition(",")[0])
    assert calls in range(2, 19, 2)  # twice what is missing of the ten that were drawn
    assert told[2] == "step 1  steps=1  reused"
    assert told[-2] == "step 20  steps=20  new"


def test_the_time_of_very_many_steps_is_that_of_some_many_times_over(
    dry_run: DryRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--backend", "fake", "--prompt", "a red cat", "--quiet"]) == 0
    words = ("--sweep", "txt2img.seed=1:2000", "--json")
    exact = json.loads(dry_run(*words).splitlines()[0])["estimate"]["seconds"]
    monkeypatch.setattr(cli_dry_run, "LOOKED_AT", 1_999)
    about = json.loads(dry_run(*words).splitlines()[0])["estimate"]["seconds"]
    assert about == pytest.approx(exact)


class Terminal:
    """A person at a terminal, who presses one key."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
        for stream in (sys.stdin, sys.stderr):
            monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(large_plans, "read_key", lambda: key)


TWO = ("--backend", "fake", "--prompt", "a", "--sweep", "txt2img.steps=2,3")


@pytest.fixture
def two_are_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(large_plans, "_MANY", 1)
    return tmp_path


def test_a_large_plan_starts_when_a_person_says_yes(
    two_are_many: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Terminal(monkeypatch, "y")
    assert main(TWO) == 0
    out, err = capsys.readouterr()
    assert "2 steps, how long they take is not known yet\n" in err
    assert "go on? [y/N]" in err
    assert "2 steps: 2 succeeded" in out


def test_a_large_plan_leaves_nothing_when_a_person_says_no(
    two_are_many: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Terminal(monkeypatch, "\n")
    assert main(TWO) == 1
    out, err = capsys.readouterr()
    assert (out, err.splitlines()[-1]) == ("", "nothing was run")
    assert list(two_are_many.iterdir()) == []


@pytest.mark.parametrize("word", ["--yes", "--json", "--quiet"])
def test_nobody_is_asked_who_has_said_so(
    two_are_many: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    word: str,
) -> None:
    Terminal(monkeypatch, "n")
    assert main([*TWO, word]) == 0
    err = capsys.readouterr().err
    assert "go on?" not in err
    assert ("2 steps, how long" in err) == (word != "--quiet")


def test_without_a_terminal_it_is_said_and_goes_on(
    two_are_many: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(TWO) == 0
    assert "2 steps, how long they take is not known yet\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("steps", "seconds", "large"),
    [(1_000, None, False), (1_001, None, True), (2, 3_599.0, False), (1, 3_600.0, True)],
)
def test_a_plan_is_large_by_its_steps_or_by_an_hour(
    steps: int, seconds: float | None, large: bool
) -> None:
    dry = cli_dry_run.DryRun(count=steps, first=(), looked_at=())
    estimate = None if seconds is None else Estimate(seconds, seconds, seconds)
    assert large_plans.is_large(dry, estimate) == large
