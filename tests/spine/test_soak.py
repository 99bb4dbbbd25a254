"""Start, cancel, start again: `scripts/soak.py` in small."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support import rounds

SCRIPT = Path(__file__).parents[2] / "scripts" / "soak.py"


def test_many_rounds_leave_no_task_handle_thread_or_memory() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--rounds", str(rounds(8, 1000)), "--seed", "6"],
        capture_output=True,
        text=True,
        check=False,
        timeout=rounds(140, 3_000),
    )
    assert done.returncode == 0, done.stdout + done.stderr
