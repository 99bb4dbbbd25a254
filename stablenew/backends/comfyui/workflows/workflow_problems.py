"""What a server would refuse a workflow for, all of it at once and before anything runs. Pure.

A server names the first class that it lacks and looks no further, reports values one layer of nodes
at a time, and takes what it can bend: 2.9 steps, the switch "false", a NaN.
"""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from stablenew._arguments import shown
from stablenew._names import suggestion
from stablenew.backends.comfyui.object_info import NodeInput, ObjectInfo
from stablenew.backends.comfyui.workflows.input_values import fitted
from stablenew.backends.comfyui.workflows.node_packs import unknown_classes
from stablenew.backends.comfyui.workflows.workflow import InputName, Link, Node, Workflow

_ANY = "*"
_LINKED = ("MODEL", "CLIP", "VAE", "CONDITIONING", "LATENT", "IMAGE", "MASK", "CONTROL_NET")
"""Types that no value is of; of others there may be some, which only their nodes know."""


def workflow_problems(workflow: Workflow, info: ObjectInfo) -> list[str]:
    """Return everything that is wrong with a workflow, a line each.

    Args:
        workflow: What is to run: the part that its output needs.
        info: The nodes of the server.
    """
    nodes = workflow.nodes
    lacking = {n: (each.kind, each.pack) for n, each in nodes.items() if each.kind not in info}
    problems = unknown_classes(lacking)
    for name, node in nodes.items():
        problems += _of_links(workflow, name, node, info)
        if node.kind in info:
            problems += _of_inputs(name, node, info)
    return [*problems, *_circles(workflow)]


def fitted_workflow(workflow: Workflow, info: ObjectInfo) -> Workflow:
    """Return a workflow with its values as the server spells them; what is wrong stays."""
    values: dict[InputName, object] = {}
    for name, node in workflow.nodes.items():
        if node.kind not in info:
            continue
        for each in info[node.kind].inputs_with(node.inputs):
            value = node.inputs.get(each.name)
            if each.literal and value is not None and not isinstance(value, Link):
                try:
                    fitting = fitted(each, value)
                except ValueError:
                    continue
                if fitting != value:
                    values[InputName(name, each.name)] = fitting
    return workflow.with_values(values) if values else workflow


def _of_inputs(name: str, node: Node, info: ObjectInfo) -> Iterator[str]:
    for each in info[node.kind].inputs_with(node.inputs):
        where = f"{name}.{each.name} ({node.name})"
        value = node.inputs.get(each.name)
        if each.name not in node.inputs:
            if each.required and not each.kind.startswith("COMFY_"):
                yield f"{where}: missing, expected {_expected(each)}"
        elif isinstance(value, Link):
            continue
        elif each.kind in _LINKED:  # which the server would take, and fail with
            yield f"{where}: given {shown(value)}, expected {_expected(each)}"
        elif each.literal:
            try:
                fitted(each, value)
            except ValueError as error:
                yield f"{where}: {error}"


def _expected(each: NodeInput) -> str:
    return "a value" if each.literal else f"a link to something of type {each.kind}"


def _of_links(workflow: Workflow, name: str, node: Node, info: ObjectInfo) -> Iterator[str]:
    known = info[node.kind].inputs if node.kind in info else {}
    for field, link in node.links:
        where = f"{name}.{field} ({node.name})"
        source = workflow.nodes.get(link.node)
        if source is None:
            near = suggestion(link.node, workflow.nodes)
            yield f"{where}: linked to node {link.node}, which is not there; {near}"
        elif source.kind in info:
            outputs = info[source.kind].outputs
            if not 0 <= link.slot < len(outputs):
                has = f"node {link.node} ({source.name}) has {len(outputs)} outputs"
                yield f"{where}: linked to output {link.slot}, but {has}, counted from 0"
            elif field in known and not _may_link(outputs[link.slot], known[field].kind):
                gives = f"node {link.node} ({source.name}) gives {outputs[link.slot]} there"
                yield f"{where}: expected {known[field].kind}, but {gives}"


def _may_link(given: str, wanted: str) -> bool:
    """Return whether what one node gives another may take, as far as the types tell."""
    if _ANY in (given, wanted) or given.startswith("COMFY_") or wanted.startswith("COMFY_"):
        return True
    if "COMBO" in (given, wanted):  # of which the server itself asks little
        return True
    return bool(set(given.split(",")) & set(wanted.split(",")))


def _circles(workflow: Workflow) -> Iterator[str]:
    """Yield a line if nodes need one another in a circle."""
    needed = {node: [link.node for _, link in each.links] for node, each in workflow.nodes.items()}
    try:
        TopologicalSorter(needed).prepare()
    except CycleError as error:
        circle = [workflow.nodes[node] for node in error.args[1][:8]]
        shown = " → ".join(
            f"{node} ({each.name})" for node, each in zip(error.args[1], circle, strict=False)
        )
        yield f"nodes need one another in a circle: {shown}"
