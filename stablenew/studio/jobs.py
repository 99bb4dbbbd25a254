"""A job as the page has it: the fields of a plan file, as JSON; and the command line for it."""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from stablenew._convert import json_line, unstructure
from stablenew.cli.arguments import run_parser
from stablenew.cli.job import Job, drafted_job
from stablenew.config.pipeline_config import STAGES
from stablenew.errors import ConfigError
from stablenew.learning.axis_table import table_of
from stablenew.learning.plan_file import StoredPlan
from stablenew.studio.answers import said_errors
from stablenew.studio.servers import Servers
from stablenew.studio.uploads import FOLDER

Table = Mapping[str, Any]
"""A job as plain data."""

REFUSED = {
    "out": "the studio has one folder of runs",
    "auth": "credentials of a server are given with it: api/servers",
    "workers": "a plan of the studio runs in one process; the command line takes --workers",
}
_FILES = ("pack", "image", "workflow", "wildcards")
_LISTS = ("presets", "image")


def read_job(table: Table, out: Path, servers: Servers) -> Job:
    """Read a job; what is wrong is among its problems. Blocks: for a worker thread.

    Raises:
        ConfigError: There is no such job.
    """
    problems = [f"{name}: not taken here; {why}" for name, why in REFUSED.items() if name in table]
    given = with_files({k: v for k, v in with_learning(table).items() if k not in REFUSED}, out)
    with tempfile.TemporaryDirectory(prefix="stablenew-") as folder:
        path = Path(folder) / "job.json"
        path.write_bytes(json_line(given))
        flags = vars(run_parser().parse_args([str(path), "--out", str(out)]))
        try:
            job = drafted_job(flags, {})
        except ConfigError as error:
            lines = [each.removeprefix(f"{path}: ") for each in error.problems]
            raise ConfigError(*problems, *lines) from None
    job, wrong = _on_named_server(job, servers)
    return attrs.evolve(job, problems=(*problems, *wrong, *job.problems))


def read_resumed(
    folder: Path, servers: Servers, *, only_failed: bool, on_this_backend: bool
) -> Job:
    """Read the job that goes on with a plan. Blocks.

    Raises:
        ConfigError: There is no such plan, or its server was not named.
    """
    words = ["--resume", str(folder)]
    words += ["--only-failed"] if only_failed else []
    words += ["--on-this-backend"] if on_this_backend else []
    job, wrong = _on_named_server(drafted_job(vars(run_parser().parse_args(words)), {}), servers)
    if wrong:
        raise ConfigError(*wrong)
    return job


def _on_named_server(job: Job, servers: Servers) -> tuple[Job, list[str]]:
    """Return a job with its server's credentials, and what is wrong with that server."""
    urls = job.settings.urls or ([url] if (url := job.settings.server_url) else [])
    named = [servers.named(url) for url in urls]
    wrong = [
        f"url: given {url!r}, which was not named as a server; add it first"
        for url, server in zip(urls, named, strict=True)
        if server is None
    ]
    auth = next((server.auth for server in named if server is not None and server.auth), None)
    if auth is not None and not job.settings.urls:
        job = attrs.evolve(job, settings=attrs.evolve(job.settings, auth=auth))
    return job, wrong


def server_of(job: Job) -> str:
    """Return the id of the server that a job runs on; "" where there are several."""
    return "" if job.settings.urls else job.settings.server_url or job.settings.backend


def with_learning(table: Table) -> dict[str, Any]:
    """Return a job that records what it makes, unless it says that it does not."""
    section = table.get("learning")
    said = isinstance(section, Mapping) and "enabled" in section
    return dict(table) if "learn" in table or said else {**table, "learn": True}


def with_files(table: Table, out: Path) -> dict[str, Any]:
    """Return a job whose files are those of the folder of runs, and no others.

    Raises:
        ConfigError: One lies elsewhere.
    """
    found: dict[str, Any] = dict(table)
    problems: list[str] = []
    section = table.get("learning")
    axes = section.get("axes") if isinstance(section, Mapping) else None
    if isinstance(axes, list):
        placed = [_axis_in(each, out, problems, n) for n, each in enumerate(axes)]
        found["learning"] = {**section, "axes": placed}  # type: ignore[dict-item]  # a mapping, see above
    for name in (*_FILES, "presets"):
        if name in table:
            found[name] = _placed(table[name], out, name, problems)
    if problems:
        raise ConfigError(*problems)
    return found


def _axis_in(axis: object, out: Path, problems: list[str], number: int) -> object:
    if not isinstance(axis, Mapping):
        return axis
    for name in ("images", *(["values"] if axis.get("path") == "image" else [])):
        if name in axis:
            field = f"learning.axes[{number}].{name}"
            axis = {**axis, name: _placed(axis[name], out, field, problems)}
    return axis


def _placed(given: object, out: Path, field: str, problems: list[str]) -> object:
    if isinstance(given, list):
        return [_placed(each, out, field, problems) for each in given]
    if not isinstance(given, str) or (field == "pack" and given == "tiny"):
        return given
    base = out.resolve()
    try:
        path = (base / given).resolve()
        if field in ("pack", "workflow") and not path.exists():
            path = (base / FOLDER / given).resolve()
        if not given.startswith("-") and path.is_relative_to(base) and path != base:
            return str(path)
    except (OSError, ValueError, RuntimeError):
        pass
    problems.append(f"{field}: given {given[:200]!r}, expected a file of the folder of runs")
    return given


def job_of_plan(stored: StoredPlan) -> dict[str, Any]:
    """Return a plan as a job, to be changed and run again."""
    table: dict[str, Any] = {}
    if stored.url is not None:
        table["url"] = stored.url
    elif stored.backend:
        table["backend"] = stored.backend
    config: Any = unstructure(stored.config.to_dict())
    for stage in STAGES:
        own = {k: v for k, v in config.get(stage, {}).items() if v is not None}
        own = {k: v for k, v in own.items() if (k, v) != ("enabled", stage == "txt2img")}
        if own:
            table[stage] = own
    if isinstance(config.get("image"), str):
        table["image"] = config["image"]
    plan = stored.plan
    axes = [table_of(axis) for axis in plan.axes]
    learning: dict[str, Any] = {"enabled": stored.learning_enabled, "axes": unstructure(axes)}
    named = {"sample": plan.sample, "order": plan.order, "skip": unstructure(plan.skip)}
    usual = {None: None, "order": "models"}
    learning |= {k: v for k, v in named.items() if v and v != usual.get(k)}
    if plan.is_adaptive:
        learning["mode"], table["max_pictures"] = plan.mode, plan.max_pictures
    if stored.metadata:
        learning["metadata"] = unstructure(stored.metadata)
    if plan.images_per_step != 1:
        table["images_per_step"] = plan.images_per_step
    if stored.max_steps is not None:
        table["max_steps"] = stored.max_steps
    return {**table, "learning": learning}


def placed_files(table: Table, out: Path) -> Table:
    """Return a job with its files as they are called from elsewhere, as far as they are right."""
    try:
        return with_files(table, out)
    except ConfigError:
        return table


def command_line(table: Table, out: Path) -> tuple[str, bool]:
    """Return the command line that does what a job says, and whether it needs its plan file."""
    table = placed_files(table, out)
    words = ["stablenew", "run"]
    said = _words(with_learning(table))
    if said is None:
        return shlex.join([*words, "plan.toml", "--out", str(out)]), True
    return shlex.join([*words, *said, "--out", str(out)]), False


def _words(table: Table) -> list[str] | None:
    """Return a job as words of the command line; None where there are none for something."""
    words: list[str] = []
    rest = {k: v for k, v in table.items() if k not in (*STAGES, "learning", "learn")}
    for name, value in rest.items():
        flag = f"--{name.replace('_', '-')}"
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, Mapping) or (isinstance(each, str) and each.startswith("-")):
                return None
            if isinstance(each, bool):
                words += [flag] if each else []
            else:
                words += [flag, str(each)]
    for stage in STAGES:
        for name, value in (table.get(stage) or {}).items():
            if isinstance(value, Mapping | list) or value is None:
                return None
            words += ["--set", f"{stage}.{name}={_text(value)}"]
    learning = table.get("learning") or {}
    learn = table.get("learn", learning.get("enabled"))
    words += ["--learn"] if learn else ["--no-learn"] if learn is False else []
    swept = _sweeps(learning)
    return None if swept is None else words + swept


_SAID = ("enabled", "axes", "sample", "order", "images_per_step", "max_steps", "experiment_name")


def _sweeps(learning: Table) -> list[str] | None:
    words: list[str] = []
    for name, value in learning.items():
        if name not in _SAID:
            return None
        if name not in ("enabled", "axes"):
            words += [f"--{name.replace('_', '-')}", str(value)]
    for axis in learning.get("axes") or ():
        if not isinstance(axis, Mapping) or axis.keys() - {"path", "values"}:
            return None
        values = axis.get("values")
        texts = [values] if isinstance(values, str) else [_text(each) for each in values or ()]
        if not texts or any(
            "," in text or not text.strip() for text in texts if values is not text
        ):
            return None
        words += ["--sweep", f"{axis.get('path')}={','.join(texts)}"]
    return words


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def toml_of(table: Table) -> str:
    """Return a job as the text of a plan file."""
    return "\n".join(_toml(table)) + "\n"


def _toml(table: Table) -> Iterator[str]:
    for name, value in table.items():
        if not isinstance(value, Mapping) and value is not None:
            yield f"{_key(name)} = {_value(value)}"
    for name, value in table.items():
        if isinstance(value, Mapping) and value:
            yield f"\n[{_key(name)}]"
            yield from (f"{_key(k)} = {_value(v)}" for k, v in value.items() if v is not None)


def _key(name: str) -> str:
    bare = name.replace("_", "").replace("-", "").isalnum() and name.isascii()
    return name if bare else _value(name)


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        pairs = (f"{_key(str(k))} = {_value(v)}" for k, v in value.items() if v is not None)
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(each) for each in value if each is not None)}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007f")  # all that TOML adds


def job_errors(error: ConfigError) -> list[dict[str, object]]:
    """Return what is wrong with a job, each at its field."""
    return said_errors(each.removeprefix("--set ") for each in error.problems)


def titled(job: Job, names: Sequence[str] = ()) -> str:
    """Return what to call a job: its experiment, what it varies, or its prompt."""
    name = str(job.metadata.get("experiment_name") or "")
    varied = " × ".join(names or [axis.name for axis in job.plan.axes] if job.plan else [])
    return name or varied or str(job.config.txt2img.prompt or "a run")[:80]
