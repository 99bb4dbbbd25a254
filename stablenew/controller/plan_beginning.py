"""How a plan begins: its file, what its runner has to know, what became of one that never did."""

from __future__ import annotations

from pathlib import Path

import anyio.to_thread

from stablenew.errors import ConfigError
from stablenew.learning.execution_context import LearningExecutionContext, Resumption
from stablenew.learning.gallery import PLAN_FILE
from stablenew.learning.learning_plan import step_run_id
from stablenew.learning.learning_result import LearningExecutionResult, summarize
from stablenew.learning.plan_file import StoredPlan, encode_plan_file
from stablenew.pipeline.results import Outcome
from stablenew.storage import files


async def store_new_plan(folder: Path, stored: StoredPlan) -> None:
    """Write the file of a plan that is new.

    Args:
        folder: The plan's.
        stored: The plan.

    Raises:
        ConfigError: There is a plan of this id, or something else in its place.
    """
    first = folder.parent / step_run_id(stored.plan_id, 0)
    try:
        if await anyio.to_thread.run_sync(first.exists):
            raise FileExistsError
        await files.create(folder / PLAN_FILE, encode_plan_file(stored))
    except FileExistsError:
        raise ConfigError(
            f"plan_id: given {stored.plan_id!r}, which is a plan already; "
            "expected a new id, or resume_plan to go on with it"
        ) from None


def context_of(
    stored: StoredPlan, resumption: Resumption, max_seconds: float | None
) -> LearningExecutionContext:
    """Return what the runner has to know of a plan."""
    return LearningExecutionContext(
        plan=stored.plan,
        base_config=stored.config,
        max_steps=stored.max_steps,
        step_timeout=stored.step_timeout,
        metadata=stored.metadata,
        plan_id=stored.plan_id,
        max_seconds=max_seconds,
        resumption=resumption,
    )


def not_begun(stored: StoredPlan) -> LearningExecutionResult:
    """Return the result of a plan that was cancelled before its first step."""
    return LearningExecutionResult(
        plan=stored.plan,
        plan_id=stored.plan_id,
        outcome=Outcome.CANCELLED,
        metadata={**stored.plan.metadata, **stored.metadata},
        summary=summarize((), stored.plan.count, Outcome.CANCELLED),
    )
