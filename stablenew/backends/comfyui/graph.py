"""A graph of ComfyUI's nodes, as `POST /prompt` takes it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from stablenew.backends.comfyui.object_info import ObjectInfo
from stablenew.config.pipeline_config import Setting
from stablenew.errors import BackendProtocolError

Link = tuple[str, int]
"""The id of a node, and which of its outputs."""

LOADERS = (
    *("CheckpointLoaderSimple", "VAELoader", "LoraLoader", "CLIPSetLastLayer", "CLIPTextEncode"),
    *("UpscaleModelLoader", "UltralyticsDetectorProvider"),
)
"""Classes of nodes whose results the next picture needs again."""


_EMPTY: Mapping[str, Setting] = {"STRING": "", "BOOLEAN": False}
"""What the page has for an input without a default."""


class Graph:
    """Nodes and what links them.

    Args:
        info: What classes of nodes the server has.

    Attributes:
        nodes: By id, as they are sent.
    """

    def __init__(self, info: ObjectInfo) -> None:
        self.nodes: dict[str, dict[str, object]] = {}
        self._info = info

    def add(self, name: str, kind: str, **inputs: Setting | Link) -> str:
        """Add a node and return its id; one that is there already is not added again.

        Args:
            name: What to call it; the second of a name gets a number.
            kind: Its class.
            inputs: What is given; the others that it requires are as the page has them.

        Raises:
            BackendProtocolError: The server has no such class.
        """
        if kind not in self._info:
            raise BackendProtocolError(f"the server has no node {kind}")
        filled = {
            each.name: _EMPTY.get(each.kind, each.low or 0)
            if each.default is None
            else each.default
            for each in self._info[kind].inputs.values()
            if each.required and each.literal and each.name not in inputs
        }
        node: dict[str, object] = {"class_type": kind, "inputs": {**filled, **inputs}}
        for there, other in self.nodes.items():
            if other == node:
                return there
        number = sum(1 for each in self.nodes if each.partition(" ")[0] == name)
        there = f"{name} {number + 1}" if number else name
        self.nodes[there] = node
        return there


def loaders_of(
    nodes: Mapping[str, Mapping[str, object]], prefix: str
) -> dict[str, dict[str, object]]:
    """Return the nodes of a graph that load and read, with ids that begin otherwise."""

    def moved(value: object) -> object:
        return (prefix + value[0], value[1]) if isinstance(value, tuple) else value

    return {
        prefix + name: {
            "class_type": node["class_type"],
            "inputs": {key: moved(value) for key, value in inputs_of(node).items()},
        }
        for name, node in nodes.items()
        if node["class_type"] in LOADERS
    }


def checkpoints_of(nodes: Mapping[str, Mapping[str, object]]) -> set[object]:
    """Return the checkpoints that a graph loads."""
    return {
        inputs_of(node).get("ckpt_name")
        for node in nodes.values()
        if node["class_type"] == "CheckpointLoaderSimple"
    }


def inputs_of(node: Mapping[str, object]) -> Mapping[str, object]:
    """Return the inputs of a node."""
    inputs = node["inputs"]
    assert isinstance(inputs, Mapping)
    return inputs
