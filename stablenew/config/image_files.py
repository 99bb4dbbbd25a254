"""Which pictures are meant by what a person types: files, folders, globs. Looks at names alone."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from stablenew._names import checked_path
from stablenew.errors import ConfigError

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff")
"""What the pictures of a folder are called."""

_GLOB = re.compile(r"[*?\[]")
_NUMBER = re.compile(r"(\d+)")


def image_path(given: object) -> str | None:
    """Return where a picture is, from the root, wherever the program goes (an attrs converter).

    Raises:
        ConfigError: It is no path.
    """
    if given is None:
        return None
    path = checked_path("image", given)
    return str(path) if path.is_absolute() else _from_root(_of_home(path))


def is_glob(text: str) -> bool:
    """Return whether a text may be a pattern that names match."""
    return _GLOB.search(text) is not None


def pictures_in(folder: Path) -> list[str]:
    """Return the pictures in a folder that are not hidden, from the root, as people count.

    Raises:
        OSError: It cannot be read.
    """
    return _ordered(each for each in folder.iterdir() if not each.name.startswith("."))


def find_images(texts: Iterable[str], folders: Sequence[Path] = (Path(),)) -> tuple[str, ...]:
    """Return the pictures that are meant, each once, from the root.

    What is not there is returned as it was given: whoever looks at it says so, with all the rest.

    Args:
        texts: Files; folders, for the pictures in them that are not hidden; globs, `**` included.
            Those of a folder or a glob come as people count: 2 before 10.
        folders: Where all of these are looked for; the first that has some counts.

    Raises:
        ConfigError: One of them is no path.
    """
    return tuple(dict.fromkeys(each for text in texts for each in _find(text, folders)))


def short_names(paths: Sequence[str]) -> list[str]:
    """Return what to call each of some files: its name, with the folders that tell it apart."""
    names = [Path(path).name for path in paths]
    for count in range(2, 2 + max((len(Path(path).parts) for path in paths), default=0)):
        counted = Counter(names)
        names = [
            name if counted[name] == 1 else "/".join(Path(path).parts[-count:])
            for path, name in zip(paths, names, strict=True)
        ]
    return names


def _find(text: str, folders: Sequence[Path]) -> list[str]:
    named = _of_home(checked_path("image", text))
    for folder in folders:
        path = folder / named
        with suppress(OSError):  # a name too long, a folder that is nobody's: said by who looks
            if path.is_dir() and (found := pictures_in(path)):
                return found
            if path.exists():
                return [_from_root(path)]
            if is_glob(text) and (found := _matched(path)):
                return found
    return [_from_root(folders[-1] / named)]


def _of_home(path: Path) -> Path:
    """Return a path with `~` in full."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ConfigError(f"image: given {str(path)!r}: {error}") from error


def _matched(pattern: Path) -> list[str]:
    found = glob.iglob(str(pattern), recursive=True)  # noqa: PTH207  # which takes no root
    return _ordered(map(Path, found))


def _ordered(paths: Iterable[Path]) -> list[str]:
    """Return the pictures among some paths, as people count."""
    pictures = [each for each in paths if each.suffix.lower() in ENDINGS and each.is_file()]
    return [_from_root(each) for each in sorted(pictures, key=_as_people_count)]


def _from_root(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100  # a link stays the link that it is


def _as_people_count(path: Path) -> list[tuple[int, str]]:
    parts = _NUMBER.split(str(path).lower())
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]
