"""Kill a plan's process at moments of chance, resume the plan, and compare.

python scripts/kill_plan.py --kills 200

Each time a program of its own runs a plan on the embedded backend and is killed with SIGKILL
somewhere between its start and its end; then the plan is resumed here. Afterwards its pictures have
to be those of an undisturbed run, byte for byte, with one record per step, no temporary file, and
no finished step made again. Prints what was found; ends with 1 if anything was not so.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import anyio

from stablenew import Settings, open_app
from stablenew.config.settings import RECORDS_FILE
from stablenew.learning.learning_record_reader import read_records

VALUES = (1, 3, 5)
WORDS = (
    *("--prompt", "a red mushroom", "--seed", "5", "--set", "txt2img.steps=2"),
    *("--sweep", f"txt2img.cfg_scale={','.join(map(str, VALUES))}", "--images-per-step", "2"),
    *("--set", "upscale.enabled=true", "--learn", "--json"),
)
BEFORE = 0.2
"""How many of the kills come at any moment from the program's start, and not from the plan's."""


AGAIN = 0.3
"""How many of the plans are killed a second time, when they go on."""


def start(*words: str) -> subprocess.Popen[bytes]:
    """Start the program."""
    return subprocess.Popen(
        [sys.executable, "-m", "stablenew.run", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def pictures(out: Path) -> dict[str, bytes]:
    """Return every picture by its step and its own name."""
    return {
        f"{path.parent.name.rpartition('-')[2]}/{path.name}": path.read_bytes()
        for path in out.glob("*-*/*.png")
        if path.parent.name.count("-") == 3
    }


def finished(out: Path) -> dict[str, tuple[int, int]]:
    """Return the pictures of the runs that have ended well: which file each is, and when made."""
    found = {}
    for path in out.glob("*/run_metadata.json"):
        if json.loads(path.read_bytes())["outcome"] == "succeeded":
            for picture in path.parent.glob("*.png"):
                stat = picture.stat()
                found[str(picture)] = stat.st_ino, stat.st_mtime_ns
    return found


async def resume(out: Path, plan_id: str) -> str:
    """Go on with a plan to its end; return what is not as it should be."""
    async with open_app(Settings(out=out)) as app:
        told = [each.id for each in app.interrupted]
        result = await app.learning.resume_plan(plan_id)
        if result.summary["quarantined"]:  # both kills hit the same step
            result = await app.learning.resume_plan(plan_id, only_failed=True)
        await app.reports.drained()
    if not result.success:
        return f"it did not succeed: {dict(result.summary)}"
    return "" if told == [plan_id] or (out / plan_id / "contact_sheet.png").exists() else "untold"


def problems(out: Path, plan_id: str, before: dict[str, tuple[int, int]]) -> list[str]:
    """Return what is not as it should be after a plan was resumed."""
    found = []
    after = finished(out)
    again = [name for name, which in before.items() if after.get(name) != which]
    if again:
        found.append(f"finished pictures were made again: {', '.join(again)}")
    counted = Counter(record.run_id for record in read_records(out / "learning_records.jsonl"))
    steps = {f"{plan_id}-{number:05d}" for number in range(1, len(VALUES) + 1)}
    if set(counted) != steps or set(counted.values()) != {1}:
        found.append(f"records: {dict(counted)}")
    # The record file's own has a fixed name, and the next append takes it away.
    own = f".{RECORDS_FILE}.tmp"
    temporary = [path.name for path in out.rglob(".*.tmp") if path.name != own]
    if temporary:
        found.append(f"temporary files: {temporary}")
    return found


def kill(process: subprocess.Popen[bytes], moment: float, *, from_start: bool) -> None:
    """Kill a program some seconds after its start, or after its first line."""
    assert process.stdout is not None
    if not from_start:
        process.stdout.readline()
    time.sleep(moment)
    process.kill()
    process.stdout.close()
    process.wait()


def one_kill(
    out: Path, moment: float, again: float | None, *, from_start: bool
) -> tuple[str, list[str]]:
    """Kill a plan at a moment, or again when it goes on, and resume it.

    Returns when that was, and what is not as it should be.
    """
    kill(start(*WORDS, "--out", str(out)), moment, from_start=from_start)
    plans = list(out.glob("*/plan.json"))
    if not plans:
        return "before the plan", []
    plan_id = plans[0].parent.name
    before = finished(out)
    when = f"with {len(before) // 4} steps finished"
    if again is not None:
        going_on = start("--resume", str(out / plan_id), "--json")
        kill(going_on, again, from_start=False)
        before = finished(out)
        when += ", and when it went on"
    if problem := anyio.run(resume, out, plan_id):
        return when, [problem]
    return when, problems(out, plan_id, before)


def main() -> int:
    """Kill as often as asked; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    flags = parser.parse_args()
    chance = random.Random(flags.seed)  # moments, no secrets
    os.environ.pop("STABLENEW_OUT", None)
    wrong = 0
    moments: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        process = start(*WORDS, "--out", str(Path(folder) / "whole"))
        assert process.stdout is not None
        process.stdout.readline()
        startup = time.monotonic() - began
        process.stdout.read()
        process.stdout.close()
        assert process.wait() == 0
        whole = time.monotonic() - began - startup
        expected = pictures(Path(folder) / "whole")
        assert len(expected) == 4 * len(VALUES), sorted(expected)
        for number in range(flags.kills):
            out = Path(folder) / str(number)
            from_start = chance.random() < BEFORE
            moment = chance.uniform(0, startup + whole if from_start else whole)
            again = chance.uniform(0, whole) if chance.random() < AGAIN else None
            when, found = one_kill(out, moment, again, from_start=from_start)
            moments[when] += 1
            if when != "before the plan" and pictures(out) != expected:
                found.append("other pictures than those of an undisturbed run")
            wrong += bool(found)
            for problem in found:
                print(f"kill {number} after {moment:.3f} s, {when}: {problem}", flush=True)
    print(f"{flags.kills} kills (seed {flags.seed}), {wrong} with something wrong; {dict(moments)}")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
