r"""Names of a server's files: exact for it, with folder and ending, `sd15/film.safetensors`. Pure.

A config says `film`, as on any other server: that is taken where it is one file's alone, and with a
slash of either kind, for on Windows the server's own are backslashes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType

_ENDING = re.compile(r"(?<=[^/])\.[^./]+$")


def stem(name: str) -> str:
    """Return a file's name without its folder and ending."""
    return _ENDING.sub("", _slashed(name).rpartition("/")[2])


@lru_cache(maxsize=16)  # thousands of names, asked for with every picture
def spellings(files: tuple[str, ...]) -> Mapping[str, str]:
    """Return every spelling in lower case with the file that it stands for, and no other file."""
    spelled = {name: set(_spelled(name)) for name in files}
    shared = Counter(each for those in spelled.values() for each in those)
    found = {each: name for name, those in spelled.items() for each in those if shared[each] == 1}
    return MappingProxyType({**found, **{name.lower(): name for name in files}})


def _spelled(name: str) -> Iterator[str]:
    path = _slashed(name).lower()
    bare = _ENDING.sub("", path)
    for each in (path, bare):
        yield each
        yield each.rpartition("/")[2]
        yield each.replace("/", "\\")
    yield bare.replace("/", "_")  # AUTOMATIC1111 names it so


def _slashed(name: str) -> str:
    return name.replace("\\", "/")
