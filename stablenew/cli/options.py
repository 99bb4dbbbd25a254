"""The same words from flags, environment and file, merged: flags beat environment beat file."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping, Sequence

import attrs
from attrs.validators import optional

from stablenew._convert import frozen_mapping, structure
from stablenew._metadata import as_metadata
from stablenew.config.pipeline_config import (
    ADetailerConfig,
    Img2ImgConfig,
    Setting,
    Txt2ImgConfig,
    UpscaleConfig,
    bounded,
)
from stablenew.errors import ConfigError
from stablenew.learning.learning_plan import ORDERS, one_of

PREFIX = "STABLENEW_"

REPLACE_IN = {"prompt": "replace", "negative": "replace_negative", "both": "replace_both"}
"""Where a word is replaced, each with the path that stands for it."""

_BOOLS = {"1": True, "true": True, "yes": True, "on": True}
_BOOLS |= {"0": False, "false": False, "no": False, "off": False}


VARYING = ("sweep", "replace", "presets", "explore")
"""The words that make axes, each as often as is wanted; on the command line also `with`."""


@attrs.frozen
class Varying:
    """One of the words that make axes, as it was given."""

    word: str
    text: str


def _texts(_: object, field: attrs.Attribute[object], value: object) -> None:
    """See that a word is a text, or several (an attrs validator)."""
    if value is not None:
        structure(as_texts(value), tuple[str, ...], field.name)


def as_texts(value: object) -> tuple[str, ...]:
    """Return a word that may be given several times as a tuple; empty where nobody gave it."""
    if value is None or isinstance(value, str):
        return () if value is None else (value,)
    return tuple(value) if isinstance(value, list | tuple) else (value,)  # type: ignore[return-value]


_replace_in = one_of(tuple(REPLACE_IN))


@attrs.frozen(kw_only=True)
class SharedOptions:
    """The words that flags, environment and file share; None where nobody gave them."""

    prompt: object = attrs.field(default=None, validator=_texts)
    negative_prompt: str | None = None
    workflow: str | None = None
    output: str | None = None
    pack: str | None = None
    pack_format: str | None = None
    prompt_index: int | None = attrs.field(default=None, validator=bounded(1, 10**9))
    prompts: object = None
    compare_prompts: bool | None = None
    variants: object = None
    wildcards: str | None = None
    image: object = attrs.field(default=None, validator=_texts)
    seed: int | None = attrs.field(default=None, validator=bounded(-1, 2**63 - 1))
    replace_in: str | None = attrs.field(
        default=None, validator=optional(one_of(tuple(REPLACE_IN)))
    )
    sample: int | None = attrs.field(default=None, validator=bounded(1, 10**9))
    skip: object = None
    order: str | None = attrs.field(default=None, validator=optional(one_of(ORDERS)))
    max_pictures: int | None = attrs.field(default=None, validator=bounded(1, 100_000))
    images_per_step: int | None = attrs.field(default=None, validator=bounded(1, 100_000))
    max_steps: int | None = attrs.field(default=None, validator=bounded(1, 10**9))
    max_time: str | None = None
    learn: bool | None = None
    fresh: bool | None = None
    experiment_name: str | None = None
    backend: str | None = None
    url: object = attrs.field(default=None, validator=_texts)
    dask: str | None = None
    workers: int | None = attrs.field(default=None, validator=bounded(1, 256))
    mix_servers: bool | None = None
    skip_unreachable: bool | None = None
    auth: str | None = attrs.field(default=None, repr=False)
    wait_for_server: float | None = attrs.field(default=None, validator=bounded(0, 1e9))
    stall_timeout: float | None = attrs.field(default=None, validator=bounded(0.001, 1e9))
    out: str | None = None
    step_timeout: float | None = attrs.field(default=None, validator=bounded(0.001, 1e9))

    @property
    def servers(self) -> tuple[str, ...]:
        """The URLs of the servers; empty where nobody gave any."""
        return as_texts(self.url)


@attrs.frozen(kw_only=True)
class RunOptions(SharedOptions):
    """What was given, wherever.

    Attributes:
        varying: The words that make axes, in the order in which they were given.
    """

    varying: tuple[Varying, ...] | None = None


@attrs.frozen(kw_only=True)
class LearningSection:
    """The table `[learning]` of a plan file: the plan's own words, and whether to record."""

    enabled: bool | None = None
    mode: str | None = None
    stage: str | None = None
    target_variable: str | None = None
    sweep_values: object = None
    y_variable: str | None = None
    y_values: object = None
    axes: object = None
    sample: int | None = attrs.field(default=None, validator=bounded(1, 10**9))
    skip: object = None
    order: str | None = attrs.field(default=None, validator=optional(one_of(ORDERS)))
    max_pictures: int | None = attrs.field(default=None, validator=bounded(1, 100_000))
    images_per_step: int | None = attrs.field(default=None, validator=bounded(1, 100_000))
    max_steps: int | None = attrs.field(default=None, validator=bounded(1, 10**9))
    experiment_name: str | None = None
    metadata: Mapping[str, object] = attrs.field(factory=dict, converter=as_metadata)


@attrs.frozen(kw_only=True)
class RunFile(SharedOptions):
    """A whole plan file.

    Attributes:
        inputs: What stands in inputs of its workflow: `{"KSampler.cfg": 7}`.
        urls: Several servers, in place of `url`.
    """

    urls: object = attrs.field(default=None, validator=_texts)
    sweep: object = attrs.field(default=None, validator=_texts)
    replace: object = attrs.field(default=None, validator=_texts)
    presets: object = attrs.field(default=None, validator=_texts)
    explore: object = attrs.field(default=None, validator=_texts)
    txt2img: Txt2ImgConfig = Txt2ImgConfig()
    img2img: Img2ImgConfig = Img2ImgConfig()
    adetailer: ADetailerConfig = ADetailerConfig()
    upscale: UpscaleConfig = UpscaleConfig()
    inputs: Mapping[str, Setting] = attrs.field(factory=dict, converter=frozen_mapping)
    learning: LearningSection = LearningSection()

    @property
    def varying(self) -> tuple[Varying, ...] | None:
        """Its words that make axes; None where it has none."""
        words = (Varying(word, text) for word in VARYING for text in as_texts(getattr(self, word)))
        return tuple(words) or None


def options_from_flags(flags: Mapping[str, object]) -> RunOptions:
    """Read options from parsed flags: text, or None where a flag was not given.

    Raises:
        ConfigError: With every value that does not fit.
    """
    given = {name: flags.get(name) for name in _TYPES}
    given["varying"] = varying_flags(flags) or None
    return _read(given, lambda name: f"--{name.replace('_', '-')}")


def varying_flags(flags: Mapping[str, object]) -> tuple[Varying, ...]:
    """Return the words of parsed flags that make axes, in the order in which they were given."""
    given = flags.get("varying") or ()
    assert isinstance(given, Sequence)
    return tuple(Varying(*each) for each in given)


def options_from_environment(environ: Mapping[str, str]) -> RunOptions:
    """Read options from `STABLENEW_…` variables; an empty one counts as not given.

    Raises:
        ConfigError: With every value that does not fit.
    """
    given: dict[str, object] = {name: environ.get(_variable(name)) or None for name in _TYPES}
    if given["url"]:
        given["url"] = [each for each in str(given["url"]).split(",") if each.strip()]
    words = (Varying(word, environ.get(_variable(word), "")) for word in VARYING)
    given["varying"] = tuple(word for word in words if word.text) or None
    return _read(given, _variable)


def options_from_file(table: Mapping[str, object], path: str) -> RunFile:
    """Read a plan file's content.

    Raises:
        ConfigError: With every problem.
    """
    if not isinstance(table.get("auth", ""), str):  # not to be repeated
        raise ConfigError(f"{path}: auth: expected text, user:password")
    try:
        file = structure(table, RunFile)
        if file.urls is not None and file.url is not None:
            raise ConfigError("url, urls: both are given, expected one of them")
        return file if file.urls is None else attrs.evolve(file, url=file.urls)
    except ConfigError as error:
        raise ConfigError(*(f"{path}: {problem}" for problem in error.problems)) from error


def merged(*sources: RunOptions | RunFile) -> RunOptions:
    """Return the options of several sources, the first that has one wins.

    A cluster's workers say themselves where their servers are: the first source that names a
    cluster or a server decides which of both it is.

    Raises:
        ConfigError: One names both.
    """
    values = {name: _first(getattr(source, name) for source in sources) for name in _TYPES}
    where = (each for each in sources if each.dask or each.url or each.backend)
    if (first := next(where, None)) is not None:
        for name in _OF_A_SERVER:
            if first.dask and getattr(first, name) is not None:
                raise ConfigError(
                    f"dask, {name}: both are given, expected one of them; each worker of a cluster"
                    f" has its own ({_variable(name)} there)"
                )
        values |= dict.fromkeys(_OF_A_SERVER if first.dask else ["dask"])
    return RunOptions(**values)


_OF_A_SERVER = ("url", "backend", "auth")


def _first(values: Iterator[typing.Any]) -> typing.Any:
    return next((value for value in values if value is not None), None)


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _read(given: Mapping[str, object], label: typing.Callable[[str], str]) -> RunOptions:
    problems: list[str] = []
    values: dict[str, object] = {}
    for name, value in given.items():
        if value is None:
            continue
        try:
            if value == "" and name not in _MAY_BE_EMPTY:
                raise ValueError("given '', expected something")
            values[name] = _typed(_TYPES[name], value)
            structure({name: values[name]}, RunOptions)
        except ValueError as error:
            problems.append(f"{label(name)}: {error}")
        except ConfigError as error:
            problems.extend(label(name) + each.removeprefix(name) for each in error.problems)
    if problems:
        raise ConfigError(*problems)
    return structure(values, RunOptions)


def _typed(kind: object, value: object) -> object:
    if not isinstance(value, str) or kind not in (bool, int, float):
        return value
    if kind is bool:
        if value.lower() not in _BOOLS:
            raise ValueError(f"given {value!r}, expected true or false")
        return _BOOLS[value.lower()]
    try:
        return int(value) if kind is int else float(value)
    except ValueError:
        expected = "a whole number" if kind is int else "a number"
        raise ValueError(f"given {value!r}, expected {expected}") from None


def _bare(hint: object) -> object:
    """Return the type that is meant by `X | None`."""
    if isinstance(hint, types.UnionType):
        return next(each for each in typing.get_args(hint) if each is not type(None))
    return hint


_MAY_BE_EMPTY = ("prompt", "negative_prompt")
_TYPES = {name: _bare(hint) for name, hint in typing.get_type_hints(RunOptions).items()}
