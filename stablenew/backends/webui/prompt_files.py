"""LoRAs and embeddings: what the lists of a server say of them, and what its pictures do.

A tag that names a LoRA which is not there is ignored, and the answer is 200. Names count with their
case. The hash of a file stands in its own metadata, where who trained it put it there; else it is
told only by the pictures that were made with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePath

import msgspec

from stablenew.backends.webui.server import Flavour, names

_DIGITS = 8
"""Of a hash: SD.Next tells eight, the others twelve, lists all 64."""


class _Metadata(msgspec.Struct):
    """What is read of a LoRA's metadata, which may be a hundred thousand letters long."""

    sshs_model_hash: object = None


class Lora(msgspec.Struct):
    """A LoRA as `/sdapi/v1/loras` lists it."""

    name: str
    alias: str | None = None
    path: str | None = None
    metadata: _Metadata | None = None

    @property
    def spellings(self) -> set[str]:
        """The names that are its own, whatever its metadata says: those of its file."""
        path = PurePath((self.path or self.name).replace("\\", "/"))
        return {self.name, path.stem if self.path else self.name}

    @property
    def digits(self) -> str:
        """The beginning of its hash, "" where the list does not tell it."""
        told = self.metadata.sshs_model_hash if self.metadata else None
        return short_hash(told)


LORAS = list[Lora]
"""What `/sdapi/v1/loras` answers."""


def short_hash(told: object) -> str:
    """Return the beginning of a hash, "" where it is none."""
    return told[:_DIGITS].lower() if isinstance(told, str) else ""


def read_loras(listed: object, flavour: Flavour) -> dict[str, str] | None:
    """Return the names that tags may have, each with the beginning of the file's hash.

    None where the server lists none: sd-server lists every file of weights that it finds, and
    takes no tags.
    """
    if not isinstance(listed, list) or flavour is Flavour.SDCPP:
        return None
    loras = [each for each in listed if isinstance(each, Lora)]
    shared = Counter(name for each in loras for name in {*each.spellings, each.alias or ""})
    found: dict[str, str] = {}
    for each in loras:
        folders = _below(each.path) if flavour is Flavour.SDNEXT else ()
        # Two that call themselves `last` are both not to be had by that name.
        alias = [each.alias] if each.alias and shared[each.alias] == 1 else []
        found |= dict.fromkeys([*each.spellings, *alias, *folders], each.digits)
    return found


def lora_names(listed: object, flavour: Flavour) -> tuple[str, ...]:
    """Return what each LoRA is called, once; none where there are other files among them."""
    if not isinstance(listed, list) or flavour is Flavour.SDCPP:
        return ()
    return tuple(dict.fromkeys(each.name for each in listed if isinstance(each, Lora)))


def read_embeddings(data: object) -> tuple[str, ...]:
    """Return the names that `/sdapi/v1/embeddings` lists as loaded."""
    loaded = data.get("loaded") if isinstance(data, Mapping) else None
    return tuple(map(str, loaded)) if isinstance(loaded, Mapping) else names(loaded)


def told_by_picture(pairs: Mapping[str, str]) -> dict[str, str]:
    """Return the hashes of LoRAs and embeddings that an infotext tells, by `lora:film`."""
    told = {f"lora:{name}": known for name, known in _listed(pairs.get("Lora hashes", ""))}
    told |= {f"embedding:{name}": known for name, known in _listed(pairs.get("TI hashes", ""))}
    loaded = pairs.get("LoRA networks", "").split(", ")  # SD.Next's
    hashes = pairs.get("LoRA hashes", "").split(", ")
    if len(loaded) == len(hashes):
        told |= {f"lora:{name}": known for name, known in zip(loaded, hashes, strict=True)}
    return {name: short_hash(known) for name, known in told.items() if short_hash(known)}


def _listed(text: str) -> Iterator[tuple[str, str]]:
    """Yield the pairs of `film: 0123456789ab, grain: 456789abcdef`."""
    for pair in text.split(", "):
        name, colon, known = pair.rpartition(": ")
        if colon:
            yield name, known


def _below(path: str | None) -> Iterator[str]:
    """Yield a file's name without its ending below each of its folders: `people/anna`."""
    parts = PurePath((path or "").replace("\\", "/")).with_suffix("").parts if path else ()
    for start in range(1, len(parts)):
        yield "/".join(parts[start:])
