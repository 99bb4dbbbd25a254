"""What `--dry-run` says, in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

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
