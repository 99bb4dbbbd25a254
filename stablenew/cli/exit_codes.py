"""What the program's exit code says."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `--help` comes by here, too
    from stablenew.pipeline.results import Outcome


class ExitCode(IntEnum):
    """How the program ended; a signal's number plus 128 where one ended it."""

    SUCCEEDED = 0
    FAILED = 1
    WRONG_INPUT = 2
    UNREACHABLE = 3
    OUT_OF_TIME = 4


def exit_code(outcome: Outcome, *, out_of_time: bool = False) -> ExitCode:
    """Return the exit code for what became of a run or a plan.

    Args:
        outcome: How it ended.
        out_of_time: Whether steps were left because they would not have been done in time.
    """
    if outcome != "succeeded":
        return ExitCode.FAILED
    return ExitCode.OUT_OF_TIME if out_of_time else ExitCode.SUCCEEDED
