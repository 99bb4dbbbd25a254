"""The cells of a product: all, all but some, a balanced part, and those that have each choice."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablenew.learning import cells as cells_module
from stablenew.learning.cells import (
    KeptCells,
    Skip,
    cell_numbers,
    cells_of_each_choice,
    number_of,
    places_of,
)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4).filter(lambda each: len(each) > 0))
def test_a_cell_has_a_place_and_a_place_a_cell(sizes: list[int]) -> None:
    total = 1
    for size in sizes:
        total *= size
    places = [places_of(number, sizes) for number in range(total)]
    assert len(set(places)) == total
    assert [number_of(each, sizes) for each in places] == list(range(total))


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(1, 60), st.integers(1, 60))
def test_a_larger_sample_begins_with_a_smaller_one(sizes: list[int], one: int, two: int) -> None:
    less, more = sorted((one, two))
    cells = cell_numbers(sizes, sample=more, seed="x")
    total = 1
    for size in sizes:
        total *= size
    assert len(set(cells)) == len(cells) == min(more, total)
    if more < total:
        assert cells[:less] == cell_numbers(sizes, sample=less, seed="x")


def test_a_sample_is_spread_evenly_over_choices_and_pairs() -> None:
    sizes = [3, 4, 5, 2]
    cells = [places_of(number, sizes) for number in cell_numbers(sizes, sample=60, seed="s")]
    for axis, size in enumerate(sizes):
        counted = Counter(places[axis] for places in cells)
        assert len(counted) == size
        assert max(counted.values()) - min(counted.values()) <= 2
    for one, other in combinations(range(len(sizes)), 2):
        pairs = Counter((places[one], places[other]) for places in cells)
        assert len(pairs) == sizes[one] * sizes[other]
        assert max(pairs.values()) - min(pairs.values()) <= 2


def test_a_large_sample_is_even_too_and_takes_few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    greedy = cells_module._Spread._greedy

    def counted_greedy(spread: cells_module._Spread) -> tuple[int, ...]:
        tried.append(1)
        return greedy(spread)

    monkeypatch.setattr(cells_module._Spread, "_greedy", counted_greedy)
    taken = cell_numbers([100, 40], sample=1_500, seed="s")
    counted = Counter(number % 100 for number in taken)
    assert max(counted.values()) - min(counted.values()) <= 2
    assert len(tried) == 1_000 * 12 + 500 * 2


def left(sizes: list[int], skips: list[Skip]) -> list[int]:
    """Return the cells that are not left out, by going through all."""
    every = [places_of(number, sizes) for number in range(math.prod(sizes))]
    return [
        number_of(places, sizes)
        for places in every
        if not any(all(places[axis] in skip[axis] for axis in skip) for skip in skips)
    ]


@st.composite
def products(draw: st.DrawFn) -> tuple[list[int], list[Skip]]:
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    axes = st.sampled_from(range(len(sizes)))
    places = st.frozensets(st.integers(0, 4), min_size=1, max_size=3)
    return sizes, draw(st.lists(st.dictionaries(axes, places, max_size=3), max_size=4))


@given(products())
def test_what_is_kept_is_found_without_going_through_all(
    product: tuple[list[int], list[Skip]],
) -> None:
    sizes, skips = product
    kept = KeptCells(sizes, skips)
    assert list(kept) == left(sizes, skips)
    assert len(kept) == len(left(sizes, skips))
    assert list(kept[1:3]) == left(sizes, skips)[1:3]
    with pytest.raises(IndexError):
        kept[len(kept)]


@given(products(), st.integers(1, 40))
def test_a_sample_has_none_that_is_left_out_and_as_many_as_there_are(
    product: tuple[list[int], list[Skip]], count: int
) -> None:
    sizes, skips = product
    there = left(sizes, skips)
    sample = cell_numbers(sizes, sample=count, skips=skips, seed="s")
    assert len(sample) == len(set(sample)) == min(count, len(there))
    assert set(sample) <= set(there)


@pytest.mark.parametrize("sample", [None, 9])
@pytest.mark.parametrize("skips", [[], [{0: frozenset({0}), 1: frozenset({0})}]])
def test_each_choice_is_in_one_of_few_cells_of_the_plan(
    sample: int | None, skips: list[Skip]
) -> None:
    sizes = [3, 4, 2]
    cells = cell_numbers(sizes, sample=sample, skips=skips, seed="s")
    every = [range(size) for size in sizes]
    found = list(cells_of_each_choice(sizes, every, cells, skips))
    assert set(found) <= set(cells)
    assert len(found) <= sum(sizes)
    for axis, size in enumerate(sizes):
        assert {places_of(number, sizes)[axis] for number in found} == set(range(size))


def test_a_choice_that_is_left_out_everywhere_is_in_none() -> None:
    skips: list[Skip] = [{0: frozenset({1})}]
    cells = cell_numbers([2, 3], skips=skips)
    found = cells_of_each_choice([2, 3], [range(2), range(3)], cells, skips)
    assert {places_of(number, [2, 3])[0] for number in found} == {0}


def test_cells_of_a_product_without_end_are_counted_and_found_at_once() -> None:
    sizes = [1_000] * 6
    kept = KeptCells(sizes, [{0: frozenset({0}), 5: frozenset({0, 1})}, {3: frozenset({7})}])
    assert len(kept) == (10**18 - 2 * 10**12) // 1_000 * 999
    assert places_of(kept[-1], sizes) == (999,) * 6
    assert places_of(kept[0], sizes) == (1, 0, 0, 0, 0, 0)
