"""What determines a picture, as a fingerprint: the same in, the same picture out. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from stablenew._convert import sorted_json
from stablenew.config.pipeline_config import Setting

_VERSION = 1
"""Changes with the way fingerprints are made: those of another way match nothing."""


def fingerprint(
    *,
    backend: str,
    version: str,
    model: str,
    stage: str,
    settings: Mapping[str, Setting],
    source: str = "",
    used: Mapping[str, Setting] = MappingProxyType({}),
) -> str:
    """Return the fingerprint of one picture of a stage, as 64 hexadecimal digits.

    A stage's is that of its pictures, a run's that of its last stage. Neither the order of settings
    nor the spelling of numbers counts (`7` and `7.0` are the same), and a setting that is None is
    none.

    Args:
        backend: Its kind.
        version: Its version, as it says itself.
        model: The model's hash, or its name where nobody knows that.
        stage: One of the stages.
        settings: Everything the picture is made with: defaults filled in, the seed resolved.
        source: The fingerprint of the picture that it starts from, "" for none.
        used: What else it is made with: hashes of files, options of the backend.
    """
    whole: list[object] = [_VERSION, backend, version, model, stage, _plain(settings), source]
    if used:  # else it is what it was before there was such a thing
        whole.append(_plain(used))
    try:
        data = msgspec.json.encode(whole, order="sorted")
    except UnicodeEncodeError:  # half of a surrogate pair, as undecodable arguments have
        data = sorted_json(whole).encode()
    return hashlib.sha256(data).hexdigest()


def _plain(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    return {name: _normal(value) for name, value in settings.items() if value is not None}


def _normal(value: Setting) -> Setting:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
