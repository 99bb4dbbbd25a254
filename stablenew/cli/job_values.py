"""The settings and the config of a job, from all that says something of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stablenew.backends.dask import NOT_INSTALLED
from stablenew.cli.options import RunOptions
from stablenew.cli.problems import Problems
from stablenew.config.overrides import IMAGE, override_all
from stablenew.config.pipeline_config import PipelineConfig, Setting
from stablenew.config.prompt import Prompt
from stablenew.config.settings import WITH_SERVER, Settings
from stablenew.config.sweep import Named, parse_assignment
from stablenew.errors import ConfigError
from stablenew.learning.axis import Axis


def seconds_of(text: str | None) -> float | None:
    """Return how long `1h30m` is.

    Raises:
        ConfigError: It is no time.
    """
    if text is None:
        return None
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", text)
    seconds = 0
    for part in parts.groups() if parts else ():
        seconds = 60 * seconds + int(part or 0)
    if not seconds:
        raise ConfigError(f"--max-time: given {text!r}, expected a time: 90s, 30m, 1h30m")
    return float(seconds)


def settings_of(options: RunOptions, flags: RunOptions) -> Settings:
    """Return what holds for the program; whoever names a server's URL means that server.

    Args:
        options: From all sources.
        flags: From the command line alone.

    Raises:
        ConfigError: They do not go together, or one has no such value.
    """
    if flags.url is not None and options.backend not in (None, *WITH_SERVER):
        raise ConfigError(f"--url: given with the backend {options.backend!r}, which has no server")
    implied = "embedded" if options.workflow is None else "comfyui"
    implied = implied if options.url is None else "server"
    backend = implied if options.backend is None else options.backend
    named = (
        *("auth", "wait_for_server", "step_timeout", "stall_timeout"),
        *("mix_servers", "skip_unreachable"),
    )
    values = {name: getattr(options, name) for name in named}
    given = {name: value for name, value in values.items() if value is not None}
    return Settings(
        out=Path(options.out or ""),
        backend=backend,
        learning_enabled=bool(options.learn),
        reuse=not options.fresh,
        **given,
        **where(options.servers),
    )


LOCAL = "local"
"""The cluster that the command line starts itself."""


def dask_of(options: RunOptions, workflow: object) -> str | None:
    """Return whose workers share a job: a scheduler's address, or `local`; None for no cluster's.

    Args:
        options: From all sources.
        workflow: What the job runs, where that is one.

    Raises:
        ConfigError: Dask is not installed, or could not do it.
    """
    if options.dask is None:
        return None
    if find_spec("distributed") is None:
        raise ConfigError(NOT_INSTALLED)
    if workflow is not None:
        raise ConfigError(
            "dask: given with a workflow, which is read with the nodes of one server; expected"
            " --url for each"
        )
    return options.dask


def workers_of(options: RunOptions, backend: str) -> int | None:
    """Return how many processes share a job; None where this one does it.

    Raises:
        ConfigError: The backend is none that they could run, or a cluster has its own.
    """
    if options.workers is not None and options.dask not in (None, LOCAL):
        raise ConfigError(
            f"--workers: given with the cluster {options.dask!r}, which has its own; expected it"
            f" with --dask {LOCAL}"
        )
    if options.workers is not None and backend != "embedded":
        raise ConfigError(
            f"--workers: given with the backend {backend!r}, expected the embedded one; several"
            " servers are --url for each"
        )
    return options.workers


def where(servers: Sequence[str]) -> dict[str, Any]:
    """Return what settings say of where the servers are; nothing where nobody said it."""
    if len(servers) > 1:
        return {"urls": servers}
    return {"url": servers[0]} if servers else {}


def assignments(texts: object, wrong: Problems, named: Named) -> dict[str, Setting]:
    """Return what `--set` sets, and the problems of those that set nothing to the others."""
    assert isinstance(texts, Sequence)
    values: dict[str, Setting] = {}
    for text in texts:
        try:
            path, value = parse_assignment(text, named)
            values[path] = value
        except ConfigError as error:
            wrong.found += [f"--set {problem}" for problem in error.problems]
    return values


def config_of(
    config: PipelineConfig,
    options: RunOptions,
    prompts: Sequence[Prompt],
    images: Sequence[str],
    assigned: Mapping[str, Setting],
) -> PipelineConfig:
    """Return what to run: a config with what a single prompt has of its own, then the flags.

    Args:
        config: The plan file's, or the workflow's.
        options: From all sources.
        prompts: Those to run; of several each is a choice of an axis, and left out here.
        images: Those to start from, likewise.
        assigned: What `--set` sets, which is above all.

    Raises:
        ConfigError: With every value that does not fit.
    """
    values: dict[str, object] = {
        "txt2img.negative_prompt": options.negative_prompt,
        "txt2img.seed": options.seed,
        IMAGE: images[0] if len(images) == 1 else None,
    }
    own: Mapping[str, Setting] = {}
    if len(prompts) == 1:
        (prompt,) = prompts
        own = prompt.overrides
        values["txt2img.prompt"] = prompt.positive
        values["txt2img.negative_prompt"] = prompt.negative or options.negative_prompt
    given = {path: value for path, value in values.items() if value is not None}
    return override_all(config, {**own, **given, **assigned})


def check_twice(
    flags: RunOptions, assigned: Mapping[str, Setting], prompts: Sequence[Prompt]
) -> None:
    """Refuse a flag and a `--set` that say the same thing differently.

    Raises:
        ConfigError: There are two.
    """
    for name in ("prompt", "negative_prompt", "seed"):
        path = f"txt2img.{name}"
        if getattr(flags, name) is not None and path in assigned:
            flag = name.replace("_", "-")
            raise ConfigError(f"--{flag}, --set {path}: both are given, expected one of them")
    if len(prompts) > 1 and "txt2img.prompt" in assigned:
        raise ConfigError(f"--set txt2img.prompt: given with {len(prompts)} prompts to vary")


def check_varied(assigned: Iterable[str], axes: Sequence[Axis]) -> None:
    """Refuse a `--set` of what an axis of values varies, for which it would do nothing.

    Raises:
        ConfigError: With each.
    """
    varied = {path for axis in axes if axis.name in axis.paths for path in axis.paths}
    twice = [f"--set {path}: given, but an axis varies it" for path in assigned if path in varied]
    if twice:
        raise ConfigError(*(f"{each}; leave one of them out" for each in twice))
