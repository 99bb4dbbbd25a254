"""Writers are killed at random moments beside readers; the figure for many kills is a script's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support import rounds

SCRIPT = Path(__file__).parents[2] / "scripts" / "kill_records.py"


def test_kills_lose_no_acknowledged_record_and_show_no_half_line() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--kills", str(rounds(4, 300))],
        capture_output=True,
        text=True,
        check=False,
        timeout=rounds(120, 3_000),
    )
    assert done.returncode == 0, done.stderr
    assert "all there, whole and once" in done.stdout
