from __future__ import annotations

from pathlib import Path

import pytest

from stablenew.backends.embedded.model import Model
from stablenew.config.prompt_pack import (
    Prompt,
    find_prompt_pack,
    pick_prompt,
    read_prompt_pack,
)
from stablenew.errors import ConfigError

HEROES = """\
\ufeff<embedding:positives> <embedding:realism>
(masterpiece, best quality) character portrait, natural skin,
young shieldmaiden, cloak clasp
<lora:add-detail-xl:0.7>
neg: <embedding:ac_neg1>
neg: deformed hands, extra digits

# a comment, and a block of its own

second hero
# a comment within
smiling eyes
NEG: blurry
plastic, low quality
"""


def pack(tmp_path: Path, text: str, name: str = "heroes.txt") -> tuple[Prompt, ...]:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_prompt_pack(path)


def test_blocks_comments_and_negatives_are_read_as_people_write_them(tmp_path: Path) -> None:
    first, second = pack(tmp_path, HEROES)
    assert first.positive == (
        "<embedding:positives> <embedding:realism>, (masterpiece, best quality) character"
        " portrait, natural skin, young shieldmaiden, cloak clasp, <lora:add-detail-xl:0.7>"
    )
    assert first.negative == "<embedding:ac_neg1>, deformed hands, extra digits"
    assert (first.pack_id, first.index, second.index) == ("heroes", 1, 2)


def test_the_negative_goes_on_without_its_prefix_until_the_block_ends(tmp_path: Path) -> None:
    second = pack(tmp_path, HEROES)[1]
    assert second.positive == "second hero, smiling eyes"
    assert second.negative == "blurry, plastic, low quality"


def test_a_pack_with_windows_line_ends_and_no_last_newline_is_read(tmp_path: Path) -> None:
    prompts = pack(tmp_path, "one\r\nneg: bad\r\n\r\ntwo")
    assert [(prompt.positive, prompt.negative) for prompt in prompts] == [
        ("one", "bad"),
        ("two", ""),
    ]


def test_international_text_is_kept(tmp_path: Path) -> None:
    (prompt,) = pack(tmp_path, "美丽的日式花园，樱花盛开\nneg: 模糊，低质量")
    assert (prompt.positive, prompt.negative) == ("美丽的日式花园，樱花盛开", "模糊，低质量")


def test_a_tsv_pack_has_a_prompt_a_line(tmp_path: Path) -> None:
    prompts = pack(tmp_path, "a cat\tblurry\n# no\n\na dog\n", "two.tsv")
    assert [(prompt.positive, prompt.negative) for prompt in prompts] == [
        ("a cat", "blurry"),
        ("a dog", ""),
    ]


def test_a_pack_without_blank_lines_and_negatives_has_a_prompt_a_line(tmp_path: Path) -> None:
    prompts = pack(tmp_path, "# mine\na red cat,\na blue dog\r\na green mushroom\n\n")
    assert [prompt.positive for prompt in prompts] == [
        "a red cat",
        "a blue dog",
        "a green mushroom",
    ]
    (one,) = pack(tmp_path, "a red cat\nin the snow\nneg: blurry")
    assert one.positive == "a red cat, in the snow"


def test_a_negative_prompt_is_one_as_the_webui_writes_it(tmp_path: Path) -> None:
    (prompt,) = pack(tmp_path, "1girl, solo\nNegative prompt: lowres,\nbad hands\n")
    assert (prompt.positive, prompt.negative) == ("1girl, solo", "lowres, bad hands")


@pytest.mark.parametrize(("name", "join"), [("p.txt", "\nneg: "), ("p.tsv", "\t")])
def test_only_cr_and_lf_end_a_line(tmp_path: Path, name: str, join: str) -> None:
    odd = "a\u2028red\x0bcat\x85sits\x1cthere"
    first, second = pack(tmp_path, f"{odd}{join}blurry\r\n\r\na dog{join}bad", name)
    assert (first.positive, first.negative) == (odd, "blurry")
    assert (second.positive, second.negative) == ("a dog", "bad")


def test_packs_joined_with_cat_have_no_byte_order_mark(tmp_path: Path) -> None:
    first, second = pack(tmp_path, "\ufeffa red cat\n\n\ufeffa blue dog\nneg: bad\n")
    assert (first.positive, second.positive) == ("a red cat", "a blue dog")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("styles.csv", "name,prompt,negative_prompt\nA,b,c\n", "a .csv file"),
        ("p.YAML", "prompts:\n  - a red cat\n", "a .yaml file"),
        ("p.json", '["a", "b"]', "a .json file"),
        ("picture.png", "a", "a .png file"),
        ("p.txt", "name,prompt,negative_prompt\nA,b,c\n", "CSV"),
        ("p.txt", "prompts:\n  - a red cat\n", "YAML"),
        ("p.txt", '[\n  "a red cat",\n  "a blue dog"\n]\n', "JSON"),
        ("p.txt", '{"prompts": ["a red cat"]}', "JSON"),
        ("p.txt", "a\nSteps: 20, Sampler: Euler a\n", "line 2: settings, 'Steps: 20, Sampler"),
        ("p.txt", '--prompt "a cat" --steps 20\n', "line 1: settings, '--prompt"),
        ("p.tsv", "a\tb\tc\n", "line 1: more than two columns"),
    ],
)
def test_what_is_no_pack_is_refused_by_what_it_is(
    tmp_path: Path, name: str, text: str, expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        pack(tmp_path, text, name)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{tmp_path / name}: {expected}")
    assert "expected a .txt of prompts in blocks" in problem


@pytest.mark.parametrize("text", ["{red|blue} cat", "[cat|dog] [x:y:0.5]", "(a:1.2), <lora:b:1>"])
def test_the_brackets_of_prompts_are_no_other_format(tmp_path: Path, text: str) -> None:
    (prompt,) = pack(tmp_path, text)
    assert prompt.positive == text


def test_prompts_are_counted_from_one(tmp_path: Path) -> None:
    prompts = pack(tmp_path, HEROES)
    assert pick_prompt(prompts, 2).index == 2
    for index in (0, 3, -1):
        with pytest.raises(ConfigError, match="expected 1 to 2"):
            pick_prompt(prompts, index)


@pytest.mark.parametrize("content", [b"", b"\n\n# nothing\n", b"\xff\xfe\x00", b"\x89PNG\0"])
def test_an_empty_or_binary_pack_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"bad\.txt"):
        read_prompt_pack(path)


def test_a_bare_name_is_looked_up_here_and_then_among_the_packages_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = find_prompt_pack("tiny")
    assert own.parent.name == "packs"
    Path("tiny.txt").write_text("mine")
    assert find_prompt_pack("tiny").read_text() == "mine"
    with pytest.raises(ConfigError, match="did you mean tiny"):
        find_prompt_pack("tinny")
    Path("folder").mkdir()
    with pytest.raises(ConfigError, match="folder"):
        find_prompt_pack("folder")


def test_the_packages_own_pack_says_nothing_that_the_model_does_not_know() -> None:
    tokenizer = Model().tokenizer
    for prompt in read_prompt_pack(find_prompt_pack("tiny")):
        assert tokenizer(prompt.positive).ignored == (), prompt
        assert tokenizer(prompt.negative).ignored == (), prompt
