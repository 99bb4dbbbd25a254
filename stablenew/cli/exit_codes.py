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


def exit_code(outcome: Outcome) -> ExitCode:
    """Return the exit code for what became of a run or a plan."""
    return ExitCode.SUCCEEDED if outcome == "succeeded" else ExitCode.FAILED
