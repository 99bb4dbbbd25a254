"""From what the page asks for to a job, and what it would run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio.to_thread

from stablenew.backends.comfyui.workflows.workflow_stage import ComfyUIWorkflows
from stablenew.cli.dry_run import DryRun, dry_run_of, estimated, look_up
from stablenew.cli.job import Job
from stablenew.cli.run_command import progress_of
from stablenew.cli.unfinished import unfinished
from stablenew.errors import BackendError, ConfigError
from stablenew.studio.job_text import command_line
from stablenew.studio.jobs import (
    job_errors,
    needs_nodes,
    read_job,
    read_resumed,
    servers_of,
    urls_of,
)
from stablenew.studio.queue_item import plain_estimate
from stablenew.studio.servers import Servers

_STEPS = 200
"""Steps of a dry run that are shown."""


class Drafts:
    """Reads jobs.

    Args:
        out: The folder of all runs.
        servers: Those that may be talked to.
        folder: Returns the folder of a plan; blocks.
    """

    def __init__(self, out: Path, servers: Servers, folder: Callable[[str], Path]) -> None:
        self._out = out
        self._servers = servers
        self._folder = folder

    async def job_of(self, asked: Mapping[str, object]) -> Job:
        """Return the job that the page asks for: a new one, or a plan that goes on.

        Raises:
            ConfigError: There is no such job.
            NotThereError: There is no such plan.
        """
        if "resume" in asked:
            folder = await anyio.to_thread.run_sync(self._folder, str(asked["resume"]))
            return await anyio.to_thread.run_sync(read_resumed, folder, self._servers, asked)
        table = asked.get("job")
        if not isinstance(table, Mapping):
            raise ConfigError("job: missing; expected the fields of a plan file")
        return await self.drafted(table)

    async def drafted(self, table: Mapping[str, Any]) -> Job:
        """Return a job as its server would run it; what is wrong may be among its problems.

        Raises:
            ConfigError: There is no such job.
        """
        info = None
        if await anyio.to_thread.run_sync(needs_nodes, table, self._out):
            url = next(iter(urls_of(table)), None)
            if url is None or (server := self._servers.named(url)) is None:
                raise ConfigError("url: which ComfyUI? this workflow needs its list of nodes")
            workflows = (await self._servers.capabilities(server.id)).workflows
            if not isinstance(workflows, ComfyUIWorkflows):
                raise ConfigError(f"url: given {url!r}, which runs no workflow; expected a ComfyUI")
            info = workflows.info
        job = await anyio.to_thread.run_sync(read_job, table, self._out, self._servers, info)
        if any(self._servers.named(url) is None for url in _urls(job)):  # nobody is asked
            raise ConfigError(*job.problems)
        return job

    async def dry(self, job: Job) -> tuple[Job, DryRun, dict[str, Any]]:
        """Return what a job would run.

        Raises:
            ConfigError: With everything that is wrong.
            BackendUnavailableError: Its server does not answer.
        """
        try:
            capabilities, notes = await self._servers.capabilities_of(
                servers_of(job),
                mix=job.settings.mix_servers,
                skip_unreachable=job.settings.skip_unreachable,
            )
        except BackendError:
            if job.problems:
                raise ConfigError(*job.problems) from None
            raise
        job = await job.spelled(capabilities).with_pictures()

        def looked_at() -> tuple[DryRun, dict[str, Any]]:
            dry = dry_run_of(job, capabilities)
            dry = look_up(job, dry, progress_of(job, capabilities))
            new = job.resumed is None and job.plan is not None
            return dry, _plain(job, dry, estimated(job, dry), unfinished(job) if new else [])

        dry, told = await anyio.to_thread.run_sync(looked_at)
        return job, dry, {**told, "notes": [*job.notes, *notes]}

    async def dry_answer(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the page is told of a job: what it would run, or what is wrong with it."""
        command, plan_file = command_line(table, self._out)
        line = {"command": command, "plan_file": plan_file}
        try:
            _, _, told = await self.dry(await self.drafted(table))
        except ConfigError as error:
            return {**_NOTHING, **line, "errors": job_errors(error)}
        return {**told, **line, "errors": []}


def _urls(job: Job) -> tuple[str, ...]:
    url = job.settings.server_url
    return job.settings.urls or (() if url is None else (url,))


_NOTHING: Mapping[str, Any] = {
    **dict.fromkeys(("step_count", "pictures", "backend_calls", "there", "estimate")),
    "roughly": False,
    **{name: [] for name in ("steps", "axes", "unfinished", "notes")},
}


def _plain(job: Job, dry: DryRun, estimate: Any, others: list[str]) -> dict[str, Any]:
    return {
        "step_count": dry.count,
        "pictures": dry.pictures,
        "backend_calls": dry.calls,
        "there": round(dry.share * sum(step.there for step in dry.looked_at)),
        "roughly": len(dry.looked_at) != dry.count,
        "estimate": plain_estimate(estimate),
        "steps": [
            {
                "index": step.index,
                "label": step.label,
                "value": step.value,
                "images": step.images,
                "state": step.state,
                "backend_calls": step.calls,
            }
            for step in dry.first[:_STEPS]
        ],
        "axes": [
            {"name": axis.name, "path": axis.path, "labels": list(axis.labels)}
            for axis in (job.plan.axes if job.plan else ())
        ],
        "unfinished": [{"plan_id": line.partition(" ")[0], "words": line} for line in others],
    }
