"""`python -m stablenew.run` on a ComfyUI, as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

from stablenew.learning.learning_record_reader import read_records
from tests.cli.program import run as run_program
from tests.comfyui.server import serve

SMALL = ("--set", "txt2img.width=64", "--set", "txt2img.height=64", "--set", "txt2img.steps=4")


def test_a_sweep_on_whatever_answers_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    words = ["--prompt", "a castle", *SMALL, "--sweep", "txt2img.cfg_scale=3,5,7", "--learn"]
    with serve() as comfyui:
        first = run_program(
            "--url", comfyui.url, *words, "--max-steps", "3", "--json", cwd=tmp_path, expect=0
        )
        saved = [json.loads(line) for line in first.stdout.splitlines() if "PictureSaved" in line]
        assert [line["output"]["settings"]["cfg_scale"] for line in saved] == [3, 5, 7]
        (plan,) = (path.parent for path in (tmp_path / "runs").glob("*/plan.json"))
        again = run_program("--resume", str(plan), cwd=tmp_path, expect=0)
    assert "is finished; nothing to do" in again.stderr
    assert len(list(read_records(tmp_path / "runs" / "learning_records.jsonl"))) == 3


def test_what_it_lacks_is_said_before_anything_runs(tmp_path: Path) -> None:
    with serve() as comfyui:
        done = run_program(
            "--backend", "comfyui", "--url", comfyui.url, "--prompt", "a [cat|dog]",
            "--sweep", "txt2img.sampler_name=Euler,PLMS", cwd=tmp_path, expect=None,
        )  # fmt: skip
        assert not comfyui.entries
    assert done.returncode == 2
    assert (
        "'[cat|dog]' ([one|other]), which the comfyui backend takes for plain words" in done.stderr
    )
    assert "PLMS" in done.stderr
