"""Run the README's main job in an empty folder, once, and check what it left.

Usage: check_main_job.py [FOLDER]; without one, a temporary folder is used and removed.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
STEPS, IMAGES, STAGES = 4, 4, ("txt2img", "img2img", "upscale")
MOST_SECONDS = 120


def main_job() -> list[str]:
    """Return the words of `make run`, as the Makefile has them."""
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    found = re.search(r"^run:.*\n\t\S+ (-m stablenew\.run .*)$", makefile, re.MULTILINE)
    assert found, "the Makefile has no run target"
    return [sys.executable, *shlex.split(found[1])]


def check(folder: Path) -> None:
    """Check the files of the main job."""
    runs = folder / "runs"
    records = [json.loads(line) for line in (runs / "learning_records.jsonl").open()]
    assert [record["metadata"]["variable_value"] for record in records] == [1, 3, 5, 8]
    for record in records:
        assert record["stage_plan"] == list(STAGES), record["stage_plan"]
        assert len(record["outputs"]) == IMAGES * len(STAGES)
        for output in record["outputs"]:
            with Image.open(runs / output["path"]) as image:
                assert image.size == (output["width"], output["height"])
                assert "parameters" in image.info
        metadata = json.loads((runs / record["run_id"] / "run_metadata.json").read_text())
        assert metadata["outcome"] == "succeeded"
    plan = runs / records[0]["plan_id"]
    events = [json.loads(line) for line in (plan / "events.jsonl").open()]
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "PlanFinished"
    with Image.open(plan / "contact_sheet.png") as sheet:
        assert sheet.width > IMAGES * 200, sheet.size
        assert sheet.height > STEPS * 200, sheet.size
    strays = [path for path in runs.rglob(".*") if path.suffix in (".tmp", ".old")]
    assert not strays, strays


def run(folder: Path) -> None:
    """Run the main job and check it."""
    started = time.monotonic()
    subprocess.run(main_job(), cwd=folder, check=True)
    seconds = time.monotonic() - started
    assert seconds < MOST_SECONDS, f"{seconds:.0f} s"
    check(folder)
    print(f"main job: {STEPS * IMAGES * len(STAGES)} pictures in {seconds:.1f} s, all there")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            run(Path(temporary))
