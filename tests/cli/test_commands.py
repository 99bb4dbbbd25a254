"""`stablenew rate`, `recommend` and `dataset`, as a person types them."""

from __future__ import annotations

import errno
import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import termios
import tomllib
from pathlib import Path

import pytest

from stablenew.cli.progress import LineDisplay
from stablenew.cli.rate_command import Terminal, asker, rate
from stablenew.errors import ConfigError
from stablenew.learning.feedback_reader import Rating, read_feedback
from stablenew.learning.gallery import Shown, open_gallery
from stablenew.learning.learning_execution import RateAnswer
from tests.cli.program import run
from tests.cli.program import run_command as command


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plan of four values and three pictures each, with records."""
    path = tmp_path_factory.mktemp("commands")
    sweep = ("--sweep", "txt2img.cfg_scale=1,4,8,12", "--images-per-step", "3", "--seed", "1")
    done = run("--backend", "fake", "--prompt", "a cat", "--learn", *sweep, cwd=path)
    assert "page" in done.stdout
    return path


def plan_of(folder: Path) -> Path:
    (plan,) = folder.glob("runs/*/plan.json")
    return plan.parent


def test_a_person_rates_picture_after_picture_with_keys(folder: Path) -> None:
    plan = plan_of(folder)
    done = command(folder, "rate", str(plan), keys="4\n2\nu\n3\ns\nx\n5\nq\n")
    assert done.returncode == 0
    assert "ratings: 3, of 12 pictures" in done.stdout
    ratings = [each.rating for each in read_feedback(folder / "runs").ratings.values()]
    assert sorted(rating for rating in ratings if rating) == [3, 4, 5]
    data = (plan / "report_data.js").read_text()
    assert '"ratings":{"' in data
    again = command(folder, "rate", plan.name, keys="q\n")
    assert "1/9" in again.stdout


async def test_values_are_not_shown_before_the_rating_nor_in_their_order(folder: Path) -> None:
    gallery = open_gallery(plan_of(folder))
    assert len(gallery.pictures) == 12
    shown: list[str] = []

    class Blind(Terminal):
        def show(self, pictures: list[Shown]) -> None:
            shown.extend(picture.run_id for picture in pictures)

    await rate(str(plan_of(folder)), again=True, terminal=Blind(key=lambda: "s"))
    assert sorted(shown) == sorted(picture.run_id for picture in gallery.pictures)
    assert shown != sorted(shown)


async def test_a_note_goes_with_the_rating(folder: Path) -> None:
    keys = iter("n5q")
    terminal = Terminal(key=lambda: next(keys), line=lambda _: "odd hands")
    await rate(str(plan_of(folder)), again=True, terminal=terminal)
    assert "odd hands" in {each.notes for each in read_feedback(folder / "runs").ratings.values()}


@pytest.mark.parametrize("looks_fine", [False, True])  # to root, it always does
@pytest.mark.parametrize("pairs", [False, True])
async def test_a_folder_that_cannot_be_written_to_is_said_before_the_first_question(
    folder: Path, monkeypatch: pytest.MonkeyPatch, looks_fine: bool, pairs: bool
) -> None:
    asked: list[str] = []
    terminal = Terminal(key=lambda: asked.append("asked") or "s")  # type: ignore[func-returns-value]

    def read_only(**where: object) -> object:
        hidden = f"{where['dir']}/{where['prefix']}0a1b2c3d"
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), hidden)

    monkeypatch.setattr(os, "access", lambda *_: looks_fine)
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", read_only)
    with pytest.raises(ConfigError) as caught:
        await rate(str(plan_of(folder)), again=True, pairs=pairs, terminal=terminal)
    run = plan_of(folder).with_name(f"{plan_of(folder).name}-00001")
    assert str(caught.value).startswith(f"cannot write to {str(run)!r} (Read-only file system);")
    assert not asked


def test_pairs_are_asked_for_that_share_a_seed(folder: Path) -> None:
    done = command(folder, "rate", str(plan_of(folder)), "--pairs", keys="1\n2\ns\nq\n")
    assert "choices: 2" in done.stdout
    choices = read_feedback(folder / "runs").choices
    assert len(choices) == 2
    assert all(choice.winner[1] == choice.loser[1] for choice in choices)
    assert all(choice.winner[0] != choice.loser[0] for choice in choices)


def test_ratings_of_a_page_are_taken_and_what_is_wrong_is_told(
    folder: Path, tmp_path: Path
) -> None:
    plan = plan_of(folder)
    ratings: list[object] = [
        {"run_id": f"{plan.name}-0000{step}", "image_id": f"txt2img_{picture}", "rating": score}
        for step, score in ((1, 1), (2, 3), (3, 5), (4, 2))
        for picture in (1, 2, 3)
    ]
    wrong = [{"run_id": "nope", "image_id": "x", "rating": 3}, {**ratings[0], "rating": 9}, 5]  # type: ignore[dict-item]
    file = tmp_path / "ratings.json"
    file.write_text(json.dumps({"plan_id": plan.name, "ratings": [*ratings, *wrong]}))
    done = command(folder, "rate", str(plan), "--from", str(file))
    assert done.returncode == 0
    assert "ratings: 12, left out: 3" in done.stdout
    assert "rating 13: given nope/x, which is no picture of this plan" in done.stderr
    assert "rating 14: rating: given 9" in done.stderr


def test_the_recommendation_follows_from_the_ratings(folder: Path, tmp_path: Path) -> None:
    (line,) = command(folder, "recommend", "--json", "--stage", "txt2img").stdout.splitlines()
    advice = json.loads(line)
    assert list(advice)[:6] == ["parameter", "value", "mean", "low", "high", "ratings"]
    assert (advice["parameter"], advice["value"], advice["ratings"]) == ("txt2img.cfg_scale", 8, 12)
    assert advice["enough"] is True
    table = command(folder, "recommend").stdout
    assert "txt2img.cfg_scale" in table
    best = tmp_path / "best.toml"
    assert command(folder, "recommend", "--as-config", str(best)).returncode == 0
    assert tomllib.loads(best.read_text()) == {"txt2img": {"cfg_scale": 8}}
    done = run(str(best), "--backend", "fake", "--prompt", "a", "--dry-run", cwd=tmp_path)
    assert "cfg_scale=8" in done.stdout


def test_what_is_not_carried_is_a_comment_in_the_config(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "runs"
    other.mkdir()
    data = Path(__file__).parents[1] / "learning" / "data" / "older.jsonl"
    (other / "learning_records.jsonl").write_bytes(data.read_bytes())
    done = command(tmp_path, "recommend", "--as-config", "best.toml")
    assert "? 7.0" in done.stdout
    text = (tmp_path / "best.toml").read_text()
    assert "# cfg_scale = 7  #" in text
    assert all(not table for table in tomllib.loads(text).values())


@pytest.mark.parametrize("kind", ["csv", "folder"])
def test_a_dataset_is_exported(folder: Path, tmp_path: Path, kind: str) -> None:
    dest = tmp_path / "out"
    done = command(folder, "dataset", "--to", kind, str(dest))
    assert done.returncode == 0
    assert ": 12, in" in done.stdout
    assert (dest if kind == "csv" else dest / "metadata.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("rate", "runs/nope"), "runs/nope: no such folder"),
        (("rate", "runs"), "no plan and no run, expected a plan's"),
        (("rate", "PLAN", "--from", "nope.json"), "nope.json: No such file"),
        (("recommend", "--stage", "txt2im"), "--stage: given 'txt2im', expected one of"),
        (("recommend", "--out", "nope"), "--out: given 'nope', expected the folder of all runs"),
        (("recommend", "--as-config", "/dev/null/x.toml"), "--as-config: cannot write to"),
        (("dataset", "--to", "parquet", "x"), "--to: given 'parquet', expected one of folder, csv"),
        (("dataset", "x"), "--to: given None"),
        (("recomend",), "given 'recomend', did you mean recommend?"),
        (("rate", "PLAN", "--form", "x"), "unrecognized arguments: --form x"),
    ],
)
def test_wrong_words_get_one_clear_line(folder: Path, words: tuple[str, ...], said: str) -> None:
    given = [str(plan_of(folder)) if word == "PLAN" else word for word in words]
    done = command(folder, *given)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_ratings_file_of_another_plan_is_refused(folder: Path, tmp_path: Path) -> None:
    for content, said in (
        ('{"plan_id": "other", "ratings": []}', "is for the plan 'other'"),
        ("[1]", "no ratings file"),
        ("torn {", "no ratings file"),
    ):
        (tmp_path / "r.json").write_text(content)
        done = command(folder, "rate", str(plan_of(folder)), "--from", str(tmp_path / "r.json"))
        assert (done.returncode, said in done.stderr) == (2, True)


def test_torn_and_foreign_lines_are_told_and_the_rest_is_used(folder: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    whole = (folder / "runs" / "learning_records.jsonl").read_text()
    (runs / "learning_records.jsonl").write_text(f'{{"torn": \n{whole}[]\n')
    done = command(tmp_path, "dataset", "--to", "csv", "t.csv")
    assert done.returncode == 0
    assert "rows: 12" in done.stdout
    assert "learning_records.jsonl:1: no record" in done.stderr
    assert "learning_records.jsonl:6: no record" in done.stderr


def test_pictures_are_drawn_in_a_terminal_and_keys_need_no_enter(folder: Path) -> None:
    main, other = pty.openpty()
    program = "import sys; from stablenew.run import command; sys.exit(command())"
    words = [sys.executable, "-c", program, "rate", str(plan_of(folder)), "--again"]
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    environ.pop("NO_COLOR", None)
    process = subprocess.Popen(
        words, stdin=other, stdout=other, stderr=other, cwd=folder, env=environ
    )
    os.close(other)
    shown, sent = b"", False
    try:
        while piece := os.read(main, 65_536):
            shown += piece
            if b"1/12" in shown and not sent:
                os.write(main, b"4q")
                sent = True
    except OSError:  # the other side has closed
        pass
    os.close(main)
    assert process.wait(20) == 0
    assert "▀".encode() in shown
    assert b"ratings: 1" in shown


async def test_an_exploration_asks_for_one_rating_after_the_other(folder: Path) -> None:
    keys = iter(["x", "4", "s", "q"])
    ask = asker(Terminal(key=lambda: next(keys)))
    pictures = open_gallery(plan_of(folder)).pictures
    four, skipped, enough = [await ask(pictures[n]) for n in range(3)]
    assert (four, enough) == (4, RateAnswer.ENOUGH)
    assert isinstance(skipped, Rating)
    assert skipped.rating is None


async def test_nothing_is_printed_into_an_open_question(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    display = LineDisplay()

    def key() -> str:
        display.tell("step 7 succeeded")
        assert "step 7" not in capsys.readouterr().err
        return "3"

    ask = asker(Terminal(key=key), display.held)
    assert await ask(open_gallery(plan_of(folder)).pictures[0]) == 3
    assert "step 7 succeeded" in capsys.readouterr().err


def test_undo_brings_an_earlier_rating_back(folder: Path) -> None:
    before = dict(read_feedback(folder / "runs").ratings)
    command(folder, "rate", str(plan_of(folder)), "--again", keys="5\nu\nq\n")
    after = read_feedback(folder / "runs").ratings
    assert {key: each.rating for key, each in after.items()} == {
        key: each.rating for key, each in before.items()
    }


def test_a_note_at_the_end_of_the_input_is_no_reason_to_fail(folder: Path) -> None:
    done = command(folder, "rate", str(plan_of(folder)), "--again", keys="n\n")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)


def test_pairs_that_were_told_are_not_asked_again(folder: Path) -> None:
    asked = command(folder, "rate", str(plan_of(folder)), "--pairs", keys="1\nq\n").stdout
    again = command(folder, "rate", str(plan_of(folder)), "--pairs", keys="q\n").stdout
    first = [line for line in asked.splitlines() if line.endswith(".png")][:2]
    assert first != [line for line in again.splitlines() if line.endswith(".png")][:2]


def test_rating_leaves_a_page_that_is_not_done_as_it_is(folder: Path) -> None:
    data = plan_of(folder) / "report_data.js"
    data.write_text(data.read_text().replace('"done":true', '"done":false'))
    command(folder, "rate", str(plan_of(folder)), "--again", keys="4\nq\n")
    assert '"done":false' in data.read_text()
    data.write_text(data.read_text().replace('"done":false', '"done":true'))


def test_ctrl_c_ends_a_rating_at_once_and_leaves_the_terminal_as_it_was(folder: Path) -> None:
    main, other = pty.openpty()
    before = termios.tcgetattr(other)
    program = "import sys; from stablenew.run import command; sys.exit(command())"
    words = [sys.executable, "-c", program, "rate", str(plan_of(folder)), "--again"]
    process = subprocess.Popen(
        words, stdin=other, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder
    )
    assert process.stdout is not None
    while b"1/12" not in process.stdout.read1():  # type: ignore[attr-defined]
        assert process.poll() is None
    while termios.tcgetattr(other) == before:  # until it waits for a key
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert termios.tcgetattr(other) == before
    os.close(main)
    os.close(other)
