"""What a stage is given beyond the settings that have a name here: sent to the server as it is.

Kept flat, by dotted paths, so that it is overridden, swept, fingerprinted and recorded as all other
settings are: `alwayson_scripts.ControlNet.args.0.weight`. A number counts from 0 in a list; a name
with a dot in it, or one that is a number, is in double quotes: `alwayson_scripts."Tiled v1.2"`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from stablenew._arguments import is_text, shown
from stablenew._convert import as_python
from stablenew.errors import ConfigError

Scalar = str | int | float | bool | None

EXTRA = "extra"
"""What the paths of such settings begin with, after their stage's name."""

_MARK = f"{EXTRA}."

_PART = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')

_PLACE = re.compile(r"\d{1,6}", re.ASCII)
"""A place in a list."""

_ADETAILER = ["alwayson_scripts", "adetailer"]

_DEEPEST = 64
"""Levels of tables and lists that are looked into."""

_OUR_OWN = {
    **dict.fromkeys(
        ("batch_size", "n_iter"),
        "one picture is asked for at a time; expected --images-per-step",
    ),
    **dict.fromkeys(
        (
            *("send_images", "save_images", "do_not_save_samples", "do_not_save_grid"),
            *("override_settings_restore_afterwards", "force_task_id", "show_extras_results"),
            *("init_images", "include_init_images", "image", "infotext"),
        ),
        "cannot be given: it is what StableNew itself says to the server",
    ),
}
"""Fields that are set for every request, and what to say of them."""

SAME_AS = {
    "sampler_index": "sampler_name",
    "sd_model_checkpoint": "model",
    "override_settings.sd_model_checkpoint": "model",
    "override_settings.sd_vae": "vae",
    "override_settings.forge_additional_modules": "vae",
    "override_settings.CLIP_stop_at_last_layers": "clip_skip",
    "override_settings.randn_source": "randn_source",
}
"""What is another way to give a setting that has a name here."""


def is_extra(name: str) -> bool:
    """Return whether a setting has no name here, but a path."""
    return name.startswith(_MARK)


def extra_of(settings: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return what settings have under `extra`, by its paths."""
    return {name.removeprefix(_MARK): value for name, value in settings.items() if is_extra(name)}


def style_names(text: str) -> list[str]:
    """Return the names in `styles`, which commas separate."""
    return [name.strip() for name in text.split(",") if name.strip()]


def joined(*parts: str | int) -> str:
    """Return the path that goes through names and places."""
    return ".".join(map(_quoted, parts))


def parent(path: str) -> str:
    """Return the first two parts of a path: the option, the script."""
    return joined(*parts_of(path)[:2])


def extra_settings(given: object) -> Mapping[str, Scalar] | None:
    """Return tables, lists and values as values by their paths; None for none (an attrs converter).

    Raises:
        ConfigError: With everything that cannot be sent.
    """
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise ConfigError(f"{EXTRA}: given {shown(given)}, expected a table of names and values")
    problems: list[str] = []
    found: dict[str, Scalar] = {}
    for path, value in _leaves(given, ()):
        try:
            found[extra_path(path)] = extra_value(f"{EXTRA}.{path}", value)
        except ConfigError as error:
            problems += error.problems
    problems += clashes(found)
    if problems:
        raise ConfigError(*problems)
    return MappingProxyType(found) if found else None


def extra_path(text: str) -> str:
    """Return a path as it is kept.

    Raises:
        ConfigError: It is none, or what is there is set by StableNew itself.
    """
    return joined(*parts_of(text))


def extra_value(path: str, value: object) -> Scalar:
    """Return a value that can be sent.

    Raises:
        ConfigError: It is none.
    """
    value = as_python(value)
    if isinstance(value, str | int | float):
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{path}: given {value!r}, expected a finite number")
        if isinstance(value, str) and not is_text(value):
            raise ConfigError(f"{path}: given {shown(value)}, expected valid Unicode text")
        return value
    raise ConfigError(f"{path}: given {shown(value)}, expected text, a number, or true or false")


def parts_of(path: str) -> tuple[str | int, ...]:
    """Return the names and places that a path goes through.

    Raises:
        ConfigError: It is no path.
    """
    parts: list[str | int] = []
    place = 0
    while True:
        part = _PART.match(path, place)
        end = part.end() if part else place
        if part is None or path[end : end + 1] not in ("", "."):
            example = f"{EXTRA}.override_settings.eta_noise_seed_delta"
            raise ConfigError(f"{EXTRA}.{path}: no path, expected names with dots: {example}")
        quoted, bare = part.groups()
        if quoted is not None:
            parts.append(quoted.replace('""', '"'))
        else:
            parts.append(int(bare) if _PLACE.fullmatch(bare) else bare)
        if end == len(path):
            return tuple(parts)
        place = end + 1


def clashes(paths: Mapping[str, object]) -> Iterator[str]:
    """Yield a line for each path that has a value, and others below it."""
    every = set(paths)
    for path in paths:
        parts = parts_of(path)
        for count in range(1, len(parts)):
            above = joined(*parts[:count])
            if above in every:
                yield f"{EXTRA}.{above}: has a value, and {EXTRA}.{path} below it"


def refusal(stage: str, path: str, named: Sequence[str]) -> str | None:
    """Return why something is not to be given this way; None where it may.

    Args:
        stage: One of the stages.
        path: Without `extra`.
        named: The settings that the stage has.
    """
    parts = parts_of(path)
    top = str(parts[0])
    if path in named:
        return f"is a setting of its own, expected {stage}.{path}"
    if top in named:
        return f"{top} is a setting of its own, expected {stage}.{top}"
    for other, name in SAME_AS.items():
        if name in named and (path == other or path.startswith(f"{other}.")):
            return _same(stage, name)
    if stage == "adetailer" and [str(part).lower() for part in parts[:2]] == _ADETAILER:
        return _of_adetailer(parts, named)
    if top == "size" or (top in ("width", "height") and stage in ("adetailer", "upscale")):
        return "cannot be given: the size is that of the picture, or follows from other settings"
    return _OUR_OWN.get(top)


def _same(stage: str, name: str) -> str:
    return f"has a setting of its own, expected {stage}.{name}"


def _of_adetailer(parts: Sequence[str | int], named: Sequence[str]) -> str | None:
    """Return why an argument of ADetailer is refused: its first tab is the stage's settings."""
    match parts:
        case [_, "ADetailer", "args", 2, str(name)]:
            return _same("adetailer", name) if name in named else None
        case [_, "ADetailer", "args", int(tab), str(_)] if tab > 2:
            return None
    return "expected a setting of a tab: alwayson_scripts.ADetailer.args.2.NAME is one of the first"


def placed(body: dict[str, object], settings: Mapping[str, Scalar]) -> None:
    """Put values where their paths say, in a request that is there already.

    Raises:
        ConfigError: A place in a list is left out.
    """
    for path, value in sorted(settings.items(), key=lambda each: _in_order(each[0])):
        parts = parts_of(path)
        inner: object = body
        for part, following in zip(parts, (*parts[1:], None), strict=True):
            new: object = value if following is None else [] if isinstance(following, int) else {}
            inner = _stepped(inner, part, new, path, end=following is None)


def _stepped(inner: object, part: str | int, new: object, path: str, *, end: bool) -> object:
    """Go one level down, and make it where there is none."""
    if isinstance(inner, list):
        if not isinstance(part, int) or part > len(inner):
            raise ConfigError(
                f"{EXTRA}.{path}: expected {EXTRA} for the place {len(inner)} as well"
            )
        if part == len(inner):
            inner.append(new)
        elif end:
            inner[part] = new
        return inner[part]
    assert isinstance(inner, dict)
    if end or not isinstance(inner.get(str(part)), dict | list):
        inner[str(part)] = new
    return inner[str(part)]


def missing_places(settings: Mapping[str, object]) -> Iterator[str]:
    """Yield a line for each list in which a place is left out."""
    lists: dict[tuple[str | int, ...], dict[int, str]] = {}
    for path in settings:
        parts = parts_of(path)
        for count, part in enumerate(parts):
            if isinstance(part, int) and count:
                lists.setdefault(parts[:count], {}).setdefault(part, path)
    for above, places in lists.items():
        if above == ("alwayson_scripts", "ADetailer", "args"):
            continue  # whose first ones are there
        left_out = next((n for n in range(max(places)) if n not in places), None)
        if left_out is not None:
            missing = joined(*above, left_out)
            yield f"{EXTRA}.{places[max(places)]}: given, but not {EXTRA}.{missing} before it"


def _in_order(path: str) -> tuple[tuple[bool, int, str], ...]:
    return tuple(
        (isinstance(part, int), part if isinstance(part, int) else 0, str(part))
        for part in parts_of(path)
    )


def _quoted(part: str | int) -> str:
    if isinstance(part, int):
        return str(part)
    if _PLACE.fullmatch(part) or "." in part or '"' in part:
        return '"' + part.replace('"', '""') + '"'
    return part


def _leaves(given: object, above: tuple[str, ...]) -> Iterator[tuple[str, object]]:
    """Yield every value with its path; an empty table or list as itself, which is no value."""
    given = as_python(given)
    if len(above) > _DEEPEST:
        yield ".".join(above), given
    elif isinstance(given, Mapping) and (given or not above):
        for name, value in given.items():
            # A name at the top may be a path already, and `args.0.weight = 1` is tables in TOML.
            as_it_is = not above or _PLACE.fullmatch(str(name))
            whole = str(name) if as_it_is else _quoted(str(name))
            yield from _leaves(value, (*above, whole))
    elif isinstance(given, list | tuple) and given:
        for place, value in enumerate(given):
            yield from _leaves(value, (*above, str(place)))
    else:
        yield ".".join(above), given
