"""What public functions are given, checked where it comes in, with one line for what is wrong."""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from numbers import Integral, Real
from typing import Any, ParamSpec, TypeVar, cast

from stablenew.errors import ConfigError

P = ParamSpec("P")
T = TypeVar("T")

Kinds = type | tuple[type, ...]

FUNCTION = cast("type", Callable)
"""Whatever can be called."""

_IN_WORDS: Mapping[type, str] = {
    str: "text",
    bool: "true or false",
    Integral: "a whole number",  # numpy's are of these two, like Python's own
    Real: "a number",
    Mapping: "a table of names and values",
    list: "a list",
    FUNCTION: "a function",
    type(None): "None",
}

_shown = reprlib.Repr()
_shown.maxstring = _shown.maxother = _shown.maxlong = 80


def shown(given: object) -> str:
    """Return what was given as a short piece of text, whatever it is."""
    try:
        return _shown.repr(given)
    except ValueError:  # a whole number of more digits than Python writes
        return f"a very long {type(given).__name__}"


def is_text(value: object) -> bool:
    """Return whether a value is text; half of a surrogate pair is none."""
    try:
        return isinstance(value, str) and (value.isascii() or bool(value.encode()))
    except UnicodeEncodeError:
        return False


def checked(name: str, given: T, kinds: Kinds) -> T:
    """Return what was given for `name` if it is of one of some kinds; true is no number.

    Raises:
        ConfigError: It is of another kind.
    """
    allowed = kinds if isinstance(kinds, tuple) else (kinds,)
    fits = isinstance(given, allowed) and (not isinstance(given, bool) or bool in allowed)
    if not fits:
        words = " or ".join(_IN_WORDS.get(kind, kind.__name__) for kind in allowed)
        raise ConfigError(f"{name}: given {shown(given)}, expected {words}")
    return given


def checked_list(name: str, given: Iterable[T], kinds: Kinds = object) -> tuple[T, ...]:
    """Return what is in a list, if each of it is of one of some kinds; text is no list.

    Raises:
        ConfigError: It is no list, or something in it is of another kind.
    """
    try:
        if isinstance(given, str | bytes):
            raise TypeError
        every = tuple(given)
    except TypeError:  # no iterable, or one that says so only when it is asked, as numpy's
        raise ConfigError(f"{name}: given {shown(given)}, expected a list") from None
    return tuple(checked(name, each, kinds) for each in every)


def takes(**kinds: Kinds) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Have a function's arguments checked when it is called, by their names.

        @takes(config=PipelineConfig, metadata=(Mapping, NoneType))

    Awaiting is left to the function: of a coroutine function, the check comes with the await.

    Args:
        **kinds: The class, or the classes, of each argument that is checked.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        places = list(inspect.signature(function).parameters)
        wanted = [(places.index(name), name, each) for name, each in kinds.items()]

        def check(args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
            for place, name, each in wanted:
                if place < len(args):
                    checked(name, args[place], each)
                elif name in kwargs:
                    checked(name, kwargs[name], each)

        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                check(args, kwargs)
                return await function(*args, **kwargs)

            return cast("Callable[P, T]", awaited)

        @wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> T:
            check(args, kwargs)
            return function(*args, **kwargs)

        return called

    return decorate
