"""`--variants` and `--wildcards`: what prompts leave open is explored."""

from __future__ import annotations

from pathlib import Path

import pytest

from stablenew.cli.arguments import run_parser
from stablenew.cli.job import Job, drafted_job


def job(*words: str) -> Job:
    return drafted_job(vars(run_parser().parse_args(words)), {})


def prompts(found: Job) -> list[str]:
    assert found.plan is not None
    return [str(choice.overrides["txt2img.prompt"]) for choice in found.plan.axes[-1].choices]


def test_every_variant_is_a_choice_and_they_are_compared() -> None:
    found = job("--prompt", "a {red|blue} {cat|dog}", "--variants", "all")
    assert prompts(found) == ["a red cat", "a red dog", "a blue cat", "a blue dog"]
    assert found.plan is not None
    assert found.plan.conditions == ()


def test_so_many_are_drawn_without_repeats_and_the_same_for_a_seed() -> None:
    words = ("--prompt", "a {red|blue|green} {cat|dog}", "--variants", "4", "--seed", "7")
    first = prompts(job(*words))
    assert len(set(first)) == len(first) == 4
    assert prompts(job(*words)) == first


def test_variants_are_beside_what_else_varies() -> None:
    found = job("--prompt", "a {red|blue} cat", "--variants", "all", "--sweep", "txt2img.steps=4,8")
    assert found.plan is not None
    assert found.plan.sizes == (2, 2)
    assert found.plan.path == "txt2img.steps"


def test_a_wildcard_is_looked_up_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "colours.txt").write_text("red\ngreen\n")
    where = ("--wildcards", str(tmp_path))
    assert prompts(job("--prompt", "a __colours__ cat", "--variants", "all", *where)) == [
        "a red cat",
        "a green cat",
    ]
    (problem,) = job("--prompt", "a __colour__ cat", "--variants", "all", *where).problems
    assert "__colour__: no such wildcard" in problem
    assert "did you mean colours?" in problem


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--prompt", "a cat", "--variants", "all"), "variants: nothing to choose in 'a cat'"),
        (("--prompt", "a {b|c}", "--variants", "x"), "variants: given 'x', expected all or"),
        (("--prompt", "a {b|c}", "--variants", "0"), "variants: given '0', expected all or"),
        (("--prompt", "a {b|c}", "--wildcards", "w"), "wildcards: for what?"),
        (
            ("--prompt", "a {b|c}", "--variants", "all", "--explore", "txt2img.steps=4..9"),
            "variants: given with an exploration of numbers",
        ),
    ],
)
def test_what_is_wrong_is_one_line(words: tuple[str, ...], problem: str) -> None:
    (found,) = job(*words).problems
    assert problem in found


def test_what_a_server_gets_as_it_is_written_is_said_before() -> None:
    url = ("--url", "http://127.0.0.1:7860")
    (note,) = job("--prompt", "a {red|blue} cat", *url).notes
    assert note.startswith("{red|blue} is sent as it is written; --variants")
    assert job("--prompt", "a {red|blue} cat", "--variants", "all", *url).notes == ()
    assert job("--prompt", "a red cat", *url).notes == ()
