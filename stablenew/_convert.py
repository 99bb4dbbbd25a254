"""From plain data to our classes and back: the only home of cattrs.

The converter is strict, for what a person wrote: it takes nothing that it would have to guess
at (5 is no "5", true is no 1, NaN is no number), refuses unknown keys by naming the nearest
right one, and reports every problem at once. Records need no lenient one: whatever older programs
wrote is kept as it came.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TypeGuard, TypeVar

import attrs
import msgspec
from cattrs import Converter, ForbiddenExtraKeysError, IterableValidationNote
from cattrs.errors import AttributeValidationNote, BaseValidationError
from cattrs.gen import make_dict_structure_fn, override

from stablenew._arguments import shown
from stablenew._names import suggestion
from stablenew.errors import ConfigError

T = TypeVar("T")


EMPTY: Mapping[str, object] = MappingProxyType({})


def frozen_mapping(value: Mapping[str, object]) -> Mapping[str, object]:
    """Return a copy of `value` that nobody can change (an attrs converter).

    Raises:
        ConfigError: It is no table.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(f"given {shown(value)}, expected a table of names and values")
    return MappingProxyType(dict(value)) if value else EMPTY  # most have none: a step, a picture


def as_python(value: object) -> object:
    """Return numpy's scalars and arrays, and kinds of text and numbers, as Python's own.

    Everything else is returned as it is: what may come in somewhere is checked there.
    """
    if type(value) in _OWN:
        return value
    if any(each.__module__ == "numpy" for each in type(value).__mro__):  # nothing imports it here
        value = value.tolist()  # type: ignore[attr-defined]
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    return float(value) if isinstance(value, float) else value


_OWN = frozenset({str, int, float, bool, type(None)})


def is_a_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def takes_numpy(_: type, fields: list[attrs.Attribute[object]]) -> list[attrs.Attribute[object]]:
    """Have a class take numpy's numbers where it takes Python's (a field transformer of attrs)."""
    return [each if each.converter else each.evolve(converter=as_python) for each in fields]


def structure(data: object, kind: type[T], path: str = "") -> T:
    """Build a `kind` from plain data, strictly.

    Args:
        data: Mappings, sequences, strings, numbers, booleans and None.
        kind: An attrs class.
        path: Where `data` came from, for messages: `txt2img`.

    Raises:
        ConfigError: With every problem: path, what was given, what would be right.
    """
    try:
        return _strict.structure(data, kind)
    except BaseValidationError as error:
        raise ConfigError(*_problems(error, path)) from None
    except (ConfigError, ValueError, TypeError) as error:
        raise ConfigError(*_problems(error, path)) from None


def structure_field(value: object, kind: type, name: str, path: str = "") -> object:
    """Return the value of one field of a class, checked as `structure` does the whole.

    Args:
        value: Plain data.
        kind: An attrs class, which has such a field.
        name: The field's.
        path: Where the value came from, for messages: `txt2img`.

    Raises:
        ConfigError: With every problem.
    """
    hook, hint = _field_hook(kind, name)
    try:
        return hook(value, hint)
    except (BaseValidationError, ConfigError, ValueError, TypeError) as error:
        raise ConfigError(*_problems(error, joined(path, name))) from None


@cache
def _field_hook(kind: type, name: str) -> tuple[Callable[[object, type], object], type]:
    attrs.resolve_types(kind)
    field = getattr(attrs.fields(kind), name)
    return _checked(field), field.type


def unstructure(value: object) -> object:
    """Return `value` as mappings, lists, strings, numbers, booleans and None."""
    return msgspec.to_builtins(value, enc_hook=_plain, str_keys=True)


def given(value: object) -> object:
    """Return `value` as plain data without what is None: what somebody really set."""
    return _without_none(unstructure(value))


def json_line(value: object) -> bytes:
    """Return `value` as one line of JSON, without the newline; order of keys as declared."""
    try:
        return msgspec.json.encode(value, enc_hook=_plain)
    except UnicodeEncodeError:  # half of a surrogate pair: only an escape can hold it
        return json.dumps(unstructure(value)).encode()


def sorted_json(data: object) -> str:
    """Return plain data as one line of JSON with sorted keys.

    Raises:
        ValueError: There is a NaN or an infinity in it, which JSON does not have.
    """
    try:
        text = json.dumps(data, sort_keys=True, ensure_ascii=False, allow_nan=False)
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: only an escape can hold it
        text = json.dumps(data, sort_keys=True, allow_nan=False)
    return text


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"no plain form for {type(value).__name__}")


def _without_none(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value


def _problems(error: BaseException, path: str) -> Iterator[str]:
    """Yield one line for each leaf of a validation error, with its path."""
    if isinstance(error, ForbiddenExtraKeysError):
        names = [field.name for field in attrs.fields(error.cl)]
        for key in sorted(map(str, error.extra_fields)):
            yield f"{joined(path, key)}: unknown key, {suggestion(key, names)}"
    elif isinstance(error, BaseValidationError):
        noted, bare = error.group_exceptions()  # type: ignore[attr-defined]  # both subclasses have it
        for inner, note in noted:
            yield from _problems(inner, joined(path, _noted(note)))
        for inner in bare:
            yield from _problems(inner, path)
    elif isinstance(error, ConfigError):
        yield from (joined(path, problem) for problem in error.problems)
    else:
        yield f"{path or 'input'}: {error}"


def _noted(note: AttributeValidationNote | IterableValidationNote) -> str:
    return note.name if isinstance(note, AttributeValidationNote) else f"[{note.index}]"


def joined(path: str, name: str) -> str:
    """Return the path of something in what has a path: `txt2img.steps`, `skip[2]`."""
    return f"{path}{name}" if name.startswith("[") or not path else f"{path}.{name}"


def _wrong(value: object, expected: str) -> ValueError:
    return ValueError(f"given {value!r}, expected {expected}")


def _to_str(value: object, _: type) -> str:
    if not isinstance(value, str):
        raise _wrong(value, "text")
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, or a byte that was no text
        raise _wrong(value, "valid Unicode text") from None
    return value


def _to_int(value: object, _: type) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(value, "a whole number")
    return value


def _to_float(value: object, _: type) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(value, "a number")
    if not math.isfinite(value):
        raise _wrong(value, "a finite number")
    return value  # an int stays an int: 7 is shown as 7


def _to_bool(value: object, _: type) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, "true or false")
    return value


def _to_scalar(value: object, _: type) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        raise _wrong(value, "a finite number")
    if value is not None and not isinstance(value, str | int | float):
        raise _wrong(value, "text, a number, true or false")
    return value


def _to_path(value: object, _: type) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise _wrong(value, "a path")
    return Path(value)


def _attrs_hook(kind: type) -> Callable[[object, type], object]:
    """Structure an attrs class field by field, its validators included, collecting all problems."""
    attrs.resolve_types(kind)
    hooks = {field.name: override(struct_hook=_checked(field)) for field in attrs.fields(kind)}
    build: Callable[[dict[str, object], type], object] = make_dict_structure_fn(
        kind,
        _strict,
        **hooks,  # type: ignore[arg-type]  # named as fields are, never as its own options
    )

    def hook(value: object, _: type) -> object:
        if isinstance(value, kind):
            return value
        if not isinstance(value, Mapping):
            raise _wrong(value, "a table of keys and values")
        return build(dict(value), kind)

    return hook


def _checked(field: attrs.Attribute[object]) -> Callable[[object, type], object]:
    """Run a field's own validator with its conversion, so that no problem hides another."""

    def hook(value: object, kind: type[object]) -> object:
        converted = _strict.structure(value, kind)
        if field.validator is not None:
            try:
                field.validator(None, field, converted)
            except ConfigError as error:  # it names its field, and so does the note around it
                raise ValueError(error.problems[0].partition(": ")[2]) from None
        return converted

    return hook


def _taking_numpy(hook: Callable[[object, type], object]) -> Callable[[object, type], object]:
    return lambda value, kind: hook(as_python(value), kind)


_LOOKED_AT_THERE = (
    Mapping[str, object],
    Mapping[str, str | int | float | bool | None] | None,  # a stage's extra settings
)
"""What its class has a converter for."""


def _unchanged(value: object, _: type) -> object:
    return value


_strict = Converter(detailed_validation=True, forbid_extra_keys=True)
for _kind, _hook in ((str, _to_str), (int, _to_int), (float, _to_float), (bool, _to_bool)):
    _strict.register_structure_hook(_kind, _taking_numpy(_hook))
_strict.register_structure_hook(Path, _to_path)
_strict.register_structure_hook_func(lambda kind: kind is object, _unchanged)
_strict.register_structure_hook_func(lambda kind: kind in _LOOKED_AT_THERE, _unchanged)
_strict.register_structure_hook_func(
    lambda kind: kind == str | int | float | bool | None, _taking_numpy(_to_scalar)
)
_strict.register_structure_hook_factory(attrs.has, _attrs_hook)
