"""How a job ended: as it should, or with which error; and what a receipt says of it."""

from __future__ import annotations

from stablenew.backends.base import InterruptReceipt
from stablenew.backends.comfyui.job import JOBS, Job
from stablenew.backends.comfyui.job_state import JobState, Status
from stablenew.errors import (
    BackendProtocolError,
    BackendRejectedError,
    BackendUnavailableError,
)


def ending_of(job: Job) -> JobState:
    """Return how a job ended that did as it should.

    Raises:
        BackendError: It did not.
    """
    if job.error is not None:
        raise job.error
    assert job.state is not None
    status = job.state.status
    if status is Status.FAILED:
        raise BackendRejectedError(job.state.error, excerpt=job.state.error)
    if status is Status.CANCELLED:
        raise BackendProtocolError("somebody else interrupted the job")
    if status is Status.NOWHERE:
        raise BackendUnavailableError(
            "the server knows nothing of the job any more: it was restarted, or somebody removed"
            " the job from its queue",
            retryable=True,
        )
    return job.state


def receipt_of(job: Job, seconds: float) -> InterruptReceipt:
    """Return the receipt of a job that was asked to stop.

    Args:
        job: The one.
        seconds: How long that took, or was waited for.
    """
    return InterruptReceipt(
        request_id=job.request_id,
        call=f"POST {JOBS}/{job.prompt_id}/cancel × {job.cancels}" if job.cancels else "",
        confirmed=job.gone,
        seconds=seconds,
        detail=_detail_of(job),
    )


def _detail_of(job: Job) -> str:
    if not job.gone:
        why = str(job.error) if job.error else "the server was asked, and is still at it"
        return f"unconfirmed: {why}"
    assert job.state is not None
    return {
        Status.NOWHERE: "it had not begun" if job.cancels else "",
        Status.COMPLETED: "it was done before it could be stopped",
        Status.FAILED: "it had failed",
    }.get(job.state.status, "")
