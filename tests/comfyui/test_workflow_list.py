"""`--workflow FILE --list`, as a person types it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.program import Done
from tests.cli.program import run as run_program
from tests.comfyui.server import V0_33, serve
from tests.comfyui.test_workflow_conversion import saved
from tests.comfyui.workflow_nodes import answer, node, two_passes, txt2img
from tests.webui.test_faults import free_port


@contextmanager
def nodes() -> Iterator[str]:
    with serve(V0_33, info=answer()) as comfyui:
        yield comfyui.url
        assert not comfyui.entries


def listed(folder: Path, flow: object, *words: str, expect: int = 0) -> Done:
    (folder / "flow.json").write_text(json.dumps(flow))
    done = run_program("--workflow", "flow.json", "--list", *words, cwd=folder, expect=None)
    assert done.returncode == expect, done.stderr
    return done


@pytest.mark.parametrize("flow", [two_passes(), saved()], ids=["API", "UI"])
def test_it_is_shown_what_was_read_and_what_can_be_swept(tmp_path: Path, flow: object) -> None:
    with nodes() as url:
        lines = listed(tmp_path, flow, "--url", url).stdout.splitlines()
    shown = [" ".join(line.split()) for line in lines]
    assert "seed 3.seed = 42" in shown
    assert "prompt 6.text = 'a cat'" in shown
    assert "negative 7.text = 'blurry'" in shown
    assert "3.cfg KSampler 8 0 to 100" in shown
    assert "3.seed KSampler 42 0 to 18,446,744,073,709,551,615; follows --seed" in shown
    assert any(line.startswith("3.scheduler KSampler 'normal' simple, sgm") for line in shown)
    assert list(tmp_path.iterdir()) == [tmp_path / "flow.json"]


def test_the_output_that_is_meant_is_said_and_can_be_chosen(tmp_path: Path) -> None:
    with nodes() as url:
        likeliest = listed(tmp_path, two_passes(), "--url", url).stdout
        chosen = listed(tmp_path, two_passes(), "--url", url, "--output", "9").stdout
        wrong = listed(tmp_path, two_passes(), "--url", url, "--output", "3", expect=2).stderr
    assert "of node 12 (Large); --output chooses another: 9" in likeliest
    assert "of node 9 (SaveImage); --output chooses another: 12" in chosen
    assert "--output: given '3', there is 12 (Large), 9 (SaveImage)" in wrong


def test_everything_that_is_wrong_is_said_a_line_each(tmp_path: Path) -> None:
    flow = txt2img()
    flow["3"]["inputs"] |= {"cfg": 200, "latent_image": ["20", 0]}
    flow["20"] = node("FaceDetailerPipe")
    with nodes() as url:
        done = listed(tmp_path, flow, "--url", url, expect=2)
    assert done.stderr.splitlines() == [
        "stablenew: flow.json: node 20: the server has no 'FaceDetailerPipe';"
        " ComfyUI-Impact-Pack has it",
        "stablenew: flow.json: 3.cfg (KSampler): given 200, expected 0 to 100",
    ]


def test_json_has_an_object_for_each_input(tmp_path: Path) -> None:
    with nodes() as url:
        done = listed(tmp_path, txt2img(), "--url", url, "--json")
    told, envelope = (json.loads(line) for line in done.stdout.splitlines())
    assert (told["type"], told["output"], told["format"]) == ("workflow", "9", "API format")
    cfg = next(each for each in told["inputs"] if each["name"] == "3.cfg")
    assert (cfg["value"], cfg["low"], cfg["high"], cfg["kind"]) == (8, 0, 100, "KSampler")
    assert envelope["exit_code"] == 0


def test_without_the_server_that_was_named_nothing_is_listed(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = listed(tmp_path, txt2img(), "--url", url, expect=3)
    assert done.stderr.startswith(f"stablenew: no answer from {url}")


def test_what_is_no_comfyui_is_told(tmp_path: Path) -> None:
    with nodes() as url:
        done = listed(tmp_path, txt2img(), "--url", f"{url}/elsewhere", expect=3)
    assert "is no ComfyUI" in done.stderr


def test_of_no_workflow_there_is_no_list(tmp_path: Path) -> None:
    done = run_program("--list", cwd=tmp_path, expect=2)
    assert done.stderr == "stablenew: --list: of what? give --workflow FILE as well\n"
