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
        (
            ("--prompt", "a {b|c}", "--variants", "1" * 999),
            f"variants: given '{'1' * 39}, expected all or",
        ),
        (("--prompt", "a {b|c", "--variants", "2"), "prompt: a { that is never closed"),
        (("--prompt", "a {b|c}", "--wildcards", "w"), "wildcards: for what?"),
        (
            ("--prompt", "a {b|c}", "--variants", "2", "--wildcards", "w" * 5_000),
            "wildcards: given 'www",
        ),
    ],
)
def test_what_is_wrong_is_one_line(words: tuple[str, ...], problem: str) -> None:
    asked = job(*words)
    (found,) = asked.problems
    assert problem in found
    assert asked.notes == ()


@pytest.mark.parametrize("url", [(), ("--url", "http://127.0.0.1:7860")])
def test_what_a_backend_gets_as_it_is_written_is_said_before(url: tuple[str, ...]) -> None:
    prompt = ("--prompt", "a {red|blue} cat", *url)
    (note,) = job(*prompt).notes
    assert note.startswith(
        "{red|blue}: sent to the backend as written; --variants all, or a number"
    )
    assert job(*prompt, "--variants", "all").notes == ()
    assert job("--prompt", "a red cat", *url).notes == ()


def test_every_prompt_that_runs_is_looked_at_for_what_nobody_chose() -> None:
    words = ("--sweep", 'txt2img.prompt="a {b|c} cat",dog', "--negative-prompt", "__bad__")
    more = ("--set", "img2img.prompt={d|e}", "--set", "adetailer.ad_prompt={f|g}")
    on = ("--set", "img2img.enabled=true")
    (note,) = job("--prompt", "{x|y}", *words, *more, *on).notes
    assert note.startswith("__bad__, {d|e}, {b|c}: sent")
    many = " ".join(f"{{a|{n}}}" for n in range(9))
    (note,) = job("--prompt", many).notes
    assert note.startswith("{a|0}, {a|1}, {a|2}, …: sent")


def test_a_plan_file_has_the_words_and_its_wildcards_beside_it(tmp_path: Path) -> None:
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "colours.txt").write_text("red\ngreen\n")
    path = tmp_path / "plan.toml"
    path.write_text('prompt = "a __colours__ cat"\nvariants = 1\nwildcards = "words"\n')
    (drawn,) = prompts(job(str(path)))
    assert prompts(job(str(path), "--variants", "all")) == ["a red cat", "a green cat"]
    assert drawn in ("a red cat", "a green cat")
    (problem,) = job(str(path), "--wildcards", "words").problems
    assert problem == "wildcards: given 'words', expected a folder of .txt or .yaml"


def test_the_prompts_of_a_pack_are_varied_each_with_what_is_its_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(
        '["a {red|blue} cat", {"prompt": "a dog", "steps": 9},'
        ' {"prompt": "a {red|green} cat", "negative_prompt": "{x|y}"}]'
    )
    found = job("--pack", str(path), "--prompts", "all", "--variants", "all")
    assert found.plan is not None
    (axis,) = found.plan.axes
    assert [choice.label for choice in axis.choices] == [
        "a red cat",
        "a blue cat",
        "a dog",
        "a red cat (negative: x)",
        "a red cat (negative: y)",
        "a green cat (negative: x)",
        "a green cat (negative: y)",
    ]
    assert axis.choices[2].overrides == {"txt2img.prompt": "a dog", "txt2img.steps": 9}
    assert [choice.tags["prompt_id"] for choice in axis.choices[1:4]] == [
        "mine#1",
        "mine#2",
        "mine#3",
    ]


def test_variants_with_the_same_text_and_other_settings_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('["a {red|blue} cat", {"prompt": "a {red|green} cat", "steps": 9}]')
    found = job("--pack", str(path), "--prompts", "all", "--variants", "all")
    assert found.plan is not None
    (axis,) = found.plan.axes
    assert axis.labels == ("a red cat #1", "a blue cat", "a red cat #3", "a green cat")
    assert axis.choices[2].overrides["txt2img.steps"] == 9


def test_variants_that_turn_out_the_same_are_one_step() -> None:
    words = ("--prompt", "a {red|blue} cat", "--prompt", "a {red|green} cat", "--variants", "all")
    assert prompts(job(*words)) == ["a red cat", "a blue cat", "a green cat"]


def test_an_absurd_count_is_told_and_not_made() -> None:
    absurd = "{a|b|c|d|e|f|g|h|i|j}" * 9
    (problem,) = job("--prompt", absurd, "--variants", "all").problems
    assert problem.startswith("variants: 1,000,000,000 of '{a|b|c")
    assert problem.endswith("expected 100,000 at the most; --variants 20 draws 20")
    assert len(prompts(job("--prompt", absurd, "--variants", "20"))) == 20
    both = ("--prompt", "a {b|c}", "--prompt", "a {d|e}", "--variants", "60000")
    assert len(prompts(job(*both))) == 4  # of a few, no more than there are
    twice = ("--prompt", f"{absurd} x", "--prompt", f"{absurd} y", "--variants", "60000")
    (problem,) = job(*twice).problems
    assert problem.startswith("variants: 120,000 of '{a|b|c")
