"""`--rater`: a program rates what an exploration makes, and may hang, print nonsense or die."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stablenew.cli.program_rater import ProgramRater, rater_of
from stablenew.errors import ConfigError
from stablenew.learning.feedback_reader import Rating, read_feedback
from stablenew.learning.gallery import Shown
from stablenew.learning.learning_plan import LearningPlan
from stablenew.run import main

SCORER = """\
import os, sys
assert open(sys.argv[1], "rb").read(4) == b"\\x89PNG"
print("a line of its own")
print(float(os.path.dirname(sys.argv[1])[-1]) + 0.2)  # the step's number
"""
PROGRAM = f"{sys.executable} -S scorer.py"


def picture(path: Path = Path("/pictures/one.png")) -> Shown:
    return Shown(run_id="r", image_id="txt2img_1", path=path, varied={}, settings={})


def rater(tmp_path: Path, source: str, **more: float) -> ProgramRater:
    file = tmp_path / "rater.py"
    file.write_text(source)
    return ProgramRater((sys.executable, "-S", str(file)), **more)


async def test_the_last_line_counts_and_a_fraction_is_rounded(tmp_path: Path) -> None:
    source = "import sys\nprint('2', file=sys.stderr)\nprint(1)\nprint(len(sys.argv[1]) / 4.6)\n\n"
    assert await rater(tmp_path, source)(picture()) == 4  # 18 letters


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("print('good')", "printed 'good', expected a number from 1 to 5"),
        ("print(9)", "printed '9', expected a number from 1 to 5"),
        ("print('nan')", "printed 'nan', expected"),
        ("", "printed '', expected"),
        ("raise SystemExit('no such model')", "ended with 1: no such model"),
        ("import os; os._exit(3)", "ended with 3: it said nothing"),
    ],
)
async def test_a_picture_that_is_not_rated_is_unrated_and_the_third_ends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str, said: str
) -> None:
    program = rater(tmp_path, source)
    for _ in range(2):
        unrated = await program(picture())
        assert isinstance(unrated, Rating)
        assert unrated.rating is None
        assert f"{said}" in capsys.readouterr().err
    with pytest.raises(ConfigError) as caught:
        await program(picture())
    assert said in str(caught.value)
    assert "third time in a row" in str(caught.value)


async def test_a_program_that_hangs_is_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = rater(tmp_path, "import threading; threading.Event().wait()", patience=0.3)
    unrated = await program(picture())
    assert isinstance(unrated, Rating)
    assert "did not answer in 0.3 s; the picture is unrated" in capsys.readouterr().err


async def test_failures_that_are_not_in_a_row_end_nothing(tmp_path: Path) -> None:
    odd = "import sys\nprint(3 if 'good' in sys.argv[1] else 'x')"
    program = rater(tmp_path, odd)
    for name in ("bad", "bad", "good", "bad", "bad"):
        await program(picture(Path(name)))


PLAN = LearningPlan(
    target_variable="txt2img.steps", sweep_values=[4, 12, 20], bounds=[4, 20], max_pictures=3
)


def test_what_cannot_rate_is_said_before_anything_is_made(tmp_path: Path) -> None:
    assert rater_of(None, None) is None
    for text, said in (
        ("no-such-program --x", "given 'no-such-program', expected a program"),
        ("'", "expected a command line"),
        ("", "given '', expected a program"),
    ):
        with pytest.raises(ConfigError, match="--rater") as caught:
            rater_of(text, PLAN)
        assert said in str(caught.value)
    with pytest.raises(ConfigError, match="--rater: of what"):
        rater_of("true", None)


def test_an_exploration_is_rated_by_a_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scorer.py").write_text(SCORER)
    words = [
        "--backend",
        "fake",
        "--prompt",
        "a",
        "--quiet",
        "--explore",
        "txt2img.cfg_scale=1..12",
    ]
    assert main([*words, "--max-pictures", "6", "--rater", PROGRAM]) == 0
    ratings = sorted(each.rating or 0 for each in read_feedback("runs").ratings.values())
    assert ratings == [1, 2, 3, 4, 5]  # the sixth says 6, which is none


def test_a_rater_that_fails_thrice_ends_the_plan_with_what_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scorer.py").write_text("raise SystemExit('no such model')")
    words = ["--backend", "fake", "--prompt", "a", "--explore", "txt2img.cfg_scale=1..12"]
    assert main([*words, "--rater", PROGRAM]) == 1
    shown = capsys.readouterr()
    assert "what ended the plan: --rater: " in shown.err
    assert "no such model: the third time in a row" in shown.err
    (plan,) = Path("runs").glob("*/plan.json")
    again = f"python -m stablenew.run --resume {plan.parent} --rater '{PROGRAM}'"
    assert f"go on with     {again}\n" in shown.out
    made = len(list(Path("runs").glob("*/run_metadata.json")))
    assert main([*words, "--dry-run"]) == 0
    assert main(["--resume", str(plan.parent), "--dry-run"]) == 0
    new, left = capsys.readouterr().out.split("… and what the ratings")[:2]
    assert "pictures: up to 24, backend calls: about 24" in new  # the seed is drawn anew
    assert f"pictures: up to 24, backend calls: about {24 - made}" in left
    assert main([*words, "--rater", PROGRAM]) == 1
    said = f"is unfinished ({made} of up to 24 steps done); {again}\n"
    assert said in capsys.readouterr().err
    assert not read_feedback(tmp_path / "runs").ratings
