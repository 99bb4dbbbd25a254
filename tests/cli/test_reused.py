"""What was reused is called reused, wherever it is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stablenew.run import main
from tests.report.shown import steps_of

Line = dict[str, Any]
SWEEP = ("--backend", "fake", "--prompt", "a cat", "--seed", "3", "--images-per-step", "2")
SINGLE = ("--backend", "fake", "--prompt", "a cat", "--seed", "3")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[list[str], str]:
    """Return what the program says on the way, and its closing line."""
    assert main(list(words)) == 0
    out, err = capfd.readouterr()
    return err.splitlines(), out.splitlines()[0].partition(", in ")[0]


def told(capfd: pytest.CaptureFixture[str], *words: str) -> list[Line]:
    assert main([*words, "--json"]) == 0
    return [json.loads(line) for line in capfd.readouterr().out.splitlines()]


def test_steps_and_pictures_that_are_reused_are_called_so_in_the_terminal(
    capfd: pytest.CaptureFixture[str],
) -> None:
    steps, closing = said(capfd, *SWEEP, "--sweep", "txt2img.cfg_scale=1,2")
    assert "reused" not in "".join([*steps, closing])
    steps, closing = said(capfd, *SWEEP, "--sweep", "txt2img.cfg_scale=2,3")
    assert [step.split("  ")[-1] for step in steps] == [
        "reused, pictures: 2, all of them reused",
        "succeeded, pictures: 2",
    ]
    assert closing == "2 steps: 1 succeeded, 1 reused; pictures: 4, 2 of them reused"


def test_a_step_of_which_one_picture_is_new_succeeded(capfd: pytest.CaptureFixture[str]) -> None:
    said(capfd, *SINGLE, "--sweep", "txt2img.cfg_scale=1,2")
    (first, _), closing = said(capfd, *SWEEP, "--sweep", "txt2img.cfg_scale=1,2")
    assert first.endswith("succeeded, pictures: 2, 1 of them reused")
    assert closing == "2 steps: 2 succeeded; pictures: 4, 2 of them reused"


def test_a_single_run_that_made_nothing_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    assert said(capfd, *SINGLE)[1] == "the run succeeded; pictures: 1"
    assert said(capfd, *SINGLE)[1] == "the run was reused; pictures: 1, all of them reused"
    assert main([*SINGLE, "--quiet"]) == 0
    assert capfd.readouterr() == ("", "")


def test_events_and_envelope_call_it_reused(capfd: pytest.CaptureFixture[str]) -> None:
    *_, envelope = told(capfd, *SWEEP, "--sweep", "txt2img.cfg_scale=1,2")
    assert (envelope["pictures"], envelope["reused"]) == (4, 0)
    *lines, envelope = told(capfd, *SWEEP, "--sweep", "txt2img.cfg_scale=2,3")
    ends = [line["outcome"] for line in lines if line["type"] == "StepFinished"]
    assert ends == ["reused", "succeeded"]
    (plan,) = [line for line in lines if line["type"] == "PlanFinished"]
    assert (plan["summary"]["reused"], plan["summary"]["succeeded"]) == (1, 1)
    assert (envelope["outcome"], envelope["pictures"], envelope["reused"]) == ("succeeded", 4, 2)
    *_, again = told(capfd, f"runs/{envelope['plan_id']}", "--events-from", "1")
    assert (again["pictures"], again["reused"]) == (4, 2)


def test_the_envelope_of_a_single_run_that_made_nothing_says_so(
    capfd: pytest.CaptureFixture[str],
) -> None:
    told(capfd, *SINGLE)
    *_, envelope = told(capfd, *SINGLE)
    assert (envelope["outcome"], envelope["pictures"], envelope["reused"]) == ("succeeded", 1, 1)


def test_page_and_metadata_call_it_reused_and_a_record_is_kept(
    capfd: pytest.CaptureFixture[str], folder: Path
) -> None:
    sweep = (*SWEEP, "--sweep", "txt2img.cfg_scale=1,2", "--learn")
    told(capfd, *sweep)
    *_, envelope = told(capfd, *sweep)
    plan = folder / "runs" / envelope["plan_id"]
    for step in steps_of(plan):
        assert step["outcome"] == "reused"
        for picture in step["pictures"]:
            assert picture["reused_from"] != f"{step['run_id']}/{picture['image_id']}"
            assert picture["reused_from"].endswith(picture["image_id"])
    metadata = json.loads((plan.parent / f"{plan.name}-00001" / "run_metadata.json").read_text())
    assert [stage["outcome"] for stage in metadata["stages"]] == ["reused"]
    records = (folder / "runs" / "learning_records.jsonl").read_text().splitlines()
    assert len(records) == 4


def test_a_plan_of_reused_steps_is_finished(capfd: pytest.CaptureFixture[str]) -> None:
    sweep = (*SWEEP, "--sweep", "txt2img.cfg_scale=1,2")
    told(capfd, *sweep)
    *_, envelope = told(capfd, *sweep)
    assert main(["--resume", f"runs/{envelope['plan_id']}"]) == 0
    assert "is finished; nothing to do" in capfd.readouterr().err
