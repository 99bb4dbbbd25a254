from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablenew.config.prompt import Prompt
from stablenew.config.variants import MOST_VARIANTS, Variants, unexpanded, variants_of
from stablenew.config.wildcards import read_wildcards
from stablenew.errors import ConfigError


def variants(text: str, negative: str = "", folder: Path | None = None) -> Variants:
    prompt = Prompt(positive=text, negative=negative)
    return variants_of(prompt, read_wildcards(folder) if folder else None)


def texts(text: str, folder: Path | None = None) -> list[str]:
    found = variants(text, folder=folder)
    every = [each.positive for each in found.all()]
    assert found.count >= len(every)
    return every


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "colours").mkdir()
    (tmp_path / "colours" / "warm.txt").write_text("# not blue\nred\n\n3::orange\n")
    (tmp_path / "colours" / "cold.txt").write_text(
        "blue\n__colours/warm__ish\n{light|dark} green\n"
    )
    (tmp_path / "self.txt").write_text("red\n__other__\n")
    (tmp_path / "other.txt").write_text("{blue|__self__}\n")
    (tmp_path / "broken.txt").write_text("red\n{blue|green\n")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a cat", ["a cat"]),
        ("a {red|blue} {cat|dog}", ["a red cat", "a red dog", "a blue cat", "a blue dog"]),
        ("{2$$a|b|c}", ["a,b", "a,c", "b,a", "b,c", "c,a", "c,b"]),
        ("{2$$ and $$a|b}", ["a and b", "b and a"]),
        ("{2$$|$$a|b}", ["a|b", "b|a"]),
        ("{1-2$$a|b}", ["a", "b", "a,b", "b,a"]),
        ("{-1$$a|b}", ["a", "b"]),
        ("{2-$$a|b}", ["a,b", "b,a"]),
        ("{0-1$$a|b}", ["", "a", "b"]),
        ("{2-9$$a|b}", ["a,b", "b,a"]),
        ("{3::a|1::b|.5::c}", ["a", "b", "c"]),
        ("{0::a|b}", ["b"]),
        ("{a|{b|{c|d}}}", ["a", "b", "c", "d"]),
        ("{very |}big {a|a}", ["very big a", "big a"]),
        ("{ red | blue }cat", ["red cat", "blue cat"]),
        ("{{masterpiece}}, {a}", ["masterpiece, a"]),
        (r"\{a\|b\} {c\|d|e}", ["{a|b} c|d", "{a|b} e"]),
        ("[a|b] [c:d:0.5] (e:1.2) a|b $5, C#", ["[a|b] [c:d:0.5] (e:1.2) a|b $5, C#"]),
        ("美丽{花|园}", ["美丽花", "美丽园"]),
        ("a\nb {c|d}", ["a\nb c", "a\nb d"]),
    ],
)
def test_choices_are_those_of_dynamicprompts(text: str, expected: list[str]) -> None:
    assert texts(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("__colours/warm__ cat", ["red cat", "orange cat"]),
        (
            "__colours/*__",
            ["blue", "redish", "orangeish", "light green", "dark green", "red", "orange"],
        ),
        ("{2$$__colours/warm__}", ["red,orange", "orange,red"]),
        ("{a|__colours/warm__}", ["a", "red", "orange"]),
        (r"\__colours/warm__ a__b", ["__colours/warm__ a__b"]),
        ("<lora:my__cool__style:0.5>", ["<lora:my__cool__style:0.5>"]),
        ("<lora:__colours/warm__:0.5>", ["<lora:red:0.5>", "<lora:orange:0.5>"]),
    ],
)
def test_wildcards_stand_for_the_values_of_files(
    folder: Path, text: str, expected: list[str]
) -> None:
    assert texts(text, folder) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a {b|c", r"prompt: a { that is never closed, at character 3: '{b|c'; \{ is a {"),
        ("a b}", r"prompt: a } that closes nothing, at character 4: '}'; \} is a }"),
        ("{3$$a|b}", "prompt: given 3 to 3 of 2 options, at character 1"),
        ("{2-1$$a|b}", "prompt: given 2 to 1 of 2 options, at character 1"),
        ("{0::a}", "prompt: every option has the weight 0, at character 1"),
        ("a {~b|c}", "prompt: how to draw is said for all (--variants), at character 3"),
        ("${x={a|b}}", "prompt: variables are not known here, at character 1"),
        ("%{a$$b}", "prompt: wraps are not known here, at character 1"),
        ("__~self__", "prompt: expected a name alone between the __, at character 1"),
        ("__self(a=b)__", "prompt: expected a name alone between the __, at character 1"),
        ("{" * 60 + "a" + "}" * 60, "prompt: nested more than 50 deep, at character 51"),
        ("__warm__", "prompt: __warm__: no such wildcard in "),
        ("__warm__", ", did you mean colours/warm?"),
        ("__colours/wurm__", ", did you mean colours/warm"),
        ("__self__", "a wildcard that has itself among its values: self → other → self"),
        ("__broken__", "prompt: __broken__ '{blue|green': a { that is never closed"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(folder: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        variants(text, folder=folder)
    (problem,) = caught.value.problems
    assert expected in problem


def test_a_wildcard_without_a_folder_asks_for_one() -> None:
    with pytest.raises(ConfigError, match="negative prompt: __bad__: of which folder"):
        variants("a cat", "__bad__")


def test_the_negative_prompt_has_its_choices_as_well() -> None:
    found = variants("{a|b} cat", "{c|d}")
    pairs = [(each.positive, each.negative) for each in found.all()]
    assert pairs == [("a cat", "c"), ("a cat", "d"), ("b cat", "c"), ("b cat", "d")]


def test_too_many_are_counted_and_never_made() -> None:
    found = variants("{a|b|c|d|e|f|g|h|i|j} " * 6)
    assert found.count == 1_000_000
    with pytest.raises(ConfigError, match="variants: 1,000,000 of"):
        found.all()
    with pytest.raises(ConfigError, match=r"variants: 10\^301 and more of"):
        variants("{a|b}" * 1_000 + "").all()
    assert len(variants("{a|b}" * 1_000).drawn(50)) == 50
    assert MOST_VARIANTS == 100_000


def test_what_is_drawn_again_on_the_way_is_no_sign_that_nothing_is_left() -> None:
    found = variants("{a|b|c|d|e|f|g|h|i|j}" * 5 + "{k|l}")
    assert found.count == 2 * MOST_VARIANTS  # so many that the rest is not taken in order
    assert len(found.drawn(25_000)) == 25_000  # some 1,600 draws bring what there is


def test_no_more_than_a_hundred_are_taken_at_once() -> None:
    many = "|".join(map(str, range(150)))
    (drawn,) = variants(f"{{100-$${many}}}").drawn(1)
    assert drawn.positive.count(",") == 99
    with pytest.raises(ConfigError, match="given 101 options at once, expected 100 at the most"):
        variants(f"{{101$${many}}}")


def test_drawn_ones_are_seeded_differ_and_go_on() -> None:
    found = variants("{a|b|c|d|e} {f|g|h|i|j}")
    few, more = found.drawn(5), found.drawn(20)
    assert more[:5] == few
    assert len({each.positive for each in more}) == 20
    assert found.drawn(5) == few
    assert found.drawn(5, seed=1) != few
    assert {each.positive for each in found.drawn(100)} == {*texts("{a|b|c|d|e} {f|g|h|i|j}")}


def test_weights_say_what_is_drawn_first_and_nothing_is_left_out() -> None:
    text = "{999::a|b|c} {0-3$$x|y|z}"
    firsts = Counter(each.positive[0] for each in variants(text).drawn(8))
    assert firsts["a"] >= 7
    assert {each.positive for each in variants(text).drawn(1_000)} == {*texts(text)}
    assert {each.positive for each in variants("{100000::a|b}").drawn(2)} == {"a", "b"}


OPTIONS = st.recursive(
    st.sampled_from(["a", "bc", "", "d e"]),
    lambda inner: st.lists(inner, min_size=1, max_size=3).map(lambda each: f"{{{'|'.join(each)}}}"),
    max_leaves=6,
)


@given(st.lists(OPTIONS, max_size=3).map(" ".join), st.integers(0, 2**32))
def test_what_is_drawn_is_one_of_all(text: str, seed: int) -> None:
    every = texts(text)
    drawn = [each.positive for each in variants(text).drawn(4, seed)]
    assert {*drawn} <= {*every}
    assert len(drawn) == len({*drawn}) == min(4, len(every))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a {red|blue} __animal__ {2$$, $$a} {red|blue}",
            ("{red|blue}", "__animal__", "{2$$, $$a}"),
        ),
        ("{masterpiece}, [a|b], <lora:my__cool__x:1>, snake__case, a | b", ()),
    ],
)
def test_what_nobody_expanded_is_found_as_it_is_written(
    text: str, expected: tuple[str, ...]
) -> None:
    assert unexpanded([text, None, text]) == expected
