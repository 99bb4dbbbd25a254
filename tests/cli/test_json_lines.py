"""The contract `stablenew.event/1`: what `--json` prints, whatever happens."""

from __future__ import annotations

import fcntl
import json
import resource
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import jsonschema
import pytest

from stablenew.events.event import Event
from stablenew.events.event_log import encode_event
from stablenew.learning.learning_events import PlanFinished
from stablenew.pipeline.results import Outcome
from stablenew.run import main
from tests.cli.program import RUN, environment, start

ROOT = Path(__file__).parents[2]
SCHEMA_FILE = ROOT / "stablenew" / "events" / "event.schema.json"
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "write_event_schema.py"), run_name="script")
FAKE = ("--backend", "fake", "--prompt", "a cat", "--json")

Line = dict[str, object]


@pytest.fixture(autouse=True)
def restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run where nothing is, and leave the signals as they were."""
    monkeypatch.chdir(tmp_path)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def checked(out: bytes, validator: jsonschema.Draft202012Validator) -> list[Line]:
    """Return the lines; each is valid, they are numbered from 1, and the last is the envelope."""
    printed = [json.loads(line) for line in out.splitlines()]
    for line in printed:
        validator.validate(line)
    assert [line["sequence"] for line in printed] == list(range(1, len(printed) + 1))
    assert [line["type"] for line in printed].count("envelope") == 1
    assert printed[-1]["type"] == "envelope"
    return printed


def ended_with(*words: str) -> object:
    try:
        return main(words)
    except SystemExit as stop:
        return stop.code


def test_the_schema_in_the_package_is_that_of_the_classes() -> None:
    assert json.loads(SCHEMA_FILE.read_text()) == SCRIPT["event_schema"]()


def test_the_schema_knows_every_event_there_is() -> None:
    import stablenew.app  # noqa: F401  # whatever defines one

    def is_in_use(kind: type[Event]) -> bool:
        return vars(sys.modules[kind.__module__]).get(kind.__name__) is kind

    def leaves(kind: type[Event]) -> Iterator[type[Event]]:
        for each in kind.__subclasses__():
            # attrs makes a class with slots of each, and leaves the other to the next collection.
            if each.__module__.startswith("stablenew.") and is_in_use(each):
                yield from leaves(each) if each.__subclasses__() else [each]

    known = set(json.loads(SCHEMA_FILE.read_text())["$defs"])
    names = {each.__name__ for each in leaves(Event)}
    assert "PreviewMade" in names
    assert names <= known


@pytest.mark.parametrize("missing", ["schema", "type", "sequence", "at", "plan_id", "run_id"])
def test_a_line_without_its_head_is_none(
    validator: jsonschema.Draft202012Validator, missing: str
) -> None:
    event = PlanFinished(outcome=Outcome.SUCCEEDED, summary={}, sequence=1)
    line = json.loads(encode_event(event))
    validator.validate(line)
    del line[missing]
    assert not validator.is_valid(line)


def test_an_event_that_lacks_something_is_not_valid(
    validator: jsonschema.Draft202012Validator,
) -> None:
    event = PlanFinished(outcome=Outcome.SUCCEEDED, summary={}, sequence=1)
    line = json.loads(encode_event(event))
    del line["outcome"]
    assert not validator.is_valid(line)


@pytest.mark.parametrize(
    "more",
    [
        ("--sweep", "txt2img.steps=4,5", "--learn"),
        ("--sweep", "txt2img.steps=4,5", "--sweep", "txt2img.cfg_scale=1,2", "--quiet"),
        ("--set", "upscale.enabled=true", "--images-per-step", "2"),
        ("--dry-run",),
    ],
)
def test_every_line_is_valid(
    capsysbinary: pytest.CaptureFixture[bytes],
    validator: jsonschema.Draft202012Validator,
    more: tuple[str, ...],
) -> None:
    assert main([*FAKE, *more]) == 0
    printed = checked(capsysbinary.readouterr().out, validator)
    assert printed[-1]["exit_code"] == 0


def test_the_envelope_names_the_plan_and_its_files(
    capsysbinary: pytest.CaptureFixture[bytes], validator: jsonschema.Draft202012Validator
) -> None:
    main([*FAKE, "--sweep", "txt2img.steps=4,5", "--learn"])
    *events, envelope = checked(capsysbinary.readouterr().out, validator)
    assert envelope["plan_id"] == events[0]["plan_id"]
    assert envelope["outcome"] == "succeeded"
    assert isinstance(envelope["files"], list)
    kinds = [file["kind"] for file in envelope["files"]]
    expected = ["page", "contact_sheet", "plan", "events", "records", "picture", "picture"]
    assert kinds == expected
    assert all(Path(file["path"]).is_file() for file in envelope["files"])


def test_the_envelope_of_a_single_run_names_the_run(
    capsysbinary: pytest.CaptureFixture[bytes], validator: jsonschema.Draft202012Validator
) -> None:
    main([*FAKE])
    *events, envelope = checked(capsysbinary.readouterr().out, validator)
    assert envelope["plan_id"] is None
    assert envelope["run_id"] == events[0]["run_id"]


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (("--swep",), 2, "unrecognized arguments: --swep (--help shows what there is)"),
        (("--backend", "fak"), 2, "backend: given 'fak', did you mean fake?"),
        (("--url", "127.0.0.1:9"), 3, "no answer from http://127.0.0.1:9: "),
        (("--step-timeout", "0.001", "--sweep", "txt2img.steps=4"), 1, None),
    ],
)
def test_what_goes_wrong_is_in_the_envelope(
    capsysbinary: pytest.CaptureFixture[bytes],
    validator: jsonschema.Draft202012Validator,
    words: tuple[str, ...],
    code: int,
    error: str | None,
) -> None:
    ended = ended_with("--prompt", "a cat", "--json", *words)
    captured = capsysbinary.readouterr()
    envelope = checked(captured.out, validator)[-1]
    assert (ended, envelope["exit_code"]) == (code, code)
    assert isinstance(envelope["errors"], list)
    if error is None:
        assert envelope["outcome"] == "failed"
    else:
        assert envelope["outcome"] is None
        assert error in envelope["errors"][0]
        assert envelope["errors"][0].encode() in captured.err


def test_a_disk_that_says_no_is_in_the_envelope(
    capsysbinary: pytest.CaptureFixture[bytes],
    validator: jsonschema.Draft202012Validator,
    tmp_path: Path,
) -> None:
    (tmp_path / "runs").touch()
    assert main([*FAKE, "--sweep", "txt2img.steps=4,5"]) in (1, 2)
    envelope = checked(capsysbinary.readouterr().out, validator)[-1]
    assert isinstance(envelope["errors"], list)
    assert "runs" in envelope["errors"][0]


def test_help_is_no_line_of_json(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--json", "--help"])
    assert stop.value.code == 0
    assert b"envelope" not in capsysbinary.readouterr().out


def test_what_was_killed_before_is_in_the_envelope(
    capsysbinary: pytest.CaptureFixture[bytes], validator: jsonschema.Draft202012Validator
) -> None:
    folder = Path("runs/plan-1")
    folder.mkdir(parents=True)
    Path("runs/.under_way").mkdir()
    Path("runs/.under_way/plan-1").touch()
    main([*FAKE])
    envelope = checked(capsysbinary.readouterr().out, validator)[-1]
    assert envelope["interrupted"] == [{"id": "plan-1", "steps": 1, "missing": []}]


def test_a_signal_before_anything_runs_ends_with_an_envelope(
    validator: jsonschema.Draft202012Validator, tmp_path: Path
) -> None:
    code = (
        "import os, signal, sys\n"
        "import stablenew.run, stablenew.cli.job as job\n"
        "job.drafted_job = lambda *_: os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.exit(stablenew.run.main(['--json', '--prompt', 'a']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, env=environment()
    )
    assert done.returncode == 143
    assert checked(done.stdout, validator)[-1]["exit_code"] == 143


def test_closing_stdin_cancels(validator: jsonschema.Draft202012Validator, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*RUN, *FAKE, "--sweep", "txt2img.steps=1:400:1", "--cancel-on-stdin-close"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stderr is not None
    out = b""
    while b"StepFinished" not in out:
        out += process.stdout.readline()
    process.stdin.close()
    out += process.stdout.read()
    assert b"\nstep 1/400" in b"\n" + process.stderr.read()  # a slow start has a line before it
    process.stdout.close()
    process.stderr.close()
    assert process.wait(timeout=60) == 1
    envelope = checked(out, validator)[-1]
    assert (envelope["outcome"], envelope["exit_code"]) == ("cancelled", 1)


def test_without_the_flag_a_closed_stdin_is_no_reason_to_stop(tmp_path: Path) -> None:
    done = subprocess.run(
        [*RUN, *FAKE],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0


def test_a_parent_that_is_gone_ends_the_run(tmp_path: Path) -> None:
    """A broken pipe ends it, and the plan is told to its end on disk."""
    process = start(*FAKE, "--sweep", "txt2img.steps=1:400:1", cwd=tmp_path)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 1
    (events,) = Path("runs").glob("*/events.jsonl")
    assert json.loads(events.read_bytes().splitlines()[-1])["outcome"] == "cancelled"


def test_the_head_comes_first_in_every_event() -> None:
    event = PlanFinished(outcome=Outcome.SUCCEEDED, summary={})
    names = ["schema", "type", "sequence", "at", "plan_id", "run_id"]
    assert list(json.loads(encode_event(event)))[:6] == names
    assert all(name in attrs.fields_dict(Event) for name in names[2:])


def test_what_nohup_ignores_stays_ignored(
    validator: jsonschema.Draft202012Validator, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        ["nohup", *RUN, *FAKE, "--sweep", "txt2img.steps=1:20:1"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    assert process.stdout is not None
    fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)  # it waits there for its reader
    first = process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    rest = process.stdout.read()  # not `communicate`: it passes over what was read ahead
    process.stdout.close()
    process.wait(timeout=60)
    assert checked(first + rest, validator)[-1]["outcome"] == "succeeded"
    assert process.returncode == 0


def limited(size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("size", [0, 100, 6000])
def test_a_full_disk_is_in_the_envelope(
    validator: jsonschema.Draft202012Validator, tmp_path: Path, size: int
) -> None:
    done = subprocess.run(
        [*RUN, *FAKE, "--sweep", "txt2img.steps=4,5"],
        capture_output=True,
        check=False,
        env=environment(),
        preexec_fn=lambda: limited(size),
    )
    assert done.returncode == (1 if size < 6000 else 0)  # a page is not worth a failure
    assert checked(done.stdout, validator)[-1]["exit_code"] == done.returncode


@pytest.mark.parametrize(("words", "code"), [((), 0), (("--seed", "abc"), 2), (("--swep",), 2)])
def test_a_stderr_that_is_full_changes_nothing(
    validator: jsonschema.Draft202012Validator, words: tuple[str, ...], code: int
) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*RUN, *FAKE, *words],
            stdout=subprocess.PIPE,
            stderr=full,
            check=False,
            env=environment(),
        )
    assert done.returncode == code
    assert checked(done.stdout, validator)[-1]["exit_code"] == code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_still_loads_ends_with_an_envelope(
    validator: jsonschema.Draft202012Validator, number: signal.Signals
) -> None:
    code = (
        "import os, sys\n"
        "import stablenew.run as run\n"
        "loads, calls = run._json_lines, []\n"
        "def killed(words):\n"
        "    calls.append(1)\n"
        f"    len(calls) == 1 and os.kill(os.getpid(), {int(number)})\n"
        "    return loads(words)\n"
        "run._json_lines = killed\n"
        "sys.exit(run.main(['--json', '--prompt', 'a']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, env=environment()
    )
    assert done.returncode == 128 + number
    assert checked(done.stdout, validator)[-1]["exit_code"] == 128 + number
    assert done.stderr == b""


def test_a_signal_after_the_envelope_changes_nothing(
    validator: jsonschema.Draft202012Validator,
) -> None:
    process = subprocess.Popen([*RUN, *FAKE], stdout=subprocess.PIPE, env=environment())
    assert process.stdout is not None
    out = b""
    while b'"envelope"' not in out:
        out += process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert checked(out, validator)[-1]["exit_code"] == 0


@pytest.mark.parametrize(
    ("name", "text"), [("a.json", "[" * 100_000), ("a.toml", "a=" + "[" * 5000)]
)
def test_a_file_that_is_nested_too_deeply_is_wrong_input(
    capsysbinary: pytest.CaptureFixture[bytes],
    validator: jsonschema.Draft202012Validator,
    name: str,
    text: str,
) -> None:
    Path(name).write_text(text)
    assert main([name, "--json"]) == 2
    assert checked(capsysbinary.readouterr().out, validator)[-1]["exit_code"] == 2


def test_a_bug_of_ours_leaves_an_envelope(
    capsysbinary: pytest.CaptureFixture[bytes],
    validator: jsonschema.Draft202012Validator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("stablenew.cli.job.drafted_job", broken)
    with pytest.raises(ZeroDivisionError):
        main([*FAKE])
    envelope = checked(capsysbinary.readouterr().out, validator)[-1]
    assert envelope["errors"] == ["ZeroDivisionError: a bug"]


def test_what_was_killed_is_said_even_if_the_next_start_fails(
    capsysbinary: pytest.CaptureFixture[bytes], validator: jsonschema.Draft202012Validator
) -> None:
    Path("runs/plan-1").mkdir(parents=True)
    Path("runs/.under_way").mkdir()
    Path("runs/.under_way/plan-1").touch()
    assert main([*FAKE, "--quiet", "--set", "txt2img.model=nope"]) == 2
    captured = capsysbinary.readouterr()
    envelope = checked(captured.out, validator)[-1]
    assert envelope["interrupted"] == [{"id": "plan-1", "steps": 1, "missing": []}]
    assert b"plan-1 was interrupted" in captured.err
