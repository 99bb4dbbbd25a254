"""The studio of one app: what its parts share, and what they are asked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from anyio import from_thread
from anyio.lowlevel import checkpoint

from stablenew.app import App
from stablenew.cli.unfinished import resume_line
from stablenew.controller.marker import is_held
from stablenew.controller.plan_progress import read_plan_progress
from stablenew.errors import ConfigError, RecordError
from stablenew.events.event_log import EVENTS_FILE
from stablenew.learning.gallery import PLAN_FILE
from stablenew.learning.plan_file import read_plan_file
from stablenew.report.page import open_page, read_steps
from stablenew.studio.advising import AdviceAsked, advised
from stablenew.studio.answers import NotNowError, NotThereError, said_errors
from stablenew.studio.drafting import Drafts
from stablenew.studio.feed import Feed, numbered_lines
from stablenew.studio.job_text import command_line
from stablenew.studio.jobs import job_of_plan
from stablenew.studio.library import Asked, Library
from stablenew.studio.pictures import Thumbnails
from stablenew.studio.plan_queue import PlanQueue
from stablenew.studio.queue_item import KeptItem
from stablenew.studio.ratings import Ratings
from stablenew.studio.servers import Servers
from stablenew.studio.uploads import Uploads


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
        self.drafts = Drafts(self.out, self.servers, self.folder)
        self.queue = PlanQueue(app, self.feed, self.servers, self.drafts.job_of)
        self.library = Library(self.out)
        self.thumbnails = Thumbnails(self.out)
        self.ratings = Ratings(self.out, self._say)
        self.uploads = Uploads(self.out)
        self._advising = anyio.CapacityLimiter(1)
        self._indexing = anyio.CapacityLimiter(1)
        self._looked = anyio.Event()

    async def run(self) -> None:
        """Do what there is to do, for ever: the plans of the queue."""
        with self.feed.hearing(self.app), closing(self.thumbnails):
            await self.queue.restore(self._is_done)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep_index)
                await self.queue.run()

    async def _keep_index(self) -> None:
        """Go on with the index of the runs where a look did not get to its end, for ever."""
        while True:
            await self._looked.wait()
            self._looked = anyio.Event()
            was = self.library.index.progress
            while await anyio.to_thread.run_sync(
                self.library.index.go_on, limiter=self._indexing, abandon_on_cancel=True
            ):
                await checkpoint()
            if was is not None:
                self.feed.tell("library", done=was["of"], of=was["of"])

    def indexing(self) -> dict[str, int] | None:
        """Return how much of the folder is known, None for all; what is left is read from now on.

        Blocks, in a worker thread.
        """
        from_thread.run_sync(self._looked.set)
        return self.library.index.progress

    async def close(self) -> None:
        """Cancel the plan under way, and tell every tab that this ends."""
        await self.queue.close()
        self.feed.close()

    def _say(self, kind: str, **content: Any) -> None:
        """Tell every tab of a rating or a choice, and the exploration that may wait for it."""
        self.feed.tell(kind, **content)
        keys = [content[each] for each in ("winner", "loser") if kind == "chosen"]
        if kind == "rated" and content["rating"] is not None:
            keys = [(content["run_id"], content["image_id"])]
        for run_id in {content.get("run_id"), *(key[0] for key in keys)} - {None}:
            self.library.index.forget(str(run_id))
        self.queue.heard((str(run_id), str(image_id)) for run_id, image_id in keys)

    def _is_done(self, kept: KeptItem) -> bool:
        """Return whether nothing is left to do of what an earlier studio was at; blocks."""
        if kept.plan_id is None:
            return False
        folder = self.out / kept.plan_id
        try:
            if kept.kind == "run":
                run = self.library.run(kept.plan_id, kept.plan_id)
                return run is not None and run.metadata.get("outcome") == "succeeded"
            return read_plan_progress(folder, read_plan_file(folder)).complete
        except (ConfigError, RecordError):
            return False

    def state(self) -> Mapping[str, object]:
        """Return what a tab has to know first."""
        return {
            "version": metadata.version("stablenew"),
            "out": str(self.out),
            "problem": unwritable(self.out),
            "servers": self.servers.plain,
            "queue": self.queue.plain,
            "held": self.queue.held,
            "notes": list(self.queue.notes),
            "interrupted": [
                {"id": each.id, "words": str(each)}
                for each in self.app.interrupted
                if each.id not in [item.folder for item in self.queue.items]
            ],
            "host": self.hosted,
        }

    async def enqueue(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Put a job, or a plan that goes on, at the end of the queue.

        Raises:
            ConfigError: It is wrong.
            NotNowError: That cannot be now.
        """
        if (problem := unwritable(self.out)) is not None:
            raise NotNowError(problem)
        job = await self.drafts.job_of(asked)
        told: dict[str, Any] = {"command": resume_line(self.out / str(asked.get("resume")), job)}
        if job.resumed is None:
            _, _, dry = await self.drafts.dry(job)
            sizes = {name: dry[name] for name in ("pictures", "step_count", "estimate")}
            told = {**sizes, "command": command_line(asked["job"], self.out)[0]}
        return self.queue.plain_of(await self.queue.add(job, asked, **told))

    async def advice(self, asked: AdviceAsked) -> dict[str, Any]:
        """Return what the ratings advise; one at a time, for it takes a core.

        Raises:
            ConfigError: There is no such stage.
            NotThereError: There is no such plan.
        """

        def look() -> dict[str, Any]:
            if asked.plan is not None:
                self.folder(asked.plan)
            plans = [asked.plan] if asked.plan else self.library.listed(Asked())[:20]
            jobs = ((each, self.job(each)["job"]) for each in plans)
            plan_id, base = next((each for each in jobs if each[1] is not None), (None, None))
            told = advised(self.out, self.library, asked, base)
            return {**told, "resume": plan_id if plan_id and self._goes_on(plan_id) else None}

        return await anyio.to_thread.run_sync(look, limiter=self._advising)

    def _goes_on(self, plan_id: str) -> bool:
        """Return whether a plan is an exploration that is not finished, nor under way; blocks."""
        folder = self.folder(plan_id)
        try:
            stored = read_plan_file(folder)
            if not stored.plan.is_adaptive or is_held(self.out, plan_id):
                return False
            return not read_plan_progress(folder, stored).complete
        except (ConfigError, RecordError):
            return False

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
        runs = self.library.runs_of(id_)
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


def unwritable(out: Path) -> str | None:
    """Return why nothing can be written to a folder; None where something can, at a glance."""
    there = next(each for each in (out.absolute(), *out.absolute().parents) if each.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return None
    return (
        f"out: cannot write to {str(out)!r}; everything can be looked at, nothing be run or rated"
    )
