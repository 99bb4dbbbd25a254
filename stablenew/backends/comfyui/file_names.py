r"""Names of a server's files: exact for it, with folder and ending, `sd15/film.safetensors`. Pure.

A config says `film`, as on any other server: that is taken where it is one file's alone, and with a
slash of either kind, for on Windows the server's own are backslashes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath


def stem(name: str) -> str:
    """Return a file's name without its folder and ending."""
    return PurePosixPath(_slashed(name)).stem


def spellings(files: Iterable[str]) -> dict[str, str]:
    """Return every spelling in lower case with the file that it stands for, and no other file."""
    listed = list(files)
    shared = Counter(each for name in listed for each in set(_spelled(name)))
    found = {each: name for name in listed for each in _spelled(name) if shared[each] == 1}
    return {**found, **{name.lower(): name for name in listed}}


def _spelled(name: str) -> Iterator[str]:
    path = PurePosixPath(_slashed(name).lower())
    for each in (path, path.with_suffix("")):
        yield str(each)
        yield each.name
        yield str(each).replace("/", "\\")
    yield str(path.with_suffix("")).replace("/", "_")  # AUTOMATIC1111 names it so


def _slashed(name: str) -> str:
    return name.replace("\\", "/")
