"""Where the joint model's chains are, kept in a file beside the records: a fit needs no new start.

The file is derived: it can be deleted at any time, and whatever is wrong with it (torn, foreign, of
another version, of other settings) it counts as missing; so does a folder that cannot be written.
The same judgements give the same draws again: it keeps where the chains were before the last fit,
too. Of two that write at once the later one wins. Blocks, for a worker thread.
"""

from __future__ import annotations

import hashlib
import logging
import zlib
from collections.abc import Hashable, Mapping
from pathlib import Path

import attrs
import msgspec
import numpy as np
from numpy.typing import NDArray

from stablenew._convert import json_line
from stablenew.advice.joint_model import Draws, JointModel, restore, state
from stablenew.errors import ConfigError
from stablenew.storage.files import write_whole
from stablenew.storage.record_reader import NOT_JSON

Array = NDArray[np.float64]

CHAINS_FILE = ".chains.json"
"""Of ratings and choices; each subscore has one of its own."""

_MOST_BYTES = 1 << 26

_log = logging.getLogger(__name__)


@attrs.frozen(eq=False)
class Fitted:
    """What a fit says.

    Attributes:
        draws: Of the quality.
        matters: The probability that each setting matters.
    """

    draws: Draws
    matters: Array


def chains_file(base_dir: str | Path, plan_id: str | None, subscore: str | None) -> Path:
    """Return where the chains are kept of all that was rated under a folder, or of one plan."""
    name = CHAINS_FILE if subscore is None else f".chains.{subscore}.json"
    return Path(base_dir, plan_id or "", name)


def fit_kept(
    path: Path | None, model: JointModel, *, asked: Mapping[Hashable, float] | None = None
) -> Fitted:
    """Fit a model that was just made, from where its chains were left, and leave them there.

    Args:
        path: The file, missing at first; None to keep nothing.
        model: It was told everything, and never fitted.
        asked: How much each prompt counts in what is asked for; all the same if not given.
    """
    if path is None:
        return Fitted(model.fit(asked=asked), model.matters())
    kept = _read(path)
    told = _digest(model, asked)
    known = kept.get("matters") if kept.get("told") == told else None
    matters = _shares(known, len(model.axes))
    try:
        restore(model, _table(kept.get("state" if matters is None else "begun")))
    except ConfigError:
        matters = None  # of another version or other settings
    draws = model.fit(asked=asked)
    if matters is not None:
        return Fitted(draws, matters)
    found = model.matters()
    _write(
        path,
        {
            "told": told,
            "matters": found.tolist(),
            "begun": state(model, begun=True),
            "state": state(model),
        },
    )
    return Fitted(draws, found)


def _digest(model: JointModel, asked: Mapping[Hashable, float] | None) -> str:
    """Return what tells two bodies of evidence, or priors, apart."""
    rows = model.judgements
    digest = hashlib.sha256(repr((model.axes, model.prior, rows.columns.shape)).encode())
    for each in (rows.columns, rows.low, rows.high, rows.scale, rows.prompts, rows.takes):
        digest.update(np.ascontiguousarray(each).data)
    shares = [None if asked is None else asked.get(each) for each in rows.names]
    digest.update(repr(shares).encode())
    return digest.hexdigest()


def _shares(data: object, count: int) -> Array | None:
    if not isinstance(data, list) or len(data) != count:
        return None
    if not all(isinstance(each, int | float) and 0 <= each <= 1 for each in data):
        return None
    return np.array(data, dtype=np.float64)


def _table(data: object) -> Mapping[str, object]:
    return data if isinstance(data, Mapping) else {}


def _read(path: Path) -> Mapping[str, object]:
    """Return what is kept, nothing where that cannot be read or is not what was written."""
    try:
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return {}
        checksum, _, body = path.read_bytes().partition(b" ")
        if checksum != b"%08x" % zlib.crc32(body):
            return {}
        return _table(msgspec.json.decode(body))
    except (OSError, *NOT_JSON):
        return {}


def _write(path: Path, data: Mapping[str, object]) -> None:
    body = json_line(data)
    if not path.parent.is_dir():  # somebody removed the plan: its folder is not made again
        return
    try:
        write_whole(path, b"%08x " % zlib.crc32(body) + body)
    except OSError as error:
        _log.debug("chains are not kept: %s: %s", path, error.strerror)
