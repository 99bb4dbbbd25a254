"""What is said before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from stablenew.run import main

FAKE = ("--backend", "fake", "--set", "txt2img.steps=1")


@pytest.mark.parametrize("how", [("--dry-run",), ("--json",), ("--quiet",), ()])
def test_what_a_pack_says_and_nothing_takes_is_named_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    how: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("copied.txt").write_text("a cat\nSteps: 20, ENSD: 31337, Eta: 0.5\n")
    assert main([*FAKE, "--pack", "copied", *how]) == 0
    said = capsys.readouterr().err
    expected = "note: pack copied: left out, for there is no such setting here: ENSD, Eta\n"
    assert said.count(expected) == (0 if how == ("--quiet",) else 1)


@pytest.mark.parametrize("how", [("--dry-run",), ()])
def test_what_may_stand_for_several_words_is_said_once_before_any_backend_gets_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    how: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        main([*FAKE, "--prompt", "a {red|blue} cat", "--sweep", "txt2img.cfg_scale=1,2", *how]) == 0
    )
    assert capsys.readouterr().err.count("note: {red|blue}: sent to the backend as written") == 1
