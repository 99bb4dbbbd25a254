"""One item of the queue, run on an app of its own, as the command line runs it."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import anyio.to_thread

from stablenew.app import App, open_app
from stablenew.backends.base import Draining
from stablenew.cli.ending import Ended
from stablenew.cli.job import Job
from stablenew.cli.run_command import run_on
from stablenew.cli.workers import worker_backends
from stablenew.config.settings import prepare_out_folder
from stablenew.errors import ConfigError
from stablenew.studio.feed import Feed
from stablenew.studio.jobs import server_of
from stablenew.studio.lent_backend import LentBackend
from stablenew.studio.queue_item import Item
from stablenew.studio.servers import Servers

_WAITED_FOR = 10.0
"""Seconds that a server has to be rid of what was cancelled before the next plan."""

Hook = Callable[[App], None]


async def run_item(
    item: Item, job: Job, servers: Servers, feed: Feed, *, hear: Hook, begin: Hook
) -> None:
    """Run an item, and fill in how it ended.

    Args:
        item: To be filled in.
        job: Its job.
        servers: Those that may be talked to.
        feed: Hears what happens.
        hear: Called once the app is open.
        begin: Called when nothing is left that can be wrong.

    Raises:
        StableNewError: It could not begin.
    """
    own = None if job.workers else servers.own.get(server_of(job))
    backend = None if own is None else LentBackend(own)
    workers = worker_backends(job.workers) if job.workers else None
    async with open_app(job.settings, backend=backend, backends=workers) as app:
        with feed.hearing(app):
            hear(app)
            capabilities = await app.pipeline.capabilities()
            job = await job.spelled(capabilities).with_pictures()
            if job.problems:
                raise ConfigError(*job.problems)
            await anyio.to_thread.run_sync(prepare_out_folder, job.settings.out)
            begin(app)
            _fill_in(item, job, await run_on(app, job))
            if isinstance(app.backend, Draining) and app.backend.pending:
                with anyio.move_on_after(_WAITED_FOR):
                    await app.backend.drained()
            await app.reports.drained()
            await app.bus.drain()


def _fill_in(item: Item, job: Job, ended: Ended) -> None:
    item.folder, item.outcome, item.summary = ended.folder, str(ended.outcome), ended.summary
    item.error = None if ended.error is None else str(ended.error)
    for run in ended.runs:
        if job.plan is None and run.error is not None:
            item.error = str(run.error)
        for stage in run.stage_results:
            item.receipt = stage.receipt or item.receipt
