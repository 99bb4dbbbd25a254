"""In which order pictures are rated, and which two are compared: of chance, but always the same."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from stablenew.learning.feedback_reader import read_feedback

Picture = dict[str, Any]

_PAIRS = 500


def to_rate(pictures: Iterable[Picture], *, again: bool) -> list[Picture]:
    """Return what is to be rated; whoever knows the value rates the value, so it tells nothing."""
    asked = [each for each in pictures if not each["blank"] and (again or each["rating"] is None)]
    _chance(asked).shuffle(asked)
    return asked


def to_compare(out: Path, pictures: Sequence[Picture]) -> list[tuple[Picture, Picture]]:
    """Return pairs that share a seed and differ in a value; those compared already are left out.

    Blocks: for a worker thread.
    """
    runs = sorted({each["run_id"] for each in pictures})
    choices = read_feedback(out, run_ids=runs, report=lambda _: None).choices
    compared = {frozenset((choice.winner, choice.loser)) for choice in choices}
    seeds: dict[object, list[Picture]] = {}
    for each in pictures:
        if not each["blank"]:
            seeds.setdefault(each["settings"].get("seed"), []).append(each)
    pairs = [
        pair
        for group in seeds.values()
        for pair in combinations(group, 2)
        if pair[0]["varied"] != pair[1]["varied"]
        and frozenset((_key(pair[0]), _key(pair[1]))) not in compared
    ]
    chance = _chance(pictures)
    chance.shuffle(pairs)
    return [
        pair if chance.random() < 0.5 else (pair[1], pair[0]) for pair in pairs[:_PAIRS]
    ]  # a coin


def _key(picture: Picture) -> tuple[str, str]:
    return picture["run_id"], picture["image_id"]


def _chance(pictures: Sequence[Picture]) -> random.Random:
    return random.Random(pictures[0]["plan_id"] or pictures[0]["run_id"] if pictures else "")
