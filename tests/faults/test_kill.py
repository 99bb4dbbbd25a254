"""Killed at any moment, a plan is resumed to what it would have been: `scripts/kill_plan.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support import rounds

SCRIPT = Path(__file__).parents[2] / "scripts" / "kill_plan.py"


def test_kills_at_any_moment_leave_nothing_behind_once_the_plan_is_resumed() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--kills", str(rounds(1, 200)), "--seed", "45"],
        capture_output=True,
        text=True,
        check=False,
        timeout=rounds(140, 3_000),
    )
    assert done.returncode == 0, done.stdout + done.stderr
