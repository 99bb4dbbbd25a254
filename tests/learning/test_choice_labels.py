"""What is written beside pictures tells them apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablenew.learning.choice_labels import (
    breadth,
    distinct,
    elided,
    in_common,
    labels_apart,
    value_labels,
)

FISHERMAN = "portrait photo of an old fisherman on a boat"


@pytest.mark.parametrize(
    ("values", "labels", "shared"),
    [
        (
            [f"{FISHERMAN} <lora:film:{weight}>" for weight in (0.2, 0.6, 1.0)],
            ["film 0.2", "film 0.6", "film 1.0"],
            f"{FISHERMAN} …",
        ),
        (
            ["a photo of a red car, 4k, detailed", "a photo of a blue car, 4k, detailed"],
            ["…red…", "…blue…"],
            "a photo of a … car, 4k, detailed",
        ),
        (
            [f"{FISHERMAN} <lora:film:{weight}> in the rain" for weight in (0.2, 0.6)],
            ["film 0.2", "film 0.6"],
            f"{FISHERMAN} … in the rain",
        ),
        (
            [f"{FISHERMAN} <lora:film:{weight}>, {weight}" for weight in (0.2, 0.6)],
            ["…film 0.2, 0.2", "…film 0.6, 0.6"],
            f"{FISHERMAN} …",
        ),
        (
            ["checkpoints/xl/one_v9.safetensors", "checkpoints/xl/two.safetensors"],
            ["…one_v9.safetensors", "…two.safetensors"],
            "checkpoints/xl/…",
        ),
        # One is the beginning of the other: its last word stays.
        (
            [FISHERMAN, f"{FISHERMAN} at night"],
            ["…boat", "…boat at night"],
            "portrait photo of an old fisherman on a …",
        ),
        # What they share is too short to be left out.
        (
            ["a dog", "a very old man who sells fish"],
            ["a dog", "a very old man who sells fish"],
            "",
        ),
        ([3, 7.5], ["x 3", "x 7.5"], ""),
        (["Euler a", "DPM++ 2M"], ["x Euler a", "x DPM++ 2M"], ""),
        ([None, "a"], ["x –", "x a"], ""),
        ([FISHERMAN], [FISHERMAN], ""),
        ([], [], ""),
    ],
)
def test_long_values_show_what_sets_them_apart(
    values: list[object], labels: list[str], shared: str
) -> None:
    assert list(value_labels("x", values)) == labels
    assert in_common(values) == shared


@given(st.lists(st.text() | st.integers() | st.booleans() | st.none(), max_size=9))
def test_no_two_labels_are_the_same(values: list[object]) -> None:
    labels = value_labels("cfg_scale", values)
    assert len(labels) == len(set(labels)) == len(values)
    assert all(label == " ".join(label.split()) for label in labels)


@given(
    st.lists(st.sampled_from(["one", "two", "three,", "4"]), min_size=1, max_size=8),
    st.lists(st.lists(st.sampled_from(["red", "blue", "old"]), max_size=4), min_size=2, max_size=4),
)
def test_nothing_that_differs_is_left_out(shared: list[str], middles: list[list[str]]) -> None:
    values = [" ".join([*shared, *middle, *shared]) for middle in middles]
    labels = value_labels("prompt", values)
    for (one, a), (other, b) in zip(zip(values, labels, strict=True),
                                    list(zip(values, labels, strict=True))[1:],
                                    strict=False):  # fmt: skip
        assert one == other or a != b


def test_a_label_that_looks_like_a_numbered_one_is_numbered_as_well() -> None:
    assert labels_apart(["2: a", "a", "a "]) == ("1: 2: a", "2: a", "3: a")


def test_the_end_of_what_is_cut_stays() -> None:
    texts = [f"{word} {'and so on ' * 20}{word}" for word in ("red", "blue")]
    red, blue = labels_apart(texts, 30)
    assert (len(red), len(blue)) <= (30, 30)
    assert (red[:3], red[-3:], blue[:4], blue[-4:]) == ("red", "red", "blue", "blue")


def test_labels_that_come_out_the_same_are_numbered() -> None:
    assert distinct(
        ["猫", "犬", "a"], lambda label: label.replace("猫", "?").replace("犬", "?")
    ) == (*("1: ?", "2: ?", "a"),)


@given(st.text(max_size=60), st.integers(1, 70))
def test_what_is_cut_has_no_more_letters_than_it_may(text: str, letters: int) -> None:
    cut = elided(text, letters)
    assert len(cut) <= max(letters, 1)
    assert cut == text or "…" in cut


def test_wide_letters_count_more() -> None:
    assert breadth("abc") == 3
    assert breadth("猫犬") > 3
