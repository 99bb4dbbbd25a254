"""The studio of one app: what its parts share, and what they are asked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from stablenew.app import App
from stablenew.cli.dry_run import DryRun, dry_run_of, estimated, look_up
from stablenew.cli.job import Job
from stablenew.cli.run_command import progress_of
from stablenew.cli.unfinished import unfinished
from stablenew.errors import ConfigError
from stablenew.events.event_log import EVENTS_FILE
from stablenew.learning.gallery import PLAN_FILE
from stablenew.learning.plan_file import read_plan_file
from stablenew.report.page import open_page, read_steps
from stablenew.studio.advising import AdviceAsked, advised
from stablenew.studio.answers import NotNowError, NotThereError, said_errors
from stablenew.studio.feed import Feed, numbered_lines
from stablenew.studio.jobs import (
    command_line,
    job_errors,
    job_of_plan,
    read_job,
    read_resumed,
    server_of,
)
from stablenew.studio.library import Library
from stablenew.studio.pictures import Thumbnails
from stablenew.studio.plan_queue import PlanQueue, plain_estimate
from stablenew.studio.ratings import Ratings
from stablenew.studio.servers import Servers
from stablenew.studio.uploads import Uploads

_STEPS = 200
"""Steps of a dry run that are shown."""


class Studio:
    """What makes the studio of an app.

    Args:
        app: What it stands on; open.
        hosted: Whether it is mounted in somebody else's program.
    """

    def __init__(self, app: App, *, hosted: bool = False) -> None:
        self.app = app
        self.out = app.settings.out
        self.hosted = hosted
        self.feed = Feed(self.out)
        self.servers = Servers(self.out, self.feed.tell, app)
        self.queue = PlanQueue(app, self.feed, self.servers)
        self.library = Library(self.out)
        self.thumbnails = Thumbnails(self.out)
        self.ratings = Ratings(self.out, self.feed.tell)
        self.uploads = Uploads(self.out)
        self._advising = anyio.CapacityLimiter(1)

    async def run(self) -> None:
        """Do what there is to do, for ever: the plans of the queue."""
        with self.feed.hearing(self.app):
            await self.queue.run()

    async def close(self) -> None:
        """Cancel the plan under way, and tell every tab that this ends."""
        await self.queue.close()
        self.feed.close()

    def state(self) -> Mapping[str, object]:
        """Return what a tab has to know first."""
        return {
            "version": metadata.version("stablenew"),
            "out": str(self.out),
            "problem": unwritable(self.out),
            "servers": self.servers.plain,
            "queue": self.queue.plain,
            "interrupted": [{"id": each.id, "words": str(each)} for each in self.app.interrupted],
            "host": self.hosted,
        }

    async def drafted(self, table: Mapping[str, Any]) -> Job:
        """Return a job as its server would run it; what is wrong may be among its problems.

        Raises:
            ConfigError: There is no such job.
        """
        job = await anyio.to_thread.run_sync(read_job, table, self.out, self.servers)
        url = job.settings.server_url
        if url is not None and self.servers.named(url) is None:  # nobody is asked what it has
            raise ConfigError(*job.problems)
        return job

    async def dry(self, job: Job) -> tuple[Job, DryRun, dict[str, Any]]:
        """Return what a job would run.

        Raises:
            ConfigError: With everything that is wrong.
            BackendUnavailableError: Its server does not answer.
        """
        capabilities = await self.servers.capabilities(server_of(job))
        job = await job.spelled(capabilities).with_pictures()

        def looked_at() -> tuple[DryRun, dict[str, Any]]:
            dry = dry_run_of(job, capabilities)
            dry = look_up(job, dry, progress_of(job, capabilities))
            new = job.resumed is None and job.plan is not None
            return dry, _plain(job, dry, estimated(job, dry), unfinished(job) if new else [])

        dry, told = await anyio.to_thread.run_sync(looked_at)
        return job, dry, told

    async def dry_answer(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the page is told of a job: what it would run, or what is wrong with it."""
        command, plan_file = command_line(table, self.out)
        line = {"command": command, "plan_file": plan_file}
        try:
            job = await self.drafted(table)
            job, _, told = await self.dry(job)
        except ConfigError as error:
            return {**_NOTHING, **line, "errors": job_errors(error)}
        return {**told, **line, "errors": [], "notes": list(job.notes)}

    async def enqueue(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Put a job, or a plan that goes on, at the end of the queue.

        Raises:
            ConfigError: It is wrong.
            NotNowError: That cannot be now.
        """
        if (problem := unwritable(self.out)) is not None:
            raise NotNowError(problem)
        if "resume" in asked:
            plan_id = str(asked["resume"])
            folder = await anyio.to_thread.run_sync(self.folder, plan_id)

            def read() -> Job:
                return read_resumed(
                    folder,
                    self.servers,
                    only_failed=bool(asked.get("only_failed")),
                    on_this_backend=bool(asked.get("on_this_backend")),
                )

            job = await anyio.to_thread.run_sync(read)
            command = f"stablenew run --resume {folder}"
            return self.queue.plain_of(self.queue.add(job, command, {}))
        table = asked.get("job")
        if not isinstance(table, Mapping):
            raise ConfigError("job: missing; expected the fields of a plan file")
        job = await self.drafted(table)
        _, _, told = await self.dry(job)
        sizes = {"pictures": told["pictures"], "step_count": told["step_count"]}
        command, _ = command_line(table, self.out)
        return self.queue.plain_of(self.queue.add(job, command, sizes))

    async def advice(self, asked: AdviceAsked) -> dict[str, Any]:
        """Return what the ratings advise; one at a time, for it takes a core.

        Raises:
            ConfigError: There is no such stage.
            NotThereError: There is no such plan.
        """

        def look() -> dict[str, Any]:
            if asked.plan is not None:
                self.folder(asked.plan)
            plans = [asked.plan] if asked.plan else list(self.library.owners())[:20]
            jobs = (self.job(each)["job"] for each in plans)
            base = next((job for job in jobs if job is not None), None)
            return advised(self.out, self.library, asked, base)

        return await anyio.to_thread.run_sync(look, limiter=self._advising)

    def folder(self, id_: str) -> Path:
        """Return the folder of a plan or a run; blocks.

        Raises:
            NotThereError: There is none, or a link that leads elsewhere.
        """
        base = self.out.resolve()
        if id_.replace("-", "").replace("_", "").isalnum() and id_.isascii():
            path = base / id_
            if path.is_dir() and path.resolve().parent == base:
                return path
        raise NotThereError(f"no plan and no run {id_[:100]!r}")

    def here(self) -> str | None:
        """Return the plan that is under way here."""
        running = [each for each in self.queue.items if each.state in ("running", "stopping")]
        return running[0].folder if running else None

    def plan(self, id_: str) -> dict[str, Any]:
        """Return all that the page shows of a plan; blocks.

        Raises:
            NotThereError: There is none.
        """
        folder = self.folder(id_)
        events = folder / EVENTS_FILE
        sequence = max((n for _, n in numbered_lines(events)), default=0)
        page = open_page(folder)
        told: dict[str, Any] = {}
        if page is not None:
            page.makes_thumbnails = False
            done = read_steps(page)
            told = page.data(done=done and id_ != self.here(), written="")
        runs = self.library.owners().get(id_, [])
        planned = (folder / PLAN_FILE).exists()
        job = self.job(id_) if planned else {"job": None, "errors": []}
        return {
            **(told or self._single(id_)),
            "sequence": sequence,
            "summary": self.library.summary(id_, runs, self.here()),
            "job": job["job"],
            "errors": job["errors"],
            "url": f"files/{id_}/",
            "thumbs": "thumbnails/",
        }

    def _single(self, id_: str) -> dict[str, Any]:
        """Return a single run as a plan of no axes."""
        run = self.library.run(id_, id_)
        pictures = [
            {**each, "path": Path(each["url"]).name, "settings": each["settings"]}
            for each in (run.pictures if run else ())
        ]
        step = {"index": 0, "at": [], "run_id": id_, "outcome": "", "pictures": pictures}
        step["outcome"] = run.metadata.get("outcome") if run else "cancelled"
        return {
            "plan_id": id_,
            "title": id_,
            "prompt": pictures[0]["settings"].get("prompt") if pictures else "",
            "axes": [],
            "count": 1,
            "images": len(pictures),
            "seeds": None,
            "settings": None,
            "starts": {},
            "steps": [step] if run else [],
            "same": [],
            "ratings": {f"{id_}/{p['image_id']}": p["rating"] for p in pictures if p["rating"]},
            "done": id_ != self.here(),
        }

    def job(self, id_: str) -> dict[str, Any]:
        """Return a plan as a job, or what is wrong with its file; blocks.

        Raises:
            NotThereError: There is no plan.
        """
        folder = self.folder(id_)
        try:
            return {"job": job_of_plan(read_plan_file(folder)), "errors": []}
        except ConfigError as error:
            prefixes = [str(folder / "plan.json")]
            return {"job": None, "errors": said_errors(error.problems, prefixes)}


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


def unwritable(out: Path) -> str | None:
    """Return why nothing can be written to a folder; None where something can, at a glance."""
    there = next(each for each in (out.absolute(), *out.absolute().parents) if each.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return None
    return (
        f"out: cannot write to {str(out)!r}; everything can be looked at, nothing be run or rated"
    )
