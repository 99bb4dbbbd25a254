"""`python -m stablenew.run --workflow …`, as a person types it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from stablenew.learning.learning_record_reader import read_records
from stablenew.run import command
from tests.cli.program import Done
from tests.cli.program import run as run_program
from tests.comfyui.server import V0_33, ComfyUI, serve
from tests.comfyui.test_workflow_conversion import saved
from tests.comfyui.test_workflow_files import picture
from tests.comfyui.workflow_nodes import answer, node, two_passes, txt2img


@pytest.fixture
def comfyui() -> Iterator[ComfyUI]:
    with serve(V0_33, info=answer()) as server:
        yield server


def run(folder: Path, comfyui: ComfyUI, *words: str, flow: object = None, expect: int = 0) -> Done:
    if flow is not None:
        (folder / "flow.json").write_text(json.dumps(flow))
        words = ("--workflow", "flow.json", *words)
    done = run_program("--url", comfyui.url, *words, cwd=folder, expect=None)
    assert done.returncode == expect, done.stderr
    return done


def inputs(comfyui: ComfyUI, node: str, name: str) -> list[Any]:
    """Return what was in an input of each prompt that was taken."""
    return [entry.prompt[node]["inputs"][name] for entry in comfyui.entries]


def varied(folder: Path) -> list[Mapping[str, object]]:
    records = read_records(folder / "runs" / "learning_records.jsonl")
    return [each.metadata["varied"] for each in records]  # type: ignore[misc]  # a table


def test_inputs_are_swept_and_recorded_and_what_is_there_is_not_made_again(
    tmp_path: Path, comfyui: ComfyUI
) -> None:
    words = (
        "--sweep", "11.denoise=0.3,0.6", "--sweep", "LatentUpscale.upscale_method=area,bislerp",
        "--images-per-step", "2", "--seed", "100", "--learn",
    )  # fmt: skip
    done = run(tmp_path, comfyui, *words, flow=two_passes())
    assert "4 steps: 4 succeeded; pictures: 8" in done.stdout
    assert "the picture is that of node 12 (Large); --output chooses 9 (SaveImage)" in done.stderr
    assert inputs(comfyui, "11", "denoise") == [0.3, 0.3, 0.6, 0.6] * 2
    assert inputs(comfyui, "11", "seed") == inputs(comfyui, "3", "seed") == [100, 101] * 4
    assert varied(tmp_path)[1] == {
        "workflow.11.denoise": 0.6, "workflow.10.upscale_method": "area",
    }  # fmt: skip
    record = next(iter(read_records(tmp_path / "runs" / "learning_records.jsonl")))
    assert (record.stage_plan, record.primary_steps) == (("workflow",), 20)
    assert "graph" not in record.outputs[0]
    assert not any("9" in entry.prompt for entry in comfyui.entries)
    again = run(tmp_path, comfyui, *words, flow=two_passes())
    assert "4 steps: 4 reused" in again.stdout
    assert len(comfyui.entries) == 8


def test_inputs_are_explored_together(tmp_path: Path, comfyui: ComfyUI) -> None:
    words = (
        "--explore", "KSampler.cfg=1..12", "--explore", "KSampler.sampler_name=*",
        "--explore", "3.steps=4..40", "--seed", "100", "--max-pictures", "10", "--learn",
        "--prompt", "a cat", "--rater", 'sh -c "echo $(( ${#0} % 5 + 1 ))"',
    )  # fmt: skip
    done = run(tmp_path, comfyui, *words, flow=txt2img())
    assert "10 steps: 10 succeeded" in done.stdout
    assert "  workflow.3.cfg " in done.stdout
    assert len(set(inputs(comfyui, "3", "cfg"))) > 4
    assert len(set(inputs(comfyui, "3", "sampler_name"))) > 2
    assert all(type(steps) is int for steps in inputs(comfyui, "3", "steps"))
    assert set(inputs(comfyui, "3", "seed")) == {100}  # more of them after ten pictures
    paths = {"workflow.3.cfg", "workflow.3.sampler_name", "workflow.3.steps", "txt2img.seed"}
    assert {path for each in varied(tmp_path) for path in each} == paths


def test_globs_are_all_that_the_input_takes(tmp_path: Path, comfyui: ComfyUI) -> None:
    run(tmp_path, comfyui, "--sweep", "KSampler.scheduler=k*", "--set", "6.text=*", flow=txt2img())
    assert inputs(comfyui, "3", "scheduler") == ["karras", "kl_optimal"]
    run(tmp_path, comfyui, "--sweep", "6.text=a*,b?", flow=txt2img())
    assert inputs(comfyui, "6", "text")[2:] == ["a*", "b?"]
    words = ("--sweep", "KSampler.scheduler=x*")
    assert (
        "which no name matches" in run(tmp_path, comfyui, *words, flow=txt2img(), expect=2).stderr
    )


def test_checkpoints_are_loaded_once_each(tmp_path: Path, comfyui: ComfyUI) -> None:
    words = ("--sweep", "4.ckpt_name=full-a,full-b", "--sweep", "KSampler.cfg=3,5")
    run(tmp_path, comfyui, *words, flow=txt2img())
    assert comfyui.loads == ["full-a.safetensors", "sd15/full-b.safetensors"]


def test_a_page_as_it_was_saved_runs(tmp_path: Path, comfyui: ComfyUI) -> None:
    run(tmp_path, comfyui, "--sweep", "Positive prompt.text=a cat,a dog", flow=saved())
    assert inputs(comfyui, "6", "text") == ["a cat", "a dog"]
    assert inputs(comfyui, "3", "steps") == [20, 20]


def test_a_picture_runs_again_with_another_prompt(tmp_path: Path, comfyui: ComfyUI) -> None:
    (tmp_path / "made.png").write_bytes(picture(prompt=json.dumps(txt2img())))
    run(tmp_path, comfyui, "--workflow", "made.png", "--prompt", "a fox", "--seed", "5")
    assert inputs(comfyui, "6", "text") == ["a fox"]
    assert inputs(comfyui, "3", "seed") == [5]
    (made,) = (tmp_path / "runs").glob("*/workflow_1.png")
    again = run(tmp_path, comfyui, "--workflow", str(made), "--list")
    assert "seed      3.seed = 5" in again.stdout


def test_a_pack_and_words_of_its_own_prompt_feed_a_workflow(
    tmp_path: Path, comfyui: ComfyUI
) -> None:
    (tmp_path / "pack.txt").write_text("a fox\nan owl\n")
    run(tmp_path, comfyui, "--pack", "pack.txt", "--prompts", "all", flow=txt2img())
    run(tmp_path, comfyui, "--replace", "cat=hen,cow", flow=txt2img())
    assert inputs(comfyui, "6", "text") == ["a fox", "an owl", "a hen", "a cow"]


def test_a_picture_to_start_from_is_uploaded_to_where_one_is_loaded(
    tmp_path: Path, comfyui: ComfyUI
) -> None:
    flow = txt2img()
    flow["10"] = node("LoadImage", image="gone.png")
    flow["5"] = node("VAEEncode", pixels=["10", 0], vae=["4", 2])
    (tmp_path / "start.png").write_bytes(picture())
    run(tmp_path, comfyui, "--image", "start.png", flow=flow)
    (name,) = inputs(comfyui, "10", "image")
    assert name.startswith("stablenew/")


def test_another_output_is_chosen(tmp_path: Path, comfyui: ComfyUI) -> None:
    run(tmp_path, comfyui, "--output", "9", flow=two_passes())
    assert set(comfyui.entries[0].prompt) == set(txt2img())


def test_a_picture_from_the_cache_is_written_anew_and_said(
    tmp_path: Path, comfyui: ComfyUI
) -> None:
    words = ("--seed", "5", "--fresh", "--json")
    run(tmp_path, comfyui, *words, flow=txt2img())
    again = run(tmp_path, comfyui, *words, flow=txt2img())
    (line,) = [json.loads(each) for each in again.stdout.splitlines() if "PictureSaved" in each]
    assert line["output"]["warnings"] == [
        "the server had it in its cache: nothing was sampled anew"
    ]
    assert len(list((tmp_path / "runs").glob("*/workflow_1.png"))) == 2


def test_a_plan_goes_on_without_its_file(tmp_path: Path, comfyui: ComfyUI) -> None:
    comfyui.fail_at = ("VAEDecode", "out of memory")
    run(tmp_path, comfyui, "--sweep", "KSampler.cfg=3,5", flow=txt2img(), expect=1)
    comfyui.fail_at = None
    (plan,) = (path.parent for path in (tmp_path / "runs").glob("*/plan.json"))
    (tmp_path / "flow.json").unlink()
    done = run_program("--resume", str(plan), "--only-failed", cwd=tmp_path, expect=0)
    assert "2 steps: 2 succeeded" in done.stdout
    assert inputs(comfyui, "3", "cfg") == [3, 5, 3, 5]


def test_a_plan_file_names_a_workflow_beside_it(tmp_path: Path, comfyui: ComfyUI) -> None:
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "flow.json").write_text(json.dumps(txt2img()))
    (tmp_path / "plans" / "plan.toml").write_text(
        'workflow = "flow.json"\n[learning]\naxes = [{path = "KSampler.cfg", values = [3, 5]},'
        ' {path = "4.ckpt_name", values = ["full-a", "full-b"]}]\n'
    )
    run(tmp_path, comfyui, "plans/plan.toml")
    assert sorted(inputs(comfyui, "3", "cfg")) == [3, 3, 5, 5]
    assert inputs(comfyui, "4", "ckpt_name")[2:] == ["sd15/full-b.safetensors"] * 2


def test_what_is_recommended_is_a_plan_file_that_a_workflow_takes(
    tmp_path: Path, comfyui: ComfyUI
) -> None:
    words = (
        "--sweep",
        "KSampler.cfg=3,5",
        "--sweep",
        "KSampler.sampler_name=euler,heun",
        "--learn",
    )
    run(tmp_path, comfyui, *words, flow=txt2img())
    (plan,) = (path.parent for path in (tmp_path / "runs").glob("*/plan.json"))
    ratings = {f"{plan.name}-0000{step}": rating for step, rating in enumerate((5, 1, 5, 1), 1)}
    for run_id, rating in ratings.items():
        line = {"run_id": run_id, "image_id": "workflow_1", "rating": rating}
        feedback = tmp_path / "runs" / run_id / "feedback.jsonl"
        feedback.write_text(json.dumps({**line, "at": "2026-01-01T00:00:00+00:00"}) + "\n")
    done = run_program(
        "recommend", "--as-config", "best.toml", cwd=tmp_path, expect=0, entry=command
    )
    assert "workflow.3.cfg" in done.stdout
    table = tomllib.loads((tmp_path / "best.toml").read_text().replace('# "', '"'))
    assert set(table["inputs"]) == {"3.cfg", "3.sampler_name"}
    (tmp_path / "best.toml").write_text('[inputs]\n"KSampler.cfg" = 4.5\n')
    run(tmp_path, comfyui, "best.toml", flow=txt2img())
    assert inputs(comfyui, "3", "cfg")[-1] == 4.5
    wrong = run(tmp_path, comfyui, "best.toml", flow=two_passes(), expect=2)
    assert "inputs: KSampler.cfg: could be 3.cfg" in wrong.stderr
    alone = run_program("best.toml", "--prompt", "a cat", cwd=tmp_path, expect=2)
    assert "inputs: of which workflow?" in alone.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--sweep", "KSampler.cfg=3,5"), "KSampler.cfg: could be 3.cfg (KSampler, now 8), 11.cfg"),
        (("--sweep", "3.model=3"), "3.model: comes from node 4 (Load Checkpoint); set 4.ckpt_name"),
        (("--sweep", "3.cfg=3,500"), "workflow.3.cfg: given 500, expected 0 to 100"),
        (("--sweep", "3.steps=3.5"), "workflow.3.steps: given 3.5, expected a whole number"),
        (("--sweep", "3.cfg=high"), "workflow.3.cfg: given 'high', expected a number"),
        (("--set", "4.ckpt_name=nope"), "workflow.4.ckpt_name: given 'nope', there is full-a"),
        (("--output", "5"), "workflow: --output: given '5', there is 12 (Large), 9 (SaveImage)"),
        (("--set", "txt2img.steps=4"), "txt2img.steps: given with a workflow, which has no such"),
        (("--sweep", "lora.film=1,2"), "lora.film: a workflow has its LoRAs in nodes"),
        (("--explore", "3.cfg=1..900"), "given 109, expected 0 to 100; and 9 more of its values"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(
    tmp_path: Path, comfyui: ComfyUI, words: tuple[str, ...], said: str
) -> None:
    done = run(tmp_path, comfyui, *words, flow=two_passes(), expect=2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not comfyui.entries
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_shows_what_is_set_and_no_graph(tmp_path: Path, comfyui: ComfyUI) -> None:
    words = ("--sweep", "KSampler.cfg=3,5", "--dry-run")
    shown = run(tmp_path, comfyui, *words, flow=txt2img()).stdout
    told = run(tmp_path, comfyui, *words, "--json", flow=txt2img()).stdout
    assert "3.cfg=3" in shown
    assert "class_type" not in shown + told
    assert not comfyui.entries


def test_an_output_is_chosen_of_a_workflow_alone(tmp_path: Path, comfyui: ComfyUI) -> None:
    done = run(tmp_path, comfyui, "--output", "9", "--prompt", "a cat", expect=2)
    assert done.stderr == "stablenew: --output: of what? give --workflow FILE as well\n"
