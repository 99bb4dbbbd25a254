"""Chains beside the records: a fit goes on where the last one ended; a wrong file is none."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from stablenew.advice.chains import _begun
from stablenew.advice.joint_model import JointModel
from stablenew.advice.judgements import Rated
from stablenew.advice.kept_chains import Fitted, chains_file, fit_kept
from tests.advice.people import AXES, CFG, SAMPLER, STEPS, some_choices, some_ratings

RATINGS = some_ratings(24)


def model_of(ratings: list[Rated], axes: object = AXES) -> JointModel:
    model = JointModel(axes)  # type: ignore[arg-type]
    model.tell(ratings)
    return model


def fitted(path: Path | None, ratings: list[Rated] = RATINGS, axes: object = AXES) -> Fitted:
    return fit_kept(path, model_of(ratings, axes))


def same(one: Fitted, other: Fitted) -> bool:
    return bool(
        (one.draws.weights == other.draws.weights).all() and (one.matters == other.matters).all()
    )


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Fitted, bytes]:
    """What a first fit gives, and the file that it leaves."""
    path = chains_file(tmp_path_factory.mktemp("begun"), None, None)
    return fitted(path), path.read_bytes()


def body_of(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_bytes().partition(b" ")[2])
    assert isinstance(found, dict)
    return found


def write(path: Path, data: object) -> None:
    body = json.dumps(data).encode()
    path.write_bytes(b"%08x " % zlib.crc32(body) + body)


def test_the_same_judgements_give_the_same_again_and_write_nothing(tmp_path: Path) -> None:
    path = chains_file(tmp_path, None, None)
    first = fitted(path)
    kept = path.read_bytes()
    assert same(fitted(path), first)
    assert same(fitted(None), first)
    path_now = path.stat().st_ino
    assert same(fitted(path), first)
    assert (path.read_bytes(), path.stat().st_ino) == (kept, path_now)


def test_more_judgements_go_on_where_the_chains_were(tmp_path: Path) -> None:
    path = chains_file(tmp_path, None, None)
    going = model_of(RATINGS)
    fit_kept(path, going)
    more = some_ratings(4, seed=9)
    going.tell(more)
    again = fitted(path, RATINGS + more)
    assert (going.fit().weights == again.draws.weights).all()
    assert (going.matters() == again.matters).all()


def _change(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        data = body_of(path)
        change(data)
        write(path, data)

    return apply


SPOILED: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "torn": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "one bit": lambda path: path.write_bytes(path.read_bytes().replace(b"0.1", b"0.2")),
    "no JSON": lambda path: path.write_bytes(b"%08x {" % zlib.crc32(b"{")),
    "a list": lambda path: write(path, [1, 2]),
    "no state": _change(dict.clear),
    "another version": _change(
        lambda data: [data[name].update(version=0) for name in ("state", "begun")]
    ),
    "no numbers": _change(
        lambda data: [data[name]["chains"].update(weights="x") for name in ("state", "begun")]
    ),
    "too few": _change(
        lambda data: [data[name]["chains"]["logs"].pop() for name in ("state", "begun")]
    ),
    "out of range": _change(
        lambda data: [
            data[name]["chains"].update(length=[[9] * 3] * 12) for name in ("state", "begun")
        ]
    ),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_file_that_is_not_as_it_was_written_counts_as_missing_and_is_made_anew(
    tmp_path: Path, begun: tuple[Fitted, bytes], spoil: Callable[[Path], object]
) -> None:
    path = chains_file(tmp_path, None, None)
    first, kept = begun
    path.write_bytes(kept)
    spoil(path)
    assert same(fitted(path), first)
    assert path.read_bytes() == kept


def test_chains_of_other_settings_or_another_range_count_as_missing(
    tmp_path: Path, begun: tuple[Fitted, bytes]
) -> None:
    path = chains_file(tmp_path, None, None)
    _, kept = begun
    for axes in ((CFG, STEPS), (attrs.evolve(CFG, high=20), STEPS, SAMPLER)):
        path.write_bytes(kept)
        assert same(fitted(path, axes=axes), fitted(None, axes=axes))


def test_a_folder_that_cannot_be_written_is_in_nobodys_way(
    tmp_path: Path, begun: tuple[Fitted, bytes]
) -> None:
    expected, _ = begun
    assert same(fitted(chains_file(tmp_path, "removed", None)), expected)
    assert not list(tmp_path.iterdir())
    taken = chains_file(tmp_path, None, None)
    taken.mkdir()
    assert same(fitted(taken), expected)


def test_much_that_is_new_has_the_chains_settle_again(tmp_path: Path) -> None:
    path = chains_file(tmp_path, None, None)
    fitted(path, RATINGS[:8])
    again = model_of(RATINGS)
    settled = fit_kept(path, again)
    np.testing.assert_array_less(0, np.abs(settled.draws.weights).sum())
    unsettled = model_of(RATINGS[:8])
    fit_kept(None, unsettled)
    unsettled.tell(RATINGS[8:])
    assert (unsettled.fit(settling=0).weights != settled.draws.weights).any()


def test_chains_go_on_from_the_impressions_that_were_left() -> None:
    model = model_of(RATINGS)
    model.tell(choices=some_choices(3))
    model.fit()
    left = model._chains
    assert left is not None
    model.tell(some_ratings(2, seed=5), some_choices(1, seed=5))
    found = _begun(left, model.judgements, model.prior, 12)
    ratings = len(RATINGS)
    assert (found[:, :ratings] == left.impressions[:, :ratings]).all()
    assert (found[:, ratings + 2 : -1] == left.impressions[:, ratings:]).all()
    expected = left.weights @ model.judgements.columns.T  # type: ignore[operator]  # it was fitted
    assert (found[:, ratings : ratings + 2] == expected[:, ratings : ratings + 2]).all()
    fewer = model_of(RATINGS[:9])
    assert _begun(left, fewer.judgements, fewer.prior, 12).shape == (12, 9)
