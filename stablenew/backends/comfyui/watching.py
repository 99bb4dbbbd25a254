"""Watches a prompt for whoever waits for it."""

from __future__ import annotations

import anyio

from stablenew.backends.base import ReportProgress
from stablenew.backends.comfyui.job import Job
from stablenew.backends.comfyui.signs_of_life import SignsOfLife
from stablenew.errors import ungrouped

_REPORT = 0.25
_REPORT_AFTER_NEWS = 0.05
"""Seconds between two signs of life, and after something that was heard."""


async def follow(job: Job, report: ReportProgress, load_timeout: float) -> None:
    """Wait until a job is over; report its progress, and whatever else is a sign of life.

    Args:
        job: The one.
        report: Told of it.
        load_timeout: Seconds that a node may take without a word.
    """
    with ungrouped():
        async with anyio.create_task_group() as watching:
            watching.start_soon(_watch, job, report, load_timeout)
            await job.ended.wait()
            watching.cancel_scope.cancel()


async def _watch(job: Job, report: ReportProgress, load_timeout: float) -> None:
    hearing, signs = job.hearing, SignsOfLife(job, load_timeout)
    while True:
        hearing.news = anyio.Event()
        if signs.alive():
            await report(
                hearing.fraction, seconds_left=hearing.seconds_left, preview=hearing.shown()
            )
        with anyio.move_on_after(_REPORT):
            await hearing.news.wait()
            await anyio.sleep(_REPORT_AFTER_NEWS)
