"""What rates and goes on with an adaptive plan; numpy is loaded only where there is one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stablenew.learning.learning_execution import Rate
from stablenew.learning.learning_plan import LearningPlan

if TYPE_CHECKING:
    from stablenew.advice.explorer import Explorer
    from stablenew.advice.joint_advice import JointAdvice


def explorer_of(
    plan: LearningPlan, out: Path, rate: Rate | None, nodes: int = 1
) -> Explorer | None:
    """Return what rates and goes on with a plan; None for one that is not adaptive. Blocks.

    Args:
        plan: With what it chose so far.
        out: The folder of all runs.
        rate: Asked for ratings; None where they come from elsewhere.
        nodes: How many servers there are: a batch has a picture for each.
    """
    if not plan.is_adaptive:
        return None
    from stablenew.advice.exploration import AT_ONCE
    from stablenew.advice.explorer import Explorer

    return Explorer(plan, out, rate, at_once=max(AT_ONCE, nodes))


def answer_of(explorer: Explorer | None) -> JointAdvice | None:
    """Return the advice of an adaptive plan; None where nothing was rated, or there is none.

    Blocks.
    """
    return None if explorer is None else explorer.answer()
