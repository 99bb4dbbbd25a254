"""Workflows on a real server: collected only where STABLENEW_REAL_COMFYUI_URL names one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import httpx2
import pytest

from stablenew.backends.comfyui.object_info import ObjectInfo, read_object_info
from stablenew.backends.comfyui.workflows.workflow_problems import workflow_problems
from tests.cli.program import run as run_program
from tests.comfyui.workflow_nodes import node, txt2img, workflow

URL = os.environ["STABLENEW_REAL_COMFYUI_URL"]


@pytest.fixture(scope="module")
def info() -> ObjectInfo:
    return read_object_info(httpx2.get(f"{URL}/object_info", timeout=60).content)


@pytest.fixture
def nodes(info: ObjectInfo) -> dict[str, Any]:
    made = txt2img()
    made["3"]["inputs"]["steps"] = 2
    made["4"]["inputs"]["ckpt_name"] = info.choices("CheckpointLoaderSimple", "ckpt_name")[0]
    return made


def refuses(nodes: dict[str, Any]) -> bool:
    """Return whether the server refuses a prompt; what it takes is taken from its queue."""
    answer = httpx2.post(f"{URL}/prompt", json={"prompt": nodes})
    told = answer.json() if answer.status_code == 200 else {}
    if told:
        httpx2.post(f"{URL}/queue", json={"delete": [told["prompt_id"]]})
        httpx2.post(f"{URL}/interrupt", json={"prompt_id": told["prompt_id"]})
    return answer.status_code != 200 or bool(told["node_errors"])


def test_what_it_takes_has_no_problems(nodes: dict[str, Any], info: ObjectInfo) -> None:
    assert not refuses(nodes)
    assert not workflow_problems(workflow(nodes), info)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("3.cfg", 200), ("3.cfg", "high"), ("3.steps", 0), ("3.steps", None),
        ("3.sampler_name", "Euler a"), ("3.seed", -1), ("3.seed", 2**64), ("3.denoise", 1.5),
        ("4.ckpt_name", "nope.safetensors"), ("5.width", 8), ("9.images", ["99", 0]),
        ("9.images", ["8", 3]), ("9.images", ["4", 0]), ("8.vae", ["4", 0]),
    ],
)  # fmt: skip
def test_what_it_refuses_is_told_before(
    nodes: dict[str, Any], info: ObjectInfo, where: str, value: Any
) -> None:
    name, _, field = where.partition(".")
    nodes[name]["inputs"][field] = value
    assert refuses(nodes)
    assert len(workflow_problems(workflow(nodes), info)) == 1


@pytest.mark.parametrize(
    ("where", "value"), [("3.model", 5), ("3.steps", 2.9), ("3.cfg", "8"), ("6.text", 5)]
)
def test_what_it_bends_or_fails_with_is_told_too(
    nodes: dict[str, Any], info: ObjectInfo, where: str, value: Any
) -> None:
    name, _, field = where.partition(".")
    nodes[name]["inputs"][field] = value
    assert not refuses(nodes)
    assert len(workflow_problems(workflow(nodes), info)) == 1


@pytest.mark.parametrize("missing", ["3.cfg", "3.model", "8.vae", "6.text", "9.images"])
def test_what_it_misses_is_told_before(
    nodes: dict[str, Any], info: ObjectInfo, missing: str
) -> None:
    name, _, field = missing.partition(".")
    del nodes[name]["inputs"][field]
    assert refuses(nodes)
    assert len(workflow_problems(workflow(nodes), info)) == 1


def test_absent_files_classes_and_circles_are_told_before(
    nodes: dict[str, Any], info: ObjectInfo
) -> None:
    loading = {"1": node("LoadImage", image="nope.png"), "2": node("PreviewImage", images=["1", 0])}
    unknown = {**nodes, "20": node("Nobody's", images=["8", 0])}
    latent = node(
        "LatentUpscale", samples=["3", 0], upscale_method="area", width=8, height=8, crop="disabled"
    )
    for each in (loading, unknown, {**nodes, "5": latent}):
        assert refuses(each)
        assert len(workflow_problems(workflow(each), info)) == 1


def test_a_sweep_makes_pictures_that_run_again(tmp_path: Path, nodes: dict[str, Any]) -> None:
    (tmp_path / "flow.json").write_text(json.dumps(nodes))
    done = run_program(
        "--url", URL, "--workflow", "flow.json", "--sweep", "KSampler.cfg=3,5", "--seed", "7",
        "--prompt", "a fox", "--learn", cwd=tmp_path, expect=0,
    )  # fmt: skip
    assert "2 steps: 2 succeeded" in done.stdout
    first, second = sorted((tmp_path / "runs").glob("*/workflow_1.png"))
    assert first.read_bytes() != second.read_bytes()
    again = run_program(
        "--url", URL, "--workflow", str(first), "--seed", "7", "--fresh", cwd=tmp_path, expect=0
    )
    assert "succeeded" in again.stdout
