"""A workflow as the stage of a run: what follows what, and what is refused before anything runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stablenew.backends.base import Capabilities
from stablenew.backends.comfyui.workflows.workflow_stage import ComfyUIWorkflows, filled_graph
from stablenew.config.overrides import override, override_all
from stablenew.config.pipeline_config import PipelineConfig, Setting
from stablenew.errors import ConfigError, OverrideError
from stablenew.pipeline.stage_plan import StagePlan, plan_stages
from tests.comfyui.workflow_nodes import info, node, two_passes, txt2img

SERVER = Capabilities(backend="comfyui", stages={}, workflows=ComfyUIWorkflows(info()))


def config(nodes: dict[str, Any] | None = None, **txt2img_: Setting) -> PipelineConfig:
    graph = json.dumps(txt2img() if nodes is None else nodes)
    return PipelineConfig.from_dict({"workflow": {"graph": graph}, "txt2img": txt2img_})


def planned(nodes: dict[str, Any] | None = None, **txt2img_: Setting) -> StagePlan:
    return plan_stages(config(nodes, **txt2img_), SERVER)


def sent(plan: StagePlan, number: int = 1, image: str | None = None) -> dict[str, Any]:
    """Return what is in the inputs of the nodes of a picture."""
    nodes = filled_graph(plan.stages[0].of_picture(number), image).as_prompt()
    return {name: each["inputs"] for name, each in nodes.items()}


def refused(config: PipelineConfig) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        plan_stages(config, SERVER)
    return caught.value.problems


def settings(nodes: dict[str, Any], image: bool = True, **given: Setting) -> dict[str, Setting]:
    workflow = config(nodes).workflow
    assert workflow is not None
    return ComfyUIWorkflows(info()).settings(workflow, given, image=image)


def test_a_workflow_runs_as_it_is_but_for_its_seeds() -> None:
    plan = planned(seed=7)
    assert plan.names == ("workflow",)
    assert sent(plan)["3"] == {**txt2img()["3"]["inputs"], "seed": 7, "model": ["4", 0]}


def test_all_seeds_follow_that_of_the_run_and_count_with_the_pictures() -> None:
    nodes = two_passes()
    nodes["20"] = node("PrimitiveInt", value=9)
    nodes["11"]["inputs"]["seed"] = ["20", 0]
    plan = planned(nodes, seed=100)
    second = sent(plan, 2)
    assert (second["3"]["seed"], second["20"]["value"]) == (101, 101)
    assert plan.stages[0].settings["seed"] == 100


def test_a_seed_that_is_set_by_name_follows_nothing() -> None:
    given = override(config(two_passes(), seed=100), "workflow.11.seed", 5)
    inputs = sent(plan_stages(given, SERVER), 3)
    assert (inputs["3"]["seed"], inputs["11"]["seed"]) == (102, 5)


def test_prompts_go_where_the_graph_shows_that_they_belong() -> None:
    inputs = sent(planned(two_passes(), prompt="a dog", negative_prompt="dull"))
    assert (inputs["6"]["text"], inputs["7"]["text"]) == ("a dog", "dull")


def test_several_texts_that_are_the_same_are_one_prompt() -> None:
    nodes = two_passes()
    nodes["16"] = node("CLIPTextEncode", text="a cat", clip=["4", 1])
    nodes["11"]["inputs"]["positive"] = ["16", 0]
    inputs = sent(planned(nodes, prompt="a dog"))
    assert (inputs["6"]["text"], inputs["16"]["text"]) == ("a dog", "a dog")
    nodes["16"]["inputs"]["text"] = "a hat"
    (problem,) = refused(config(nodes, prompt="a dog"))
    assert problem == (
        "prompt: could be 6.text (now 'a cat'), 16.text (now 'a hat'); set one by its id,"
        " or write {prompt} where it goes"
    )


def test_marks_in_texts_are_filled_in() -> None:
    nodes = txt2img()
    nodes["6"]["inputs"]["text"] = "{prompt}, best, not {negative_prompt}"
    nodes["9"]["inputs"]["filename_prefix"] = "seed {seed}"
    plan = planned(nodes, prompt="a dog", negative_prompt="dull", seed=5)
    inputs = sent(plan, 2)
    assert inputs["6"]["text"] == "a dog, best, not dull"
    assert inputs["7"]["text"] == "blurry"
    assert inputs["9"]["filename_prefix"] == "seed 6"
    assert plan.stages[0].settings["prompt"] == "a dog"
    assert refused(config(nodes, negative_prompt="dull")) == (
        "prompt: missing, 6.text of the workflow waits for it",
    )


def test_an_input_that_is_set_by_name_beats_the_prompt() -> None:
    given = override(config(prompt="a dog"), "workflow.6.text", "a hat")
    plan = plan_stages(given, SERVER)
    assert sent(plan)["6"]["text"] == "a hat"
    assert plan.stages[0].settings["prompt"] == "a hat"


def test_a_prompt_without_a_place_is_refused() -> None:
    nodes = txt2img()
    nodes["10"] = node("ConditioningZeroOut", conditioning=["6", 0])
    nodes["3"]["inputs"]["negative"] = ["10", 0]
    (problem,) = refused(config(nodes, prompt="a dog", negative_prompt="dull"))
    assert problem.startswith("negative_prompt: the workflow shows no place for it")


def test_only_what_the_output_needs_is_sent_and_set() -> None:
    given = config(two_passes()).to_dict()
    given["workflow"] |= {"output": "9"}  # type: ignore[operator]
    first = PipelineConfig.from_dict(given)
    assert set(sent(plan_stages(first, SERVER))) == set(txt2img())
    assert refused(override(first, "workflow.11.cfg", 5)) == (
        "workflow.11.cfg: has no part in the picture of node 9",
    )


def test_everything_that_is_wrong_is_said_at_once() -> None:
    given = override_all(
        config(seed=1, steps=4),
        {"workflow.3.cfg": 200, "workflow.3.steps": 2.5, "workflow.nope.x": 1},
    )
    problems = refused(given)
    assert [each.partition(":")[0] for each in problems] == [
        "txt2img.steps", "workflow.3.cfg", "workflow.3.steps", "workflow.nope.x",
    ]  # fmt: skip


def test_files_are_sent_as_the_server_has_them() -> None:
    nodes = txt2img()
    nodes["4"]["inputs"]["ckpt_name"] = "full-b"
    assert sent(planned(nodes))["4"]["ckpt_name"] == "sd15/full-b.safetensors"


def test_the_files_own_values_are_looked_at_too() -> None:
    nodes = txt2img()
    nodes["3"]["inputs"]["sampler_name"] = "eulr"
    nodes["20"] = node("Nobody's", images=["8", 0])
    (problem,) = refused(config(nodes))
    assert problem.startswith("workflow.3.sampler_name (KSampler): given 'eulr', did you mean ")


@pytest.mark.parametrize("name", ["img2img", "adetailer", "upscale"])
def test_a_workflow_runs_alone(name: str) -> None:
    given = override(config(), f"{name}.enabled", True)
    assert refused(given) == (f"{name}: given with a workflow, which runs alone",)


def test_what_runs_no_workflows_says_so() -> None:
    with pytest.raises(ConfigError, match="the fake backend runs none, expected a ComfyUI"):
        plan_stages(config(), Capabilities(backend="fake", stages={"txt2img": {}}))


# Pictures to start from


def loading() -> dict[str, Any]:
    nodes = txt2img()
    nodes["10"] = node("LoadImage", image="gone.png")
    nodes["5"] = node("VAEEncode", pixels=["10", 0], vae=["4", 2])
    return nodes


def test_a_picture_goes_where_one_is_loaded() -> None:
    made = settings(loading(), seed=1)
    assert filled_graph(made, "there.png").nodes["10"].inputs["image"] == "there.png"
    with pytest.raises(ConfigError, match=r"10.image .*given 'gone.png', no such file"):
        settings(loading(), image=False)


def test_of_several_places_for_a_picture_one_has_to_be_named() -> None:
    nodes = loading()
    nodes["11"] = node("LoadImage", image="example.png")
    nodes["5"]["inputs"]["pixels"] = ["12", 0]
    nodes["12"] = node(
        "ImageBlend", image1=["10", 0], image2=["11", 0], blend_factor=0.5, blend_mode="normal"
    )
    with pytest.raises(ConfigError, match=r"image: could be 10\.image .*, 11\.image .*by its id"):
        settings(nodes)


def test_a_picture_without_a_place_is_refused() -> None:
    with pytest.raises(ConfigError, match="image: the workflow shows no place for it"):
        settings(txt2img())


# Fingerprints, facts, configs


def test_a_fingerprint_tells_values_apart_and_no_titles() -> None:
    titled = txt2img()
    titled["3"]["_meta"]["title"] = "mine"
    changed = txt2img()
    changed["3"]["inputs"]["cfg"] = 5
    prints = [
        plan.fingerprints(1)
        for plan in (planned(seed=1), planned(titled, seed=1), planned(changed, seed=1),
                     planned(seed=2))
    ]  # fmt: skip
    assert prints[0] == prints[1]
    assert prints[0] not in (prints[2], prints[3])


def test_what_all_nodes_agree_on_is_said_of_the_picture() -> None:
    said = planned(two_passes(), seed=1).stages[0].settings
    assert (said["steps"], said["cfg_scale"], said["sampler_name"]) == (20, 8, "euler")
    assert (said["model"], said["prompt"]) == ("full-a.safetensors", "a cat")
    assert "denoising_strength" not in said  # 1 in one, 0.5 in the other


def test_an_input_is_set_by_a_path_and_the_base_stays() -> None:
    base = config()
    given = override(base, "workflow.3.cfg", 5)
    assert given.workflow is not None
    assert base.workflow is not None
    assert (dict(given.workflow.inputs), dict(base.workflow.inputs)) == ({"3.cfg": 5}, {})
    assert PipelineConfig.from_dict(given.to_dict()) == given
    assert "workflow" not in PipelineConfig().to_dict()


def test_without_a_workflow_there_are_no_inputs() -> None:
    with pytest.raises(OverrideError, match=r"workflow.3.cfg: there is no workflow"):
        override(PipelineConfig(), "workflow.3.cfg", 5)
    with pytest.raises(OverrideError, match="expected text, a number, true or false"):
        override(config(), "workflow.3.cfg", [5])


@pytest.mark.parametrize("graph", ["", "[]", "5", "{", "[" * 100_000, '{"1": 5}'])
def test_a_graph_that_is_none_is_refused(graph: str) -> None:
    given = PipelineConfig.from_dict({"workflow": {"graph": graph}})
    assert all("\n" not in problem for problem in refused(given))
