"""`--events-from N`: what a plan told is printed again, and followed while it is under way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from stablenew.run import main
from tests.cli.program import RUN, environment, run, start
from tests.controller.test_interruption import hanging

Line = dict[str, object]


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """The folder of a plan that has ended."""
    words = ("--backend", "fake", "--prompt", "a cat", "--sweep", "txt2img.steps=4,5")
    run(*words, cwd=tmp_path)
    (found,) = (tmp_path / "runs").glob("*/plan.json")
    return found.parent


def replayed(
    capfdbinary: pytest.CaptureFixture[bytes], *words: object, expect: int = 0
) -> list[Line]:
    assert main(list(map(str, words))) == expect
    return [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]


def events_of(plan: Path) -> list[bytes]:
    return (plan / "events.jsonl").read_bytes().splitlines()


@pytest.mark.parametrize("start_at", [0, 1, 7, 20])
def test_the_lines_from_a_number_on_are_those_of_the_file(
    plan: Path, capfdbinary: pytest.CaptureFixture[bytes], start_at: int
) -> None:
    assert main([str(plan), "--events-from", str(start_at)]) == 0
    *lines, last = capfdbinary.readouterr().out.splitlines()
    assert lines == events_of(plan)[max(start_at - 1, 0) :]
    envelope = json.loads(last)
    assert envelope["type"] == "envelope"
    assert envelope["sequence"] == len(events_of(plan)) + 1
    assert (envelope["outcome"], envelope["exit_code"]) == ("succeeded", 0)
    assert envelope["plan_id"] == plan.name
    assert [file["kind"] for file in envelope["files"]] == [
        "page", "contact_sheet", "plan", "events",
    ]  # fmt: skip


def test_a_number_beyond_the_end_prints_the_envelope_alone(
    plan: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (envelope,) = replayed(capfdbinary, plan, "--events-from", 10**9)
    assert envelope["outcome"] == "succeeded"


def test_a_plan_can_be_named_by_its_id_alone(
    plan: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(plan.parent.parent)
    assert len(replayed(capfdbinary, plan.name, "--events-from=1", "--json")) > 10
    monkeypatch.chdir(plan)
    assert len(replayed(capfdbinary, ".", "--events-from", "1")) > 10


def test_a_single_run_can_be_replayed_too(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    run("--backend", "fake", "--prompt", "a cat", cwd=tmp_path)
    (events,) = (tmp_path / "runs").glob("*/events.jsonl")
    *_, envelope = replayed(capfdbinary, events.parent, "--events-from", 1)
    assert (envelope["run_id"], envelope["outcome"]) == (events.parent.name, "succeeded")


def test_what_is_missing_is_said(plan: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    lines = events_of(plan)
    (plan / "events.jsonl").write_bytes(b"\n".join([*lines[:4], b"no event", *lines[6:], b""]))
    *events, envelope = replayed(capfdbinary, plan, "--events-from", 2)
    assert [event["sequence"] for event in events] == [2, 3, 4, *range(7, len(lines) + 1)]
    assert envelope["errors"] == [
        "a line that is no event: b'no event'",
        "events 5 to 6 are missing",
    ]


def test_a_plan_that_ran_out_of_time_ends_with_that(
    plan: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = plan / "events.jsonl"
    path.write_text(path.read_text().replace('"out_of_time":false', '"out_of_time":true'))
    *_, envelope = replayed(capfdbinary, plan, "--events-from", 1, expect=4)
    assert (envelope["outcome"], envelope["exit_code"]) == ("succeeded", 4)


def test_a_plan_that_went_on_with_higher_numbers_lacks_nothing(
    plan: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """As in a GUI, whose bus had counted other plans meanwhile."""
    lines = [json.loads(line) for line in events_of(plan)]
    again = [{**line, "sequence": line["sequence"] + 500} for line in lines]
    text = "".join(json.dumps(line) + "\n" for line in [*lines, *again])
    (plan / "events.jsonl").write_text(text)
    *events, envelope = replayed(capfdbinary, plan, "--events-from", 1)
    assert envelope["errors"] == []
    assert len(events) == 2 * len(lines)


def test_a_plan_whose_process_was_killed_is_interrupted(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with hanging(tmp_path / "runs", call=2):
        pass
    folder = tmp_path / "runs" / "plan-1"
    *events, envelope = replayed(capfdbinary, folder, "--events-from", 1, expect=1)
    assert (envelope["outcome"], envelope["exit_code"]) == ("interrupted", 1)
    assert "StepFinished" in [event["type"] for event in events]


def follow(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*RUN, str(folder), "--events-from", "1", *words],
        stdout=subprocess.PIPE,
        env=environment(),
    )


def test_a_plan_under_way_is_followed_to_its_end(tmp_path: Path) -> None:
    """More events than the pipe and a mailbox take: it waits until its lines are read."""
    words = ("--backend", "fake", "--prompt", "a cat", "--sweep", "txt2img.steps=1:150:1")
    process = start(*words, "--json", cwd=tmp_path)
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    watcher = follow(tmp_path / "runs" / str(first["plan_id"]))
    assert watcher.stdout is not None
    with watcher.stdout, process.stdout:
        lines = [watcher.stdout.readline()]
        told = [first, *map(json.loads, process.stdout)]
        lines += watcher.stdout
    process.communicate()
    watcher.wait()
    seen = [json.loads(line) for line in lines]
    assert seen[:-1] == told[:-1]
    assert (watcher.returncode, seen[-1]["outcome"]) == (0, "succeeded")


def test_whoever_follows_can_stop(tmp_path: Path) -> None:
    with hanging(tmp_path / "runs", call=2):
        watcher = follow(tmp_path / "runs" / "plan-1")
        assert watcher.stdout is not None
        watcher.stdout.readline()
        watcher.send_signal(signal.SIGTERM)
        out, _ = watcher.communicate(timeout=60)
        envelope = json.loads(out.splitlines()[-1])
        assert (watcher.returncode, envelope["exit_code"]) == (143, 143)
        assert (envelope["type"], envelope["outcome"]) == ("envelope", None)


def test_a_reader_that_goes_away_ends_a_replay(plan: Path) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [*RUN, str(plan), "--events-from", "1"],
        stdout=theirs,
        stderr=subprocess.PIPE,
        check=False,
        env=environment(),
        timeout=60,
    )
    os.close(theirs)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--events-from", "x"), "--events-from: given 'x', expected a whole number from 0 on"),
        (("--events-from", "-1"), "--events-from: given '-1', expected a whole number from 0 on"),
        (("--events-from", "1"), "--events-from: which plan? give its folder: runs/PLAN_ID"),
        (("nope", "--events-from", "1"), "runs/nope: no events.jsonl there; "),
        (("--events-from", "1", "--seed", "3", "x"), "--seed: --events-from runs nothing; "),
        (("--events-from", "1", "--set", "a=b", "x"), "--set: --events-from runs nothing; "),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(
    tmp_path: Path, words: Sequence[str], expected: str
) -> None:
    done = run(*words, cwd=tmp_path, expect=2)
    assert done.stderr.startswith(f"stablenew: {expected}")
    assert len(done.stderr.splitlines()) == 1
    (envelope,) = map(json.loads, done.stdout.splitlines())
    assert envelope["exit_code"] == 2
    assert list(tmp_path.iterdir()) == []
