"""Saying before a plan starts which servers get no step of it, and why."""

from __future__ import annotations

from stablenew.backends.base import Capabilities
from stablenew.cli.job import Job
from stablenew.learning.learning_steps import derive_steps
from stablenew.pipeline.node_pool import NodePool
from stablenew.pipeline.stage_settings import backend_defaults, with_defaults


def left_out_notes(job: Job, capabilities: Capabilities, pool: NodePool) -> list[str]:
    """Return a line for each server that gets no step of a job's plan; looks at each, for a thread.

    Args:
        job: What to do; it is right.
        capabilities: Of the servers together.
        pool: Them.
    """
    if job.plan is None or not pool.several:
        return []
    defaults = backend_defaults(capabilities)
    if job.resumed is not None:
        defaults = dict(job.resumed.pinned(capabilities).defaults)
    steps = derive_steps(job.plan, job.config)
    configs = (with_defaults(steps.possible_config(cell)[0], defaults) for cell in steps.looked_at)
    found = pool.left_out(configs, job.pictures)
    return [f"{name} gets no step of this plan: {'; '.join(found[name])}" for name in found]
