"""Text of others on the streams of the program: in a terminal, and in every encoding."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import tomllib
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stablenew.advice.recommendation import Recommendation
from stablenew.cli.log_format import LOG_FORMAT, OneLine, Whole
from stablenew.cli.printing import printable
from stablenew.cli.progress import BarDisplay
from stablenew.cli.recommend_command import config_lines
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.pipeline.stage_settings import asked_settings
from stablenew.run import command, main

MARKUP = ("[/x]", "[b]", "[cat|dog]", ":cat:", "[link=x]", "\\[", "\x1b[2J", "\u202e", "\r", "\n")
any_text = st.lists(st.text(st.characters(), max_size=8) | st.sampled_from(MARKUP), max_size=6).map(
    "".join
)
"""Any text at all, halves of surrogate pairs too, with what terminals and rich take as orders."""


@given(any_text)
@example("\U000e0041\ufeff\u2028\x85\x7f\u061c")
def test_any_text_becomes_one_line_that_shows_all_of_it(text: str) -> None:
    line = printable(text)
    assert line == "".join(map(printable, text))
    assert line == printable(line)
    assert line.splitlines() in ([], [line])
    assert line.encode().decode() == line
    for each in text:
        shown = printable(each)
        hidden = unicodedata.category(each)[0] in "CZ" and each not in "\u200c\u200d"
        assert shown == each or (hidden and shown.encode().decode("unicode_escape") == each)
        assert shown != each or unicodedata.category(each) not in ("Cc", "Cs", "Zl", "Zp")
        assert not re.match("[LR]R[EOI]|[LRF]SI|PD[FI]", unicodedata.bidirectional(shown[0]))


def test_the_words_of_people_stay_as_they_are() -> None:
    for text in (
        "a red cat",
        "a [cat|dog] :cat:",
        "美丽的日式花园",
        "सूर्य",
        "👩‍🚀 café\u3000x",
        r"C:\new",
    ):
        assert printable(text) == text


class PseudoTerminal:
    """What a terminal of 1,000 columns is sent while it stands for stdout and stderr."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self.sent = ""
        self._encoding = encoding

    def __enter__(self) -> PseudoTerminal:
        self._reader, writer = os.openpty()
        self._stream = os.fdopen(writer, "w", encoding=self._encoding)
        self._before = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = self._stream
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout, sys.stderr = self._before
        self._stream.close()
        self._thread.join()
        os.close(self._reader)

    @property
    def shown(self) -> str:
        """What was sent, without the colours and cursor moves of the bar."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.sent)

    def _read(self) -> None:
        data = b""
        with suppress(OSError):  # everybody who could write is gone
            while piece := os.read(self._reader, 65536):
                data += piece
        self.sent = data.decode(self._encoding)


@pytest.fixture
def in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "1000")  # rich looks at the process's own streams for it
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.mark.usefixtures("in_colour")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(label=any_text, line=any_text)
@example(label="a [cat|dog] in the snow", line="closing [/x] :cat:")
def test_a_terminal_shows_any_text_beside_its_bar_and_above_it(label: str, line: str) -> None:
    with PseudoTerminal() as terminal, BarDisplay() as display:
        display.show(f"<{label}>", 0.5)
        display.tell(f"<{line}>")
    assert f"<{printable(line)}>\r\n" in terminal.shown
    assert f"<{printable(label)}> ━" in terminal.shown


@pytest.mark.usefixtures("in_colour")
def test_a_label_that_is_too_long_keeps_its_ends_and_the_bar() -> None:
    with PseudoTerminal() as terminal, BarDisplay() as display:
        display.show(f"step 1/2 prompt={'猫' * 900}  txt2img", 0.5)
    assert re.search(r"\rstep 1/2 prompt=猫+… ?猫+  txt2img ━+.* 50% ", terminal.shown)


NASTY = "txt2img.prompt=[/x] bird :cat:,a [cat|dog] 猫🐈"


@pytest.mark.usefixtures("in_colour")
def test_prompts_with_markup_go_through_a_whole_run_in_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with PseudoTerminal() as terminal:
        assert main(["--backend", "fake", "--sweep", NASTY]) == 0
    assert "step 1/2  prompt=[/x] bird :cat:  succeeded" in terminal.shown
    assert "step 2/2  prompt=a [cat|dog] 猫🐈  succeeded" in terminal.shown
    assert "report.html" in terminal.shown
    *_, last = terminal.shown.strip().splitlines()
    assert re.fullmatch(r"in a window +\S*stablenew studio --out runs", last)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_no_command_fails_for_what_its_streams_cannot_encode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.chdir(tmp_path)
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding) for name in ("stdout", "stderr")}

    def end(words: str, work: Callable[[list[str]], int] = command) -> str:
        """Return what a command line that succeeds printed."""
        for name, stream in streams.items():
            monkeypatch.setattr(sys, name, stream)
        assert work([*words.split(" ")]) == 0
        streams["stdout"].flush()
        raw = streams["stdout"].buffer
        assert isinstance(raw, io.BytesIO)
        text = raw.getvalue().decode(encoding if "--json" not in words else "utf-8")
        raw.seek(0)
        raw.truncate()
        return text

    sweep = f"--backend fake --learn --sweep {NASTY.replace(' ', chr(0x3000))}"
    assert "\\u732b" in end(f"{sweep} --dry-run", main)
    assert json.loads(end(f"{sweep} --dry-run --json", main).splitlines()[0])
    assert "2 succeeded" in end(sweep, main)
    (plan,) = tmp_path.glob("runs/*/plan.json")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"4\nn\n\xe9\xff\n5\n"), "utf-8"))
    assert "1" + ("-" if encoding != "cp1252" else "–") + "5 rate" in end(f"rate {plan.parent}")
    assert "prompt" in end("recommend")
    (advice,) = map(json.loads, end("recommend --json").splitlines())
    assert any("猫🐈" in each["value"] for each in advice["values"])
    assert "rows: 2" in end("dataset --to csv 猫.csv")
    assert "stablenew rate" in end("--help")


def test_the_program_ends_with_its_own_code_where_the_locale_knows_ascii_alone(
    tmp_path: Path,
) -> None:
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    words = ("--backend", "fake", "--sweep", NASTY)
    done = subprocess.run(
        [sys.executable, "-m", "stablenew.run", *words],
        cwd=tmp_path,
        env={**os.environ, **plain},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert b"expected valid Unicode text" in done.stderr


def test_errors_and_log_lines_show_what_they_were_given(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--prompt", "a", "--out", "x", "--url", "\x1b[2J\u202e"]) == 2
    with pytest.raises(SystemExit):
        main(["--nope\x1b[2J", "x"])
    assert main(["\x1b[31m.toml"]) == 2
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "\\x1b[31m.toml: No such file" in said


@given(st.text(), any_text)
@example('\x7f\u2028\r\n"\\', "why\r\x7f\n")
def test_any_text_is_written_into_a_config_that_can_be_read(value: str, why: str) -> None:
    advice = Recommendation(
        parameter="txt2img.sampler_name",
        value=value,
        mean=4.0,
        low=3.0,
        high=5.0,
        ratings=9,
        enough=True,
        why=why,
    )
    table = tomllib.loads("\n".join(config_lines([advice])))
    assert table == {"txt2img": {"sampler_name": value}}


def test_an_extra_setting_is_written_as_a_config_takes_it() -> None:
    path = "extra.alwayson_scripts.soft inpainting.args.0.weight"
    advice = Recommendation(
        parameter=f"txt2img.{path}",
        value=0.5,
        mean=4.0,
        low=3.0,
        high=5.0,
        ratings=9,
        enough=True,
        why="",
    )
    table = tomllib.loads("\n".join(config_lines([advice])))
    config = PipelineConfig.from_dict(table)
    assert asked_settings(config, "txt2img") == {path: 0.5}


@pytest.mark.parametrize("verbose", [True, False])
def test_a_log_line_is_one_line_whatever_is_in_it(verbose: bool) -> None:
    record = logging.LogRecord("a", 40, "", 1, "a %s", ("\nERROR b: forged\x1b[2J",), None)
    line = (Whole(LOG_FORMAT) if verbose else OneLine()).format(record)
    assert line.endswith(r"a \nERROR b: forged\x1b[2J")
    assert line.splitlines() == [line]
