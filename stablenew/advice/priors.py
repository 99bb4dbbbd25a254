"""What is believed before anything is rated: a file that a person can read and overrule."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

import attrs

from stablenew._arguments import shown
from stablenew._convert import frozen_mapping, is_a_number
from stablenew._names import suggestion
from stablenew.errors import ConfigError

PRIORS_FILE = "priors.toml"

_AXES = ("linear", "logarithmic")
_SECONDS = ("grows", "learned")


@attrs.frozen(kw_only=True)
class SettingPrior:
    """How a setting differs from the rest.

    Attributes:
        axis: `linear` or `logarithmic`; None to tell by the range.
        ends_rarely_best: Whether the ends of its range are rarely the best.
        seconds: `grows` where a larger value takes longer, `learned` where records say.
    """

    axis: str | None = None
    ends_rarely_best: bool = True
    seconds: str = "learned"


@attrs.frozen(kw_only=True)
class Prior:
    """The numbers of `priors.toml`, which says what each means.

    Attributes:
        settings: By a setting's name, without its stage.
    """

    middle: float
    middle_spread: float
    noise: float
    noise_factor: float
    prompt: float
    take: float
    taste: float
    together: float
    strength_factor: float
    pairs: float
    pairs_factor: float
    idle_share: float
    idle: float
    idle_factor: float
    smoothness: tuple[float, ...]
    smoothness_shares: tuple[float, ...]
    hump: float
    hump_spread: float
    hump_share: float
    settings: Mapping[str, SettingPrior] = attrs.field(factory=dict, converter=frozen_mapping)

    def of(self, path: str) -> SettingPrior:
        """Return how the setting of a path differs from the rest."""
        return self.settings.get(path.rpartition(".")[2], _LIKE_ALL)


_LIKE_ALL = SettingPrior()

_FIELDS: Mapping[str, Mapping[str, str]] = {
    "person": {n: n for n in ("middle", "middle_spread", "noise", "noise_factor", "prompt", "take",
                              "taste")},
    "settings": {n: n for n in ("together", "strength_factor", "pairs", "pairs_factor",
                                "idle_share", "idle", "idle_factor", "smoothness",
                                "smoothness_shares")},
    "ends": {"lost": "hump", "spread": "hump_spread", "share": "hump_share"},
}  # fmt: skip
"""Of each table of the file: what its words are called here."""

_SHARES = ("hump_share", "idle_share")
_ANY = ("middle", "hump")
"""Numbers that may be 0 or less; all others are a spread or a factor, and above 0."""


def read_priors(path: str | Path | None = None) -> Prior:
    """Return the priors of a file, where it is silent those that come with the program.

    Raises:
        ConfigError: It cannot be read, or something in it is wrong: with every problem.
    """
    own = _packaged()
    return own if path is None else _checked(_read(Path(path)), str(path), own)


@cache
def _packaged() -> Prior:
    text = files("stablenew.advice").joinpath(PRIORS_FILE).read_text("utf-8")
    return _checked(tomllib.loads(text), PRIORS_FILE, None)


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"priors: cannot read {str(path)!r} ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"priors: {path}: not TOML: {error}") from error


def _checked(data: Mapping[str, object], where: str, base: Prior | None) -> Prior:
    problems: list[str] = []
    values: dict[str, object] = {} if base is None else attrs.asdict(base, recurse=False)
    for table, content in data.items():
        known = [*_FIELDS, "setting"]
        if table not in known or not isinstance(content, Mapping):
            problems.append(f"{table}: given {shown(content)}, {suggestion(table, known)}")
            continue
        if table == "setting":
            given = {name: _setting(name, each, problems) for name, each in content.items()}
            values["settings"] = {**values.get("settings", {}), **given}  # type: ignore[dict-item]
            continue
        for word, value in content.items():
            if (name := _FIELDS[table].get(word)) is None:
                problems.append(f"{table}.{word}: {suggestion(word, _FIELDS[table])}")
            elif (wrong := _wrong(name, value)) is not None:
                problems.append(f"{table}.{word}: given {shown(value)}, expected {wrong}")
            else:
                values[name] = tuple(value) if isinstance(value, list) else value
    lengths, shares = values.get("smoothness"), values.get("smoothness_shares")
    if not problems and len(lengths) != len(shares):  # type: ignore[arg-type]
        problems.append("settings.smoothness_shares: expected one for each of smoothness")
    if problems:
        raise ConfigError(*(f"priors: {where}: {problem}" for problem in problems))
    return Prior(**values)  # type: ignore[arg-type]


def _wrong(name: str, value: object) -> str | None:
    """Return what a number should be, None where it is right."""
    if name.startswith("smoothness"):
        right = isinstance(value, list) and value and all(_number(v) and v > 0 for v in value)
        return None if right else "a list of numbers above 0"
    if not _number(value):
        return "a number"
    assert isinstance(value, int | float)
    if name in _SHARES:
        return None if 0 <= value <= 1 else "a share from 0 to 1"
    return None if name in _ANY or value > 0 else "a number above 0"


def _number(value: object) -> bool:
    return is_a_number(value) and abs(value) < 1e6


def _setting(name: str, given: object, problems: list[str]) -> SettingPrior:
    words: Mapping[str, tuple[object, ...]] = {
        "axis": _AXES,
        "ends_rarely_best": (True, False),
        "seconds": _SECONDS,
    }
    found = {}
    for word, value in given.items() if isinstance(given, Mapping) else ():
        if word not in words:
            problems.append(f"setting.{name}.{word}: {suggestion(word, words)}")
        elif not any(value is each or (isinstance(value, str) and value == each)
                     for each in words[word]):  # fmt: skip
            right = " or ".join(str(each).lower() for each in words[word])
            problems.append(f"setting.{name}.{word}: given {shown(value)}, expected {right}")
        else:
            found[word] = value
    if not isinstance(given, Mapping):
        problems.append(f"setting.{name}: given {shown(given)}, expected a table")
    return SettingPrior(**found)
