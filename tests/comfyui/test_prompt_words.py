"""What a prompt means to AUTOMATIC1111 is what its translation means to ComfyUI."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablenew.backends.comfyui.prompt_words import LoraTag, PromptWords, translated
from stablenew.config.prompt_syntax import special_syntax, weighted_parts


def read_by_comfyui(text: str) -> list[tuple[str, float]]:
    """ComfyUI's rules: a weight replaces the outer one, and only round brackets weigh."""
    plain = text.replace("\\)", "\0").replace("\\(", "\1")
    parts = [
        (part.replace("\0", ")").replace("\1", "("), weight) for part, weight in _read(plain, 1.0)
    ]
    return [(part, weight) for part, weight in parts if part]


def _read(text: str, weight: float) -> list[tuple[str, float]]:
    depth, start, found = 0, 0, list[tuple[str, float]]()
    for place, letter in enumerate([*text, ""]):
        if (letter == "(" and depth == 0) or letter == "":
            found.append((text[start:place], weight))
            start = place
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == ")" and depth == 0:
            found += _bracket(text[start + 1 : place], weight * 1.1)
            start = place + 1
    return found


def _bracket(text: str, weight: float) -> list[tuple[str, float]]:
    before, colon, after = text.rpartition(":")
    try:
        return _read(before, float(after)) if colon and before else _read(text, weight)
    except ValueError:
        return _read(text, weight)


def same(one: list[tuple[str, float]], other: list[tuple[str, float]]) -> bool:
    return [text for text, _ in one] == [text for text, _ in other] and all(
        weight == pytest.approx(there) for (_, weight), (_, there) in zip(one, other, strict=True)
    )


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a cat", "a cat"),
        ("a (red) cat", "a (red:1.1) cat"),
        ("a [dull] cat", "a (dull:0.909090909) cat"),
        ("((red:1.2) house:1.5)", "(red:1.8)( house:1.5)"),
        (r"a \(real\) [x\]]", r"a \(real\) (x]:0.909090909)"),
        ("(never closed", "(never closed:1.1)"),
        (r"a\\(b)", r"(a\:1)(b:1.1)"),
        ("time 12:30", "time 12:30"),
        ("", ""),
    ],
)
def test_weights_mean_the_same(prompt: str, expected: str) -> None:
    assert translated(prompt, {}).text == expected


@given(st.text("ab ()[]\\:12.", max_size=30))
def test_whatever_is_written_means_the_same(prompt: str) -> None:
    try:
        parts = weighted_parts(prompt)
    except ValueError:
        with pytest.raises(ValueError):
            translated(prompt, {})
        return
    assert same(read_by_comfyui(translated(prompt, {}).text), parts)


def test_tags_are_cut_out_and_told() -> None:
    words = translated("a cat<lora:film:0.8>, <lora:grain:0.5:0.2> <lyco:x:te=1:unet=0.3>!", {})
    assert words == PromptWords(
        "a cat,  !", (LoraTag("film", 0.8, 0.8), LoraTag("grain", 0.5, 0.2), LoraTag("x", 1, 0.3))
    )


def test_an_argument_that_it_has_not_is_refused() -> None:
    with pytest.raises(ValueError, match="dyn"):
        translated("<lora:film:1:1:dyn=8>", {})


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("ugly, EasyNegative", "ugly, embedding:EasyNegative"),
        ("(easynegative:1.2)!", "(embedding:EasyNegative:1.2)!"),
        ("an embedding:EasyNegative", "an embedding:EasyNegative"),
        ("easynegatives, bad-hands.", "easynegatives, embedding:neg/bad-hands ."),
    ],
)
def test_a_word_that_is_an_embedding_is_named_as_one(prompt: str, expected: str) -> None:
    embeddings = {"easynegative": "EasyNegative", "bad-hands": "neg/bad-hands"}
    assert translated(prompt, embeddings).text == expected


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ("a cat BREAK a dog", "BREAK"),
        ("a cat AND a dog", "AND"),
        ("a [cat:dog:0.5]", "[from:to:when]"),
        ("a [cat:10]", "[from:to:when]"),
        ("a [(cat:1.2)::.5]", "[from:to:when]"),
        ("a [cat|dog]", "[one|other]"),
        ("<hypernet:anime:1> cat", "<hypernet:…>"),
    ],
)
def test_what_has_no_counterpart_is_found(prompt: str, kind: str) -> None:
    assert [each for each, _ in special_syntax(prompt)] == [kind]


@pytest.mark.parametrize(
    "prompt", ["a [cat]", "BREAKFAST and SAND", r"a \[cat:dog:0.5\]", "a|b", "[a (b:1.2)]", "a:0.5"]
)
def test_what_is_weights_or_plain_words_is_not(prompt: str) -> None:
    assert not list(special_syntax(prompt))


def test_the_rules_read_here_are_comfyuis() -> None:
    assert same(read_by_comfyui("((x))"), [("x", 1.21)])
    assert read_by_comfyui("(a (b:2):1.5)") == [("a ", 1.5), ("b", 2.0)]
    assert re.sub(r"\d+", "", str(read_by_comfyui(r"\(x\)"))) == "[('(x)', .)]"
