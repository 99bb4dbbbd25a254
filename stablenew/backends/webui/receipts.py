"""What came of asking a server to stop a job."""

from __future__ import annotations

from stablenew.backends.base import InterruptReceipt
from stablenew.backends.webui.job import INTERRUPT, Job


def receipt_of(job: Job, seconds: float) -> InterruptReceipt:
    """Return the receipt of a job that was asked to stop.

    Args:
        job: The one.
        seconds: How long that took, or was waited for.
    """
    gone = job.ended.is_set() and job.gone
    detail = "" if gone else f"unconfirmed: {job.why_not()}"
    if gone and not job.stoppable:
        detail = f"{job.flavour} has no interrupt; the job was done by itself"
    return InterruptReceipt(
        request_id=job.request_id,
        call=f"POST {INTERRUPT} × {job.interrupts}" if job.interrupts else "",
        confirmed=gone,
        seconds=seconds,
        detail=detail,
    )
