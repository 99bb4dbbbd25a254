"""Which nodes of a workflow give pictures, and which one's is the picture of a run. Pure."""

from __future__ import annotations

from stablenew._names import suggestion
from stablenew.backends.comfyui.object_info import ObjectInfo
from stablenew.backends.comfyui.workflows.workflow import Node, Workflow
from stablenew.errors import ConfigError

_SAVE, _PREVIEW = "SaveImage", "PreviewImage"
_KNOWN = (_SAVE, _PREVIEW, "SaveImageWebsocket")


def outputs_of(workflow: Workflow, info: ObjectInfo | None) -> tuple[str, ...]:
    """Return the ids of the nodes that give pictures, the likeliest first.

    What saves comes before what only shows, and what needs more of the other nodes before what
    needs less: of a picture and the larger one made of it, it is the larger.
    """
    found = [node for node, each in workflow.nodes.items() if _gives_pictures(each, info)]
    return tuple(
        sorted(found, key=lambda node: (_rank(workflow.nodes[node]), -len(workflow.behind([node]))))
    )


def chosen_output(workflow: Workflow, info: ObjectInfo | None, wanted: str | None = None) -> str:
    """Return the id of the node whose picture is that of a run.

    Args:
        workflow: The workflow.
        info: The nodes of the server, where it is known.
        wanted: Its id, title or class; None for the likeliest.

    Raises:
        ConfigError: There is none, or not the one that is wanted.
    """
    outputs = outputs_of(workflow, info)
    if not outputs:
        raise ConfigError("no node gives a picture, expected one such as SaveImage or PreviewImage")
    if wanted is None:
        return outputs[0]
    nodes = workflow.nodes
    for called in (
        [each for each in outputs if each == wanted],
        [each for each in outputs if nodes[each].title == wanted],
        [each for each in outputs if nodes[each].kind == wanted],
    ):
        if len(called) == 1:
            return called[0]
        if called:
            raise ConfigError(f"--output: given {wanted!r}, which is {' and '.join(called)}")
    there = suggestion(wanted, [f"{each} ({nodes[each].name})" for each in outputs])
    raise ConfigError(f"--output: given {wanted!r}, {there}")


def _gives_pictures(node: Node, info: ObjectInfo | None) -> bool:
    if info is None or node.kind not in info:
        return node.kind in _KNOWN
    known = info[node.kind]
    return known.output_node and any(each.kind == "IMAGE" for each in known.inputs.values())


def _rank(node: Node) -> int:
    return 0 if node.kind == _SAVE else 2 if node.kind == _PREVIEW else 1
