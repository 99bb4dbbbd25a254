"""What several backends can do together, and whether they differ. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import attrs

from stablenew.backends.base import Capabilities
from stablenew.config.pipeline_config import Setting
from stablenew.errors import ConfigError

T = TypeVar("T")


def any_of(several: Sequence[Capabilities]) -> Capabilities:
    """Return what at least one of some backends can do; what they take by default is the first's.

    Args:
        several: Theirs, at least one.
    """
    first, *others = several
    if not others:
        return first
    seeds = [each.largest_seed for each in several]
    return attrs.evolve(
        first,
        stages=_stages(several),
        samplers=_united(each.samplers for each in several),
        schedulers=_united(each.schedulers for each in several),
        models=_united(each.models for each in several),
        upscalers=_united(each.upscalers for each in several),
        choices=_choices(several),
        aliases=_merged_tables(each.aliases for each in several),
        sizes=_united(each.sizes for each in several),
        largest_seed=None if None in seeds else max(filter(None, seeds), default=0),
        model_hashes=_merged(each.model_hashes for each in several),
        files=_merged_tables(each.files for each in several),
        extra=_extra(several),
        ranges=_ranges(several),
        plain_syntax=tuple(
            word for word in first.plain_syntax if all(word in each.plain_syntax for each in others)
        ),
        workflows=next((each.workflows for each in several if each.workflows), None),
        nodes=tuple(several),
    )


def offer(capabilities: Capabilities) -> Hashable:
    """Return what a backend has, without what it takes by default and what its files are.

    Backends with the same offer can make the same pictures, as far as names tell.
    """
    names = ("samplers", "schedulers", "models", "upscalers", "sizes", "plain_syntax")
    return (
        capabilities.backend,
        capabilities.largest_seed,
        *(frozenset(getattr(capabilities, name)) for name in names),
        *(
            frozenset((name, frozenset(each)) for name, each in table.items())
            for table in (
                capabilities.stages,
                capabilities.choices,
                capabilities.files,
                capabilities.extra,
            )
        ),
        frozenset(capabilities.ranges.items()),
    )


def check_kinds(kinds: Mapping[str, str], *, mix: bool) -> None:
    """See that some backends are of one kind, unless several may be mixed.

    Args:
        kinds: Of each, by its name.
        mix: Whether they may differ.

    Raises:
        ConfigError: They do.
    """
    if len(set(kinds.values())) > 1 and not mix:
        listed = ", ".join(f"{name} is {kind}" for name, kind in kinds.items())
        raise ConfigError(
            f"servers: {listed}: their pictures differ; expected one kind of them, or"
            " --mix-servers (mix_servers=True)"
        )


def differences(told: Mapping[str, Capabilities]) -> Iterator[str]:
    """Yield a line for each way in which the pictures of some backends may differ.

    Args:
        told: What each can do, by its name.
    """
    versions = {name: f"{each.backend} {each.version}".strip() for name, each in told.items()}
    if len(set(versions.values())) > 1:
        yield f"the servers differ: {_listed(versions)}; so may their pictures"
    yield from _gpus(told)
    models = dict.fromkeys(model for each in told.values() for model in each.model_hashes)
    for model in models:
        known = {name: each.model_hashes.get(model) for name, each in told.items()}
        hashes = {name: value for name, value in known.items() if value}
        if len(set(hashes.values())) > 1:
            first = next(iter(hashes.values()))
            others = [name for name, value in hashes.items() if value != first]
            yield (
                f"{model} is another file on {', '.join(others)} ({_listed(hashes)}):"
                " no step that needs it goes there"
            )


def _gpus(told: Mapping[str, Capabilities]) -> Iterator[str]:
    """Yield that some backends draw on several GPUs, where these are called alike.

    One kind tells a name, another how much memory there is: those are not held against each other.
    """
    gpus = {name: each.gpu for name, each in told.items() if each.gpu}
    if len({(told[name].title, gpu) for name, gpu in gpus.items()}) > len(
        {told[name].title for name in gpus}
    ):
        listed = ", ".join(f"{name}: {gpu}" for name, gpu in gpus.items())
        yield (
            f"the servers draw on several GPUs ({listed}): their pictures may differ in their"
            " last bits"
        )


def unlike(capabilities: Capabilities) -> list[Capabilities]:
    """Return those of several backends that differ in what fingerprints are made of.

    Where none does, that is none: what holds for one of them holds for all.
    """
    names = ("backend", "version", "options", "model_hashes", "files", "stages", "aliases")
    found: list[Capabilities] = []
    for node in capabilities.nodes:
        same = (all(getattr(node, n) == getattr(each, n) for n in names) for each in found)
        if not any(same):
            found.append(node)
    return found if len(found) > 1 else []


def _listed(table: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in table.items())


def _united(lists: Iterable[tuple[T, ...]]) -> tuple[T, ...]:
    """Return all that is in some lists; nothing where one of them is empty, and takes any."""
    every = list(lists)
    return tuple(dict.fromkeys(x for each in every for x in each)) if all(every) else ()


def _merged(tables: Iterable[Mapping[str, T]]) -> dict[str, T]:
    """Return the entries of some tables; of those with the same name, the first."""
    merged: dict[str, T] = {}
    for table in tables:
        merged = {**table, **merged}
    return merged


def _merged_tables(tables: Iterable[Mapping[str, Mapping[str, T]]]) -> dict[str, Mapping[str, T]]:
    every = list(tables)
    names = dict.fromkeys(name for each in every for name in each)
    return {name: _merged(each.get(name, {}) for each in every) for name in names}


def _stages(several: Sequence[Capabilities]) -> dict[str, Mapping[str, Setting]]:
    order = max((each.stages for each in several), key=len)
    names = dict.fromkeys((*order, *(name for each in several for name in each.stages)))
    merged = _merged_tables(each.stages for each in several)
    return {name: merged[name] for name in names}


def _choices(several: Sequence[Capabilities]) -> dict[str, tuple[str, ...]]:
    names = dict.fromkeys(name for each in several for name in each.choices)
    return {name: _united(each.choices.get(name, ()) for each in several) for name in names}


def _extra(several: Sequence[Capabilities]) -> dict[str, tuple[str, ...]]:
    names = dict.fromkeys(name for each in several for name in each.extra)
    starts = {n: (x for each in several for x in each.extra.get(n, ())) for n in names}
    return {name: tuple(dict.fromkeys(each)) for name, each in starts.items()}


def _ranges(several: Sequence[Capabilities]) -> dict[str, tuple[float, float]]:
    """Return the widest ranges; none where a backend takes as much as any."""
    ranges: dict[str, tuple[float, float]] = {}
    for name in several[0].ranges:
        every = [each.ranges[name] for each in several if name in each.ranges]
        if len(every) == len(several):
            ranges[name] = min(low for low, _ in every), max(high for _, high in every)
    return ranges
