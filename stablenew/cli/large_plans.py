"""How long a job takes, said before it starts; and a question where that is very long."""

from __future__ import annotations

import anyio
import anyio.to_thread

from stablenew.cli.dry_run import DryRun, estimated, look_up
from stablenew.cli.job import Job
from stablenew.cli.printing import say
from stablenew.cli.terminal import leave_key, read_key
from stablenew.controller.plan_progress import PlanProgress
from stablenew.pipeline.durations import Estimate

WORTH_SAYING = 5.0
"""Seconds from which on an estimate is said."""

_MANY = 1_000
"""Steps of which more are asked about."""

_LONG = 3_600.0
"""Seconds from which on, likewise."""


async def tell_estimate(job: Job, dry: DryRun, progress: PlanProgress | None) -> Estimate | None:
    """Say how long it will take, where that is known and worth saying."""
    dry = await anyio.to_thread.run_sync(look_up, job, dry, progress)
    estimate = await anyio.to_thread.run_sync(estimated, job, dry)
    if is_large(dry, estimate):
        steps = f"{dry.count:,} steps" if dry.count > 1 else "1 step"
        say(f"{steps}, {estimate or 'how long they take is not known yet'}", err=True)
    elif estimate is not None and estimate.seconds >= WORTH_SAYING:
        say(estimate, err=True)
    return estimate


def is_large(dry: DryRun, estimate: Estimate | None) -> bool:
    """Return whether a job is so much that whoever starts it may not have meant it."""
    return dry.count > _MANY or (estimate is not None and estimate.seconds >= _LONG)


async def agreed() -> bool:
    """Ask whether it is to go on; a cancel does not wait for the answer."""
    say("go on? [y/N] ", err=True, end="", flush=True)
    try:
        key = await anyio.to_thread.run_sync(read_key, abandon_on_cancel=True)
    finally:
        leave_key()
        say("", err=True)
    if key != "y":
        say("nothing was run", err=True)
    return key == "y"
