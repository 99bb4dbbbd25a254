"""The program itself, as a person or a script starts it."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from stablenew.run import main
from tests.cli.program import RUN, environment, run, start
from tests.support import leftovers, lines, rounds

FAKE = ("--backend", "fake", "--prompt", "a cat")
MANY = 400
LONG = (*FAKE, "--sweep", f"txt2img.steps=1:{MANY}:1", "--learn")
"""More lines than a pipe holds: the program waits for its reader before it comes to the end."""


def test_without_arguments_it_says_what_it_can_do(tmp_path: Path) -> None:
    done = run(cwd=tmp_path)
    assert "examples" in done.stdout
    assert done.stderr == ""


def test_a_sweep_leaves_pictures_records_events_and_a_sheet(tmp_path: Path) -> None:
    done = run(
        "--prompt",
        "a red mushroom flurb",
        "--sweep",
        "txt2img.cfg_scale=1,5",
        "--images-per-step",
        "2",
        "--set",
        "txt2img.steps=4",
        "--set",
        "upscale.enabled=true",
        "--learn",
        "--experiment-name",
        "first",
        cwd=tmp_path,
    )
    assert "2 steps: 2 succeeded; pictures: 8" in done.stdout
    assert "words that the model does not know: flurb" in done.stdout
    named = [line.split()[-1] for line in done.stdout.splitlines()[2:]]
    assert len(named) == 6
    assert all((tmp_path / name).exists() for name in named if "*" not in name)
    records = [json.loads(line) for line in lines(tmp_path / "runs" / "learning_records.jsonl")]
    assert [record["metadata"]["variable_value"] for record in records] == [1, 5]
    assert records[0]["metadata"]["experiment_name"] == "first"
    assert records[0]["outputs"][0]["ignored_words"] == ["flurb"]
    assert [line.split("  ")[0] for line in done.stderr.splitlines()] == ["step 1/2", "step 2/2"]
    assert leftovers(tmp_path) == []


def test_a_run_without_a_sweep_is_one_run_and_one_record(tmp_path: Path) -> None:
    done = run("--prompt", "a cat", "--set", "txt2img.steps=2", "--learn", cwd=tmp_path)
    (record,) = [json.loads(line) for line in lines(tmp_path / "runs/learning_records.jsonl")]
    assert record["metadata"]["run_type"] == "single"
    assert record["plan_id"] is None
    assert (tmp_path / "runs" / record["outputs"][0]["path"]).exists()
    assert "metadata" in done.stdout


def test_a_plan_file_runs(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(
        'prompt = "a cat"\nbackend = "fake"\n[learning]\ntarget_variable = "steps"\n'
        "sweep_values = [4, 5, 6]\n"
    )
    assert "3 steps: 3 succeeded" in run("plan.toml", cwd=tmp_path).stdout
    assert not (tmp_path / "runs" / "learning_records.jsonl").exists()


def test_json_is_one_object_per_event_on_stdout_and_the_rest_on_stderr(tmp_path: Path) -> None:
    done = run(
        "--backend", "fake", "--prompt", "a", "--sweep", "txt2img.steps=4,5", "--json", cwd=tmp_path
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert events[0]["type"] == "PlanStarted"
    assert [event["type"] for event in events[-2:]] == ["PlanFinished", "envelope"]
    assert "2 steps: 2 succeeded" in done.stderr


def test_quiet_prints_nothing(tmp_path: Path) -> None:
    done = run("--backend", "fake", "--prompt", "a", "--quiet", cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_dry_run_shows_the_steps_and_runs_nothing(tmp_path: Path) -> None:
    words = ("--prompt", "a", "--sweep", "txt2img.steps=4,5,6", "--images-per-step", "2")
    done = run(*words, "--set", "upscale.enabled=true", "--dry-run", cwd=tmp_path)
    assert done.stdout.startswith("steps: 3, pictures: 6, backend calls: 12\n")
    assert "txt2img.steps: 4:6:1 (3 values)\nstep 1  steps=4  new\n" in done.stdout
    assert "cfg_scale=5.0" in done.stdout
    assert list(tmp_path.iterdir()) == []
    done = run("--prompt", "a", "--dry-run", cwd=tmp_path)
    assert done.stdout.startswith("steps: 1, pictures: 1, backend calls: 1\na single run\n")
    assert "seed=-1 (drawn once)" in done.stdout


def test_a_dry_run_can_be_json(tmp_path: Path) -> None:
    words = ("--prompt", "a", "--sweep", "txt2img.steps=4,5", "--images-per-step", "3")
    printed = run(*words, "--dry-run", "--json", cwd=tmp_path).stdout.splitlines()
    plain, envelope = [json.loads(line) for line in printed]
    assert plain["type"] == "dry_run"
    assert (envelope["outcome"], envelope["exit_code"]) == (None, 0)
    assert (plain["pictures"], plain["backend_calls"]) == (6, 6)
    assert [step["stages"]["txt2img"]["steps"] for step in plain["steps"]] == [4, 5]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("none.toml",), "none.toml: No such file or directory"),
        (
            ("--prompt", "a", "--backend", "nope"),
            "backend: given 'nope', there is embedded, webui, comfyui, server, fake",
        ),
        (("--sweep", "txt2img.steps=4,5"), "txt2img.prompt: missing, expected some text"),
        (("--prompt", "a", "--set", "txt2img.width=512"), "the embedded backend makes 64x64"),
        (("--prompt", "a", "--out", "/proc/none"), "out: cannot write to '/proc/none'"),
        (("--prompt", "a", "--bogus"), "unrecognized arguments: --bogus"),
        (("--prompt", "a", "--set", "adetailer.enabled=true"), "backend has no such stage"),
        (("--prompt", "a", "--sweep", "txt2img.sampler_name=Eular"), "did you mean Euler"),
    ],
)
@pytest.mark.parametrize("dry", [False, True])
def test_wrong_input_is_one_clear_line_and_exit_2(
    tmp_path: Path, words: Sequence[str], expected: str, dry: bool
) -> None:
    if dry and "--out" in words:
        return
    done = run(*words, *(["--dry-run"] if dry else []), cwd=tmp_path, expect=2)
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_verbose_shows_the_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [*RUN, "none.toml", "-v"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Traceback" in done.stderr


def test_a_step_that_does_not_succeed_is_exit_1(tmp_path: Path) -> None:
    words = ("--prompt", "a", "--sweep", "txt2img.steps=10000", "--step-timeout", "0.5")
    done = run(*words, cwd=tmp_path, expect=1)
    assert "timed_out: not done after 0.5 s" in done.stderr
    assert "1 step: 1 timed out" in done.stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_cancels_and_keeps_what_is_done(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    process = start(*LONG, "--json", cwd=tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["type"] == "StepFinished":
            process.send_signal(number)
            break
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    finished, envelope = [json.loads(line) for line in out.splitlines()[-2:]]
    assert finished["type"] == "PlanFinished"
    assert (envelope["outcome"], envelope["exit_code"]) == ("cancelled", code)
    assert "not run" in err
    records = lines(tmp_path / "runs" / "learning_records.jsonl")
    assert 1 <= len(records) < MANY
    assert all(json.loads(line)["run_id"] for line in records)
    assert leftovers(tmp_path) == []


def test_the_second_signal_ends_at_once(tmp_path: Path) -> None:
    process = start(*LONG, "--json", cwd=tmp_path)
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        # A page of pipe that nobody reads on from: the program hangs in writing to it.
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        while "cancelling" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == -signal.SIGINT


def test_a_reader_that_goes_away_ends_the_run_quietly(tmp_path: Path) -> None:
    process = start(*LONG, "--json", cwd=tmp_path)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 1
    assert "Traceback" not in err
    assert "BrokenPipe" not in err


def test_a_terminal_gets_a_bar_with_step_stage_and_time_left(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*RUN, "--prompt", "a cat", "--sweep", "txt2img.steps=4,5"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**environment(), "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65_536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    assert process.wait(timeout=60) == 0
    text = shown.decode()
    assert "step 1/2 steps=4" in text
    assert "txt2img 1/1" in text
    assert "%" in text
    assert "0:00:" in text
    os.close(ours)


def test_a_full_disk_is_told_and_nothing_is_half_written(tmp_path: Path) -> None:
    """A limit on file sizes stands in for a full disk: the records no longer fit."""
    code = (
        "import resource, signal, sys;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000));"
        "from stablenew.run import main; sys.exit(main())"
    )
    words = ("--backend", "fake", "--prompt", "a", "--sweep", "txt2img.steps=4,5,6", "--learn")
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert "Traceback" not in done.stderr
    assert "File too large" in done.stdout + done.stderr
    for path in (tmp_path / "runs").glob("learning_records.jsonl"):
        assert all(json.loads(line) for line in lines(path))
    assert leftovers(tmp_path) == []


def test_the_package_runs_from_anywhere() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run("--pack", "tiny", "--dry-run", cwd=Path(folder))


def test_two_programs_may_start_in_the_same_folder(tmp_path: Path) -> None:
    words = ("--backend", "fake", "--prompt", "a", "--learn", "--quiet")
    for _ in range(rounds(1, 5)):
        both = [subprocess.Popen([*RUN, *words], cwd=tmp_path, env=environment()) for _ in range(2)]
        assert [process.wait(timeout=60) for process in both] == [0, 0]


def test_a_reader_of_the_last_lines_who_leaves_early_changes_nothing(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [*RUN, "--backend", "fake", "--prompt", "a"],
        cwd=tmp_path,
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env=environment(),
    )
    os.close(theirs)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", [(), ("--json",), ("--dry-run",)])
def test_a_full_stdout_is_one_line_and_exit_1(tmp_path: Path, words: Sequence[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*RUN, "--backend", "fake", "--prompt", "a", *words],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=environment(),
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "stablenew: No space left on device"
    assert "Traceback" not in done.stderr


def test_a_closed_stderr_is_no_reason_to_fail(tmp_path: Path) -> None:
    command = shlex.join([*RUN, "--backend", "fake", "--prompt", "a"])
    done = subprocess.run(
        ["sh", "-c", f"{command} 2>&-"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0
    assert "the run succeeded" in done.stdout


def test_a_disk_that_is_full_from_the_start_is_one_line(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10));"
        "from stablenew.run import main; sys.exit(main())"
    )
    words = ("--backend", "fake", "--prompt", "a", "--sweep", "txt2img.steps=4,5")
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("stablenew: ")
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_plan_that_its_scorer_ended_says_with_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def rate(_: object) -> int:
        raise ValueError("no more questions")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("stablenew.cli.run_command.asker", lambda **_: rate)
    monkeypatch.setattr("sys.stdin", Terminal())
    words = ["--backend", "fake", "--prompt", "a", "--explore", "txt2img.cfg_scale=1..12"]
    assert main(words) == 1
    said = capsys.readouterr()
    assert "what ended the plan: ValueError: no more questions" in said.err
    assert "not run; pictures: " in said.out
    assert "go on with" in said.out
