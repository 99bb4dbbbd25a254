"""Which input is meant, what it is for, and whether a server takes what stands in it."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stablenew.backends.comfyui.workflows.input_addresses import find_input
from stablenew.backends.comfyui.workflows.node_packs import pack_of
from stablenew.backends.comfyui.workflows.workflow import InputName, Workflow
from stablenew.backends.comfyui.workflows.workflow_outputs import chosen_output, outputs_of
from stablenew.backends.comfyui.workflows.workflow_problems import (
    fitted_workflow,
    workflow_problems,
)
from stablenew.backends.comfyui.workflows.workflow_roles import find_roles
from stablenew.errors import ConfigError, OverrideError
from tests.comfyui.workflow_nodes import info, node, two_passes, txt2img, workflow


def refused(nodes: dict[str, Any], name: str) -> str:
    with pytest.raises(OverrideError) as caught:
        find_input(workflow(nodes), name)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize("name", ["3.cfg", "KSampler.cfg", " KSampler . cfg"])
def test_an_input_is_named_by_id_title_or_class(name: str) -> None:
    assert find_input(workflow(), name) == InputName("3", "cfg")


def test_a_title_beats_a_class_and_an_id_beats_both() -> None:
    nodes = txt2img()
    nodes["5"]["_meta"]["title"] = "KSampler"
    nodes["KSampler"] = node("EmptyLatentImage", width=8, height=8, batch_size=1)
    assert find_input(workflow(nodes), "KSampler.width") == InputName("KSampler", "width")
    del nodes["KSampler"]
    assert find_input(workflow(nodes), "KSampler.width") == InputName("5", "width")
    assert find_input(workflow(nodes), "KSampler.cfg") == InputName("3", "cfg")


def test_titles_ids_and_inputs_may_hold_dots() -> None:
    nodes = txt2img()
    nodes["3"]["_meta"]["title"] = "Pass 1.5"
    nodes["56:5"] = node("Resize", "Size v2.0", how="by size", **{"how.width": 5, "how.crop": "no"})
    there = workflow(nodes)
    assert find_input(there, "Pass 1.5.cfg") == InputName("3", "cfg")
    assert find_input(there, "Size v2.0.how.width") == InputName("56:5", "how.width")
    assert find_input(there, "56:5.how.width") == InputName("56:5", "how.width")


def test_ambiguous_names_are_refused_with_all_of_them_and_what_they_are_now() -> None:
    said = refused(two_passes(), "KSampler.denoise")
    assert said == (
        "KSampler.denoise: could be 3.denoise (KSampler, now 1), 11.denoise (KSampler, now 0.5)"
    )


def test_only_nodes_count_where_a_value_stands_in_that_input() -> None:
    nodes = two_passes()
    nodes["99"] = node("PrimitiveInt", value=5)
    nodes["11"]["inputs"]["steps"] = ["99", 0]
    assert find_input(workflow(nodes), "KSampler.steps") == InputName("3", "steps")


def test_a_linked_input_is_refused_with_the_node_it_comes_from() -> None:
    nodes = txt2img()
    nodes["99"] = node("PrimitiveInt", "Steps", value=5)
    nodes["3"]["inputs"]["steps"] = ["99", 0]
    assert refused(nodes, "3.steps") == (
        "3.steps: comes from node 99 (Steps); set 99.value instead"
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("KSampler.cgf", "3 (KSampler) has no such input, did you mean KSampler.cfg?"),
        ("KSmpler.cfg", "no such node, did you mean KSampler?"),
        ("77.cfg", "no such node, did you mean 7?"),
        ("cfg", "of which node? 3.cfg"),
        ("nothing", "expected NODE.INPUT, such as KSampler.cfg"),
        ("", "expected NODE.INPUT, such as KSampler.cfg"),
    ],
)
def test_what_nothing_is_called_is_refused_with_the_nearest(name: str, said: str) -> None:
    assert refused(txt2img(), name).startswith(f"{name}: {said}")


@given(st.text(max_size=12))
@settings(max_examples=100, deadline=None)
def test_any_name_is_an_input_or_refused(name: str) -> None:
    with contextlib.suppress(OverrideError):
        assert find_input(workflow(), name) in dict(workflow().literals)
        return
    assert refused(txt2img(), name).startswith(name)


def test_with_other_values_it_is_another_workflow() -> None:
    before = workflow()
    after = before.with_values({InputName("3", "cfg"): 5, InputName("3", "steps"): 4})
    assert (after.nodes["3"].inputs["cfg"], after.nodes["3"].inputs["steps"]) == (5, 4)
    assert before == workflow()


# What inputs are for


def texts(nodes: dict[str, Any]) -> tuple[list[str], list[str]]:
    with_server = find_roles(workflow(nodes), info())
    assert find_roles(workflow(nodes), None) == with_server
    return [str(each) for each in with_server.positive], [
        str(each) for each in with_server.negative
    ]


def test_prompts_are_found_by_going_back_from_the_sampler() -> None:
    assert texts(txt2img()) == (["6.text"], ["7.text"])
    assert texts(two_passes()) == (["6.text"], ["7.text"])


def test_a_node_with_both_goes_on_by_the_slot_that_it_was_reached_through() -> None:
    nodes = txt2img()
    nodes["10"] = node(
        "ControlNetApplyAdvanced", strength=1, positive=["6", 0], negative=["7", 0], image=["8", 0]
    )
    nodes["3"]["inputs"] |= {"positive": ["10", 1], "negative": ["10", 0]}  # crossed on purpose
    for each in find_roles(workflow(nodes), info()), find_roles(workflow(nodes), None):
        assert {str(name) for name in each.positive} == {"6.text", "7.text"}
    nodes["3"]["inputs"] |= {"positive": ["10", 0], "negative": ["10", 1]}
    assert texts(nodes) == (["6.text"], ["7.text"])


def test_what_was_emptied_holds_no_negative_prompt() -> None:
    nodes = txt2img()
    for source in ("6", "7"):
        nodes["10"] = node("ConditioningZeroOut", conditioning=[source, 0])
        nodes["3"]["inputs"]["negative"] = ["10", 0]
        assert texts(nodes) == (["6.text"], [])


def test_a_guider_has_one_conditioning() -> None:
    nodes = {
        "6": node("CLIPTextEncode", text="a cat", clip=["4", 1]),
        "26": node("FluxGuidance", guidance=3.5, conditioning=["6", 0]),
        "22": node("BasicGuider", conditioning=["26", 0]),
    }
    assert texts(nodes) == (["6.text"], [])


def test_a_loader_may_hold_the_prompts_itself() -> None:
    nodes = txt2img()
    nodes["4"] = node(
        "Efficient Loader", ckpt_name="full-a.safetensors", positive="a cat", negative="blurry"
    )
    nodes["3"]["inputs"] |= {"positive": ["4", 1], "negative": ["4", 2]}
    assert texts(nodes) == (["4.positive"], ["4.negative"])


def test_texts_and_pieces_of_a_prompt_are_followed_over_links() -> None:
    nodes = txt2img()
    nodes["10"] = node("PrimitiveStringMultiline", value="a cat")
    nodes["6"]["inputs"]["text"] = ["10", 0]
    nodes["11"] = node("CLIPTextEncode", text="a hat", clip=["4", 1])
    nodes["12"] = node("ConditioningCombine", conditioning_1=["6", 0], conditioning_2=["11", 0])
    nodes["3"]["inputs"]["positive"] = ["12", 0]
    assert texts(nodes) == (["10.value", "11.text"], ["7.text"])


def test_every_seed_is_found_where_its_number_stands() -> None:
    nodes = two_passes()
    nodes["20"] = node("PrimitiveInt", value=5)
    nodes["21"] = node("PrimitiveInt", value=5)  # the page changes it as it does a seed
    nodes["11"]["inputs"] |= {"seed": ["20", 0], "steps": ["21", 0]}
    nodes["22"] = node("RandomNoise", noise_seed=1)
    for each in find_roles(workflow(nodes), info()), find_roles(workflow(nodes), None):
        assert [str(name) for name in each.seeds] == ["3.seed", "20.value", "22.noise_seed"]


# Outputs


def test_what_saves_comes_before_what_shows_and_the_larger_before_the_smaller() -> None:
    nodes = two_passes()
    nodes["2"] = node("PreviewImage", images=["13", 0])
    for known in (info(), None):
        assert outputs_of(workflow(nodes), known) == ("12", "9", "2")


@pytest.mark.parametrize("wanted", ["9", "SaveImage "], ids=["id", "class"])
def test_an_output_can_be_chosen(wanted: str) -> None:
    nodes = two_passes()
    nodes["12"]["class_type"] = "PreviewImage"
    assert chosen_output(workflow(nodes), info(), wanted.strip()) == "9"
    assert chosen_output(workflow(nodes), info(), "Large") == "12"


def test_no_such_output_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"given '3', there is 12 \(Large\), 9 \(SaveImage\)"):
        chosen_output(workflow(two_passes()), info(), "3")
    with pytest.raises(ConfigError, match="no node gives a picture"):
        chosen_output(workflow({"1": node("PrimitiveInt", value=5)}), info())


def test_only_what_an_output_needs_is_run() -> None:
    needed = workflow(two_passes()).ending_in("9")
    assert set(needed.nodes) == set(txt2img())


# What a server would refuse


def problems(nodes: dict[str, Any]) -> list[str]:
    return workflow_problems(workflow(nodes), info())


def test_a_workflow_in_order_has_no_problems() -> None:
    assert problems(txt2img()) == []
    assert problems(two_passes()) == []


def test_unknown_classes_are_named_all_at_once_with_the_pack_that_has_them() -> None:
    nodes = txt2img()
    nodes["20"] = node("FaceDetailerPipe")
    nodes["21"] = node("Nobody's")
    nodes["22"] = node("FaceDetailerPipe")
    assert problems(nodes) == [
        "nodes 20, 22: the server has no 'FaceDetailerPipe'; ComfyUI-Impact-Pack has it",
        'node 21: the server has no "Nobody\'s"',
    ]


@pytest.mark.parametrize(
    ("kind", "pack"),
    [
        ("Power Lora Loader (rgthree)", "rgthree-comfy"),
        ("KSampler (Efficient)", "efficiency-nodes-comfyui"),
        ("CannyEdgePreprocessor", "comfyui_controlnet_aux"),
        ("KSampler", ""),
    ],
)
def test_the_commonest_packs_are_known(kind: str, pack: str) -> None:
    assert pack_of(kind) == pack
    assert pack_of(kind, "told-by-the-file") == "told-by-the-file"


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        ("3.cfg", 200, "given 200, expected 0 to 100"),
        ("3.cfg", math.nan, "given nan, expected a number"),
        ("3.cfg", "8", "given '8', expected a number"),
        ("3.steps", 0, "given 0, expected 1 to 10,000"),
        ("3.steps", 2.9, "given 2.9, expected a whole number"),
        ("3.steps", True, "given True, expected a whole number"),
        ("3.steps", None, "given None, expected a whole number"),
        ("3.sampler_name", "Euler b", "given 'Euler b', did you mean euler"),
        ("4.ckpt_name", "nope", "given 'nope', there is full-a.safetensors, "),
        ("6.text", 5, "given 5, expected text"),
        ("3.model", 5, "given 5, expected a link to something of type MODEL"),
        ("9.images", ["99", 0], "linked to node 99, which is not there"),
        ("9.images", ["8", 5], "linked to output 5, but node 8 (VAEDecode) has 1 outputs"),
        ("9.images", ["4", 0], "expected IMAGE, but node 4 (Load Checkpoint) gives MODEL there"),
    ],
)
def test_what_a_server_would_refuse_or_bend_is_told(where: str, value: Any, said: str) -> None:
    nodes = txt2img()
    name, _, field = where.partition(".")
    nodes[name]["inputs"][field] = value
    (problem,) = problems(nodes)
    title = nodes[name]["_meta"]["title"]
    assert problem.startswith(f"{where} ({title}): {said}")


def test_all_problems_are_told_at_once() -> None:
    nodes = txt2img()
    nodes["3"]["inputs"] |= {"cfg": 200, "scheduler": "norml"}
    del nodes["3"]["inputs"]["steps"], nodes["8"]["inputs"]["vae"]
    assert problems(nodes) == [
        "3.steps (KSampler): missing, expected a value",
        "3.cfg (KSampler): given 200, expected 0 to 100",
        "3.scheduler (KSampler): given 'norml', did you mean normal?",
        "8.vae (VAEDecode): missing, expected a link to something of type VAE",
    ]


def test_a_circle_is_told_with_its_nodes() -> None:
    nodes = txt2img()
    nodes["5"] = node(
        "LatentUpscale", samples=["3", 0], upscale_method="area", width=8, height=8, crop="disabled"
    )
    (problem,) = problems(nodes)
    assert problem.startswith("nodes need one another in a circle: ")
    assert "3 (KSampler)" in problem
    assert "5 (LatentUpscale)" in problem


def test_inputs_that_a_choice_opens_are_checked_too() -> None:
    nodes = {"1": node("Resize", input=["2", 0], sharp=True, how="by size")}
    nodes["2"] = node("LoadImage", image="example.png")
    nodes["1"]["inputs"] |= {"how.width": -1, "how.crop": "no"}
    assert problems(nodes) == ["1.how.width (Resize): given -1, expected 0 to 16,384"]


def test_a_file_in_another_folder_may_be_there_and_one_beside_may_not() -> None:
    for name, count in {"sub/a.png": 0, "a.png [output]": 0, "a.png": 1, "example.png": 0}.items():
        assert len(problems({"1": node("LoadImage", image=name)})) == count


@pytest.mark.parametrize("given_", ["full-b", r"sd15\full-b.safetensors", "FULL-B.safetensors"])
def test_files_are_spelled_as_the_server_has_them(given_: str) -> None:
    nodes = txt2img()
    nodes["4"]["inputs"]["ckpt_name"] = given_
    assert problems(nodes) == []
    spelled = fitted_workflow(workflow(nodes), info())
    assert spelled.nodes["4"].inputs["ckpt_name"] == "sd15/full-b.safetensors"


def test_no_chain_of_nodes_is_too_long() -> None:
    nodes = {"0": node("LoadImage", image="example.png")}
    for number in range(1, 3000):
        nodes[str(number)] = node("PreviewImage", images=[str(number - 1), 0])
    there: Workflow = workflow(nodes)
    assert len(there.behind(["2999"])) == 3000
    assert workflow_problems(there, info()) == []
