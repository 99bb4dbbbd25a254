"""Watches jobs for whoever waits for them: how far they are, and whether they are under way."""

from __future__ import annotations

from collections.abc import Iterable

import anyio
import anyio.to_thread

from stablenew.backends.answers import Answer
from stablenew.backends.base import ReportProgress
from stablenew.backends.webui.calls import Call
from stablenew.backends.webui.holder import Holder
from stablenew.backends.webui.job import LOOK, Job
from stablenew.backends.webui.progress import Snapshot
from stablenew.backends.webui.signs_of_life import SignsOfLife
from stablenew.errors import ungrouped

_FORGOTTEN_AFTER = 5.0
"""Seconds of an idle server after which it is taken to have forgotten a job."""


async def follow(
    job: Job, call: Call, report: ReportProgress, *, previews: bool, load_timeout: float
) -> Answer:
    """Return the answer to a job, whatever its status, and report its progress until then.

    Args:
        job: The one.
        call: What it makes.
        report: Told of it.
        previews: Whether the picture in the making is shown.
        load_timeout: Seconds that it may take until its first step.

    Raises:
        BackendError: There was no answer.
    """
    with ungrouped():
        async with anyio.create_task_group() as watching:
            watching.start_soon(_watch, job, call, report, previews, load_timeout)
            await job.ended.wait()
            watching.cancel_scope.cancel()
    if job.answer is None:
        assert job.error is not None
        raise job.error
    return job.answer


async def _watch(
    job: Job, call: Call, report: ReportProgress, previews: bool, load_timeout: float
) -> None:
    """Report a job's progress, and whatever else is a sign that it is under way."""
    watched = SignsOfLife(load_timeout, call)
    while True:
        await job.look_is_due()
        if job.ended.is_set():
            return
        snapshot = await job.look(preview=previews)
        if watched.alive(job, snapshot):
            image = await _preview(snapshot) if previews and snapshot else None
            left = snapshot.seconds_left if snapshot and job.holder is Holder.OURS else None
            await report(watched.furthest, seconds_left=left, preview=image)


async def wait_for(jobs: Iterable[Job], report: ReportProgress, load_timeout: float) -> None:
    """Wait for jobs that nobody wants any more: one generation at a time.

    Waiting is a sign of life only as long as the server does something. One that stays idle has
    forgotten the job.

    Args:
        jobs: Those.
        report: Told that there is still somebody waiting.
        load_timeout: Seconds that one may take until its first step.
    """
    for job in jobs:
        watched = SignsOfLife(load_timeout, None)
        idle_since = anyio.current_time()
        while not job.ended.is_set():
            snapshot = await job.look()
            if snapshot is None or not snapshot.idle:
                idle_since = anyio.current_time()
            elif anyio.current_time() - idle_since > _FORGOTTEN_AFTER:
                job.forget()
            if watched.alive(job, snapshot):
                await report(0.0)
            with anyio.move_on_after(LOOK):
                await job.ended.wait()


async def _preview(snapshot: Snapshot) -> bytes | None:
    import pybase64

    if snapshot.preview is None:
        return None
    try:
        return await anyio.to_thread.run_sync(pybase64.b64decode, snapshot.preview)
    except ValueError:  # what is no picture is no reason to fail one
        return None
