"""A job as the page has it: the fields of a plan file, as JSON; and the command line for it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs

from stablenew._convert import json_line, unstructure
from stablenew.backends.comfyui.object_info import ObjectInfo
from stablenew.backends.comfyui.workflows.workflow_file import WorkflowFile, read_workflow_file
from stablenew.cli.arguments import run_parser
from stablenew.cli.job import Job, drafted_job
from stablenew.config.pipeline_config import STAGES
from stablenew.errors import ConfigError
from stablenew.learning.axis_table import table_of
from stablenew.learning.gallery import PLAN_FILE
from stablenew.learning.plan_file import StoredPlan
from stablenew.studio.answers import said_errors
from stablenew.studio.servers import Servers
from stablenew.studio.uploads import FOLDER

Table = Mapping[str, Any]
"""A job as plain data."""

REFUSED = {
    "out": "the studio has one folder of runs",
    "auth": "credentials of a server are given with it: api/servers",
    "dask": "a cluster shares plans of the command line: --dask",
}
_FILES = ("pack", "image", "workflow", "wildcards")
_LISTS = ("presets", "image")


def read_job(table: Table, out: Path, servers: Servers, info: ObjectInfo | None = None) -> Job:
    """Read a job; what is wrong is among its problems. Blocks: for a worker thread.

    Args:
        table: What the page asks for.
        out: The folder of all runs.
        servers: Those that may be talked to.
        info: The nodes of the server, where a workflow needs them to be read.

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
            job = drafted_job(flags, {}, info)
        except ConfigError as error:
            lines = [each.removeprefix(f"{path}: ") for each in error.problems]
            raise ConfigError(*problems, *lines) from None
    job, wrong = _on_named_servers(job, servers)
    return attrs.evolve(job, problems=(*problems, *wrong, *job.problems))


def read_resumed(folder: Path, servers: Servers, asked: Table) -> Job:
    """Read the job that goes on with a plan. Blocks.

    Args:
        folder: The plan's.
        servers: Those that may be talked to.
        asked: How: `only_failed`, `on_this_backend`, `mix_servers`, `skip_unreachable`, `workers`,
            `urls`.

    Raises:
        ConfigError: There is no such plan, or its server was not named.
    """
    words = ["--resume", str(folder)]
    words += [f"--{name.replace('_', '-')}" for name in _WITH_RESUME if asked.get(name)]
    words += [f"--workers={asked['workers']}"] if asked.get("workers") is not None else []
    words += [f"--url={url}" for url in urls_of(asked)]
    job, wrong = _on_named_servers(drafted_job(vars(run_parser().parse_args(words)), {}), servers)
    if wrong:
        raise ConfigError(*wrong)
    return job


_WITH_RESUME = ("only_failed", "on_this_backend", "mix_servers", "skip_unreachable")


def urls_of(table: Table) -> list[str]:
    """Return the URLs of a job's servers, as they were given."""
    given = table.get("urls") or table.get("url") or ()
    return [str(each) for each in ([given] if isinstance(given, str) else given)]


def needs_nodes(table: Table, out: Path) -> bool:
    """Return whether a job's workflow cannot be read without a server's nodes; blocks.

    Raises:
        ConfigError: There is no such file, or no workflow in it.
    """
    if not isinstance(table.get("workflow"), str):
        return False
    return workflow_file(table["workflow"], out).api is None


def workflow_file(given: object, out: Path) -> WorkflowFile:
    """Return the workflow that a job names; blocks.

    Raises:
        ConfigError: There is no such file, or no workflow in it.
    """
    path = with_files({"workflow": given}, out)["workflow"]
    try:
        return read_workflow_file(path)
    except ConfigError as error:
        lines = (each.removeprefix(f"{path}: ") for each in error.problems)
        raise ConfigError(*(f"workflow: {each}" for each in lines)) from None


def _on_named_servers(job: Job, servers: Servers) -> tuple[Job, list[str]]:
    """Return a job with its servers' credentials, and what is wrong with these servers."""
    settings = job.settings
    field = "urls" if settings.urls else "url"
    urls = settings.urls or ([url] if (url := settings.server_url) else [])
    named = [servers.named(url) for url in urls]
    wrong = [
        f"{field}: given {url!r}, which was not named as a server; add it first"
        for url, server in zip(urls, named, strict=True)
        if server is None
    ]
    if not wrong and settings.urls:
        with_auth = [_with_auth(each.id, each.auth) for each in named if each is not None]
        settings = attrs.evolve(settings, urls=with_auth)
    elif not wrong and named and named[0] is not None and named[0].auth:
        settings = attrs.evolve(settings, auth=named[0].auth)
    return attrs.evolve(job, settings=settings), wrong


def _with_auth(url: str, auth: str | None) -> str:
    """Return a URL with its credentials, which each of several servers has of its own."""
    if auth is None:
        return url
    user, _, password = auth.partition(":")
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}"


def servers_of(job: Job) -> list[str]:
    """Return the ids of the servers that a job runs on."""
    return list(job.settings.urls) or [job.settings.server_url or job.settings.backend]


def server_of(job: Job) -> str:
    """Return the id of the server that a job runs on; "" where there are several."""
    return "" if job.settings.urls else servers_of(job)[0]


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
    table = {**_servers_of_plan(stored), **_workflow_of_plan(stored)}
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


def _servers_of_plan(stored: StoredPlan) -> dict[str, Any]:
    if stored.urls:
        return {"urls": list(stored.urls)}
    if stored.url is not None:
        return {"url": stored.url}
    return {"backend": stored.backend} if stored.backend else {}


def _workflow_of_plan(stored: StoredPlan) -> dict[str, Any]:
    """Return what a job says of a plan's workflow, whose graph is in the plan's own file."""
    if (workflow := stored.config.workflow) is None:
        return {}
    output = {"output": workflow.output} if workflow.output else {}
    inputs = {"inputs": dict(workflow.inputs)} if workflow.inputs else {}
    return {"workflow": f"{stored.plan_id}/{PLAN_FILE}", **output, **inputs}


def placed_files(table: Table, out: Path) -> Table:
    """Return a job with its files as they are called from elsewhere, as far as they are right."""
    try:
        return with_files(table, out)
    except ConfigError:
        return table


def job_errors(error: ConfigError) -> list[dict[str, object]]:
    """Return what is wrong with a job, each at its field."""
    return said_errors(each.removeprefix("--set ") for each in error.problems)


def titled(job: Job, names: Sequence[str] = ()) -> str:
    """Return what to call a job: its experiment, what it varies, or its prompt."""
    name = str(job.metadata.get("experiment_name") or "")
    varied = " × ".join(names or [axis.name for axis in job.plan.axes] if job.plan else [])
    return name or varied or str(job.config.txt2img.prompt or "a run")[:80]
