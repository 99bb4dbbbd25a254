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
