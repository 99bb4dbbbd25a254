"""Pages that were saved in UI format, as a server takes them."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stablenew.backends.comfyui.workflows.ui_conversion import convert
from stablenew.backends.comfyui.workflows.ui_graph import read_ui_graph
from stablenew.backends.comfyui.workflows.workflow import Link, Workflow
from stablenew.backends.comfyui.workflows.workflow_file import read_workflow
from stablenew.errors import ConfigError
from tests.comfyui.page import Page, page_of, random_workflow
from tests.comfyui.workflow_nodes import info, workflow


def converted(page: dict[str, Any]) -> Workflow:
    return convert(read_ui_graph(json.loads(json.dumps(page))), info())


def as_values(workflow: Workflow) -> dict[str, tuple[str, str, dict[str, object]]]:
    return {
        name: (node.kind, node.title, dict(node.inputs)) for name, node in workflow.nodes.items()
    }


def renamed(workflow: Workflow, names: dict[str, str]) -> Workflow:
    nodes = {
        names.get(name, name): type(node)(
            kind=node.kind,
            title=node.title,
            inputs={
                key: Link(names.get(value.node, value.node), value.slot)
                if isinstance(value, Link)
                else value
                for key, value in node.inputs.items()
            },
        )
        for name, node in workflow.nodes.items()
    }
    return Workflow(nodes=nodes)


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_a_saved_page_has_the_values_that_it_was_saved_with(seed: int) -> None:
    rng = random.Random(seed)
    made = random_workflow(rng)
    assert as_values(converted(page_of(made, rng).saved())) == as_values(made)


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_subgraphs_are_opened_whatever_stands_in_them(seed: int) -> None:
    rng = random.Random(seed)
    made = random_workflow(rng)
    page = page_of(made, rng)
    inside = {name for name in page.nodes if rng.random() < 0.5}
    outer = page.fold(inside)
    names = {name: f"{outer}:{name}" for name in made.nodes if name in inside}
    if rng.random() < 0.5:  # and that one in another
        further = {name for name in page.nodes if name == outer or rng.random() < 0.3}
        outermost = page.fold(further)
        names = {
            name: f"{outermost}:{names.get(name, name)}" if name in inside or name in further
            else name
            for name in made.nodes
            if name in inside or name in further
        } if outer in further else names  # fmt: skip
    assert as_values(converted(page.saved())) == as_values(renamed(made, names))


@given(st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_what_is_written_in_api_format_is_read_as_it_was(seed: int) -> None:
    made = random_workflow(random.Random(seed))
    data = json.dumps(made.as_prompt()).encode()
    assert as_values(read_workflow(data).workflow(None)) == as_values(made)


def saved() -> dict[str, Any]:
    """A page with the simplest workflow, and nothing around its nodes."""

    class Plain(random.Random):
        def random(self) -> float:
            return 0.99

    page = Page(Plain(0))
    for name, node in workflow().nodes.items():
        page.put(name, node)
    return page.saved()


def of(page: dict[str, Any], name: str) -> dict[str, Any]:
    return next(node for node in page["nodes"] if str(node["id"]) == name)


def test_a_widget_that_an_older_file_lacks_has_its_default_and_is_told() -> None:
    page = saved()
    of(page, "3")["widgets_values"].pop()
    made = converted(page)
    assert made.nodes["3"].inputs["denoise"] == 1.0
    assert made.notes == ("3.denoise: not in the file, the default 1.0 stands",)


def test_values_without_the_switch_after_a_seed_are_taken_too() -> None:
    page = saved()
    values = of(page, "3")["widgets_values"]
    switches = [each for each in values if each in ("fixed", "increment", "randomize")]
    assert len(switches) == 1
    values.remove(switches[0])
    assert converted(page).nodes["3"].inputs["seed"] == 42


def test_widgets_saved_by_name_are_taken_by_name() -> None:
    page = saved()
    of(page, "5")["widgets_values"] = {"height": 96, "width": 32, "videopreview": {}}
    assert converted(page).nodes["5"].inputs == {"width": 32, "height": 96, "batch_size": 1}


def test_shifted_values_are_refused_with_a_way_out() -> None:
    page = saved()
    of(page, "3")["widgets_values"].insert(0, "euler")
    with pytest.raises(ConfigError) as caught:
        converted(page)
    assert any(each.startswith("node 3 (KSampler): ") for each in caught.value.problems)
    assert "Export (API)" in caught.value.problems[-1]


def test_a_muted_node_is_cut_with_the_links_from_it() -> None:
    page = saved()
    of(page, "7")["mode"] = 2
    made = converted(page)
    assert "7" not in made.nodes
    assert "negative" not in made.nodes["3"].inputs


def test_a_muted_subgraph_is_cut_with_all_that_is_in_it() -> None:
    rng = random.Random(1)
    page = page_of(workflow(), rng)
    outer = page.fold({"6", "7"})
    page.nodes[outer]["mode"] = 2
    made = converted(page.saved())
    assert not any(name.startswith(outer) for name in made.nodes)
    assert not {"positive", "negative"} & set(made.nodes["3"].inputs)


def test_getters_take_what_setters_of_the_name_were_given() -> None:
    page = saved()
    loader, encode = of(page, "4"), of(page, "6")
    clip = next(each for each in encode["inputs"] if each["name"] == "clip")
    page["nodes"] += [
        {"id": 50, "type": "SetNode", "inputs": [{"name": "CLIP", "type": "CLIP", "link": 900}],
         "outputs": [{"name": "*", "type": "*"}], "widgets_values": ["the clip"]},
        {"id": 51, "type": "GetNode", "inputs": [],
         "outputs": [{"name": "CLIP", "type": "CLIP"}], "widgets_values": ["the clip"]},
    ]  # fmt: skip
    page["links"] += [[900, loader["id"], 1, 50, 0, "CLIP"], [901, 51, 0, 6, 0, "CLIP"]]
    clip["link"] = 901
    assert converted(page).nodes["6"].inputs["clip"] == Link("4", 1)


def test_nodes_of_classes_that_are_not_there_keep_their_links_and_the_pack() -> None:
    page = saved()
    of(page, "8").update(type="VAEDecodeTurbo", properties={"cnr_id": "turbo-pack"})
    made = converted(page)
    assert made.nodes["8"].kind == "VAEDecodeTurbo"
    assert made.nodes["8"].pack == "turbo-pack"
    assert made.nodes["8"].inputs["samples"] == Link("3", 0)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("workflow>my group", "a group node"),
        ("Anything Everywhere", "links stand nowhere in the file"),
    ],
)
def test_what_only_the_page_knows_is_refused_with_a_way_out(kind: str, said: str) -> None:
    page = saved()
    of(page, "8")["type"] = kind
    with pytest.raises(ConfigError, match=said) as caught:
        converted(page)
    assert all("Export (API)" in problem for problem in caught.value.problems)


def test_reroutes_in_a_circle_are_refused() -> None:
    page = saved()
    page["nodes"] += [
        {"id": each, "type": "Reroute", "inputs": [{"name": "", "link": link}], "outputs": [{}]}
        for each, link in ((50, 901), (51, 900))
    ]
    page["links"] += [[900, 50, 0, 51, 0, "*"], [901, 51, 0, 50, 0, "*"]]
    of(page, "9")["inputs"][0]["link"] = 900
    with pytest.raises(ConfigError, match="in a circle"):
        converted(page)


def test_a_subgraph_in_itself_is_refused() -> None:
    page = saved()
    page["nodes"].append({"id": 60, "type": "sub"})
    page["definitions"] = {
        "subgraphs": [{"id": "sub", "nodes": [{"id": 1, "type": "sub"}], "links": []}]
    }
    with pytest.raises(ConfigError, match="deep"):
        converted(page)


def test_without_a_server_it_is_said_how_to_do_without() -> None:
    with pytest.raises(ConfigError, match=r"--url, or .* Export \(API\)"):
        convert(read_ui_graph(saved()), None)
