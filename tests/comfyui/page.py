"""A page of ComfyUI's as it saves itself, with all that it puts around nodes; and random ones."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from stablenew.backends.comfyui.object_info import NodeInput
from stablenew.backends.comfyui.workflows.workflow import Link, Node, Workflow
from tests.comfyui.workflow_nodes import info

KINDS = (
    *("CheckpointLoaderSimple", "LoraLoader", "CLIPTextEncode", "EmptyLatentImage", "KSampler"),
    *("KSamplerAdvanced", "VAEDecode", "VAEEncode", "LoadImage", "LoadImageMask", "Resize"),
    *("ImageScale", "PrimitiveInt", "ConditioningCombine", "ControlNetApplyAdvanced"),
    *("SaveImage", "PreviewImage", "FaceDetailer", "Efficient Loader"),
)
PASSERS = {"MODEL": "LoraLoader", "IMAGE": "ImageScale", "CONDITIONING": "FluxGuidance"}
"""What takes and gives something of a type, to be bypassed."""


def random_workflow(rng: random.Random, most: int = 10) -> Workflow:
    """Return nodes with any values that fit, linked to any that come before and fit."""
    nodes: dict[str, Node] = {}
    for number in range(1, rng.randint(2, most + 1)):
        kind = rng.choice(KINDS)
        inputs: dict[str, object] = {}
        for each in info()[kind].inputs_with(inputs):
            if not each.linked_only:
                inputs[each.name] = random_value(each, rng)
            else:
                sources = [
                    Link(name, slot)
                    for name, node in nodes.items()
                    for slot, gives in enumerate(info()[node.kind].outputs)
                    if gives == each.kind
                ]
                if sources and rng.random() < 0.9:
                    inputs[each.name] = rng.choice(sources)
        nodes[str(number)] = Node(kind=kind, title=f"{kind} {number}", inputs=inputs)
    return Workflow(nodes=nodes)


def random_value(each: NodeInput, rng: random.Random) -> Any:
    if each.choices is not None:
        return rng.choice(each.choices)
    low, high = max(each.low or 0, -(10**6)), min(each.high or 1, 10**6)
    if each.kind == "INT":
        return rng.randint(int(low), int(high))
    if each.kind == "FLOAT":
        return round(rng.uniform(low, high), 3)
    if each.kind == "BOOLEAN":
        return rng.random() < 0.5
    return rng.choice(("", "a cat", "fixed", "randomize", "image", "two\nlines", "ä – ü"))


@attrs.define
class Page:
    """What the page shows, and saves."""

    rng: random.Random
    nodes: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    links: dict[int, list[Any]] = attrs.field(factory=dict)
    subgraphs: list[dict[str, Any]] = attrs.field(factory=list)
    last: int = 1000

    def next(self) -> int:
        self.last += 1
        return self.last

    def add(self, name: str, kind: str, **more: Any) -> dict[str, Any]:
        self.nodes[name] = {
            "id": int(name), "type": kind, "mode": 0, "pos": [0, 0], "inputs": [], "outputs": [],
            "properties": {}, **more,
        }  # fmt: skip
        return self.nodes[name]

    def outputs(self, kinds: Sequence[str]) -> list[dict[str, Any]]:
        return [{"name": kind, "type": kind, "links": []} for kind in kinds]

    def connect(self, source: str, slot: int, target: str, kind: str, **more: Any) -> None:
        """Link an output to a new input of a node."""
        link = self.next()
        inputs = self.nodes[target]["inputs"]
        self.links[link] = [link, int(source), slot, int(target), len(inputs), kind]
        inputs.append({"name": "", "type": kind, **more, "link": link})

    def put(self, name: str, node: Node) -> None:
        """Put a node there, with all that may stand between it and what it gets."""
        kind = info()[node.kind]
        values: list[object] = []
        shown = self.add(
            name, node.kind, title=node.title, widgets_values=values,
            outputs=self.outputs(kind.outputs),
        )  # fmt: skip
        extra = ""
        for each in kind.inputs_with(node.inputs):
            value = node.inputs.get(each.name)
            if each.linked_only:
                if isinstance(value, Link):
                    source, slot = self.through(value, each.kind)
                    self.connect(source, slot, name, each.kind, name=each.name)
                else:
                    shown["inputs"].append({"name": each.name, "type": each.kind, "link": None})
                continue
            if self.rng.random() < 0.2 and each.kind != "COMFY_DYNAMICCOMBO_V3":
                primitive = str(self.next())
                self.add(
                    primitive, "PrimitiveNode", widgets_values=[value, "fixed"],
                    outputs=self.outputs([each.kind]),
                )  # fmt: skip
                widget = {"name": each.name}
                self.connect(primitive, 0, name, each.kind, name=each.name, widget=widget)
                value = random_value(each, self.rng)
            values.append(value)
            if each.is_changed_by_page:
                values.append(self.rng.choice(("fixed", "randomize", "increment")))
            if each.is_file and self.rng.random() < 0.5:  # the page is of two minds
                values.append("image")
            elif each.is_file:
                extra = "image"
        if extra:
            values.append(extra)

    def through(self, link: Link, kind: str) -> tuple[str, int]:
        """Return where a link begins that goes over reroutes and bypassed nodes."""
        source, slot = link.node, link.slot
        while self.rng.random() < 0.3:
            name = str(self.next())
            if kind in PASSERS and self.rng.random() < 0.5:
                passing = info()[PASSERS[kind]]
                self.add(name, passing.name, mode=4, outputs=self.outputs(passing.outputs))
                self.connect(source, slot, name, kind, name="in")
                source, slot = name, list(passing.outputs).index(kind)
            else:
                self.add(name, "Reroute", outputs=self.outputs([kind]))
                self.connect(source, slot, name, "*", name="")
                source, slot = name, 0
        return source, slot

    def scatter(self) -> None:
        """Put notes there, and nodes that are muted."""
        for _ in range(self.rng.randint(0, 2)):
            self.add(str(self.next()), "Note", widgets_values=["remember"])
            muted = str(self.next())
            self.add(muted, "PreviewImage", mode=2)
            pictures = [
                (name, slot)
                for name, node in self.nodes.items()
                for slot, output in enumerate(node["outputs"])
                if output["type"] == "IMAGE"
            ]
            if pictures:
                self.connect(*self.rng.choice(pictures), muted, "IMAGE", name="images")

    def fold(self, inside: set[str]) -> str:
        """Move nodes into a subgraph, and return the id of the node that stands for it."""
        name, subgraph = str(self.next()), f"0000-{self.next()}"
        inputs: list[dict[str, Any]] = []
        outputs: list[dict[str, Any]] = []
        outer = self.add(name, subgraph)
        within: list[dict[str, Any]] = []
        for number, (link, source, slot, target, place, kind) in list(self.links.items()):
            ends = (str(source) in inside, str(target) in inside)
            if ends == (False, False):
                continue
            del self.links[number]
            if ends == (False, True):
                inputs.append({"name": f"in {link}", "type": kind, "linkIds": [link]})
                self.links[number] = [link, source, slot, int(name), len(outer["inputs"]), kind]
                outer["inputs"].append({"name": f"in {link}", "type": kind, "link": link})
                within.append(tabled(link, -10, len(inputs) - 1, target, place, kind))
            elif ends == (True, False):
                outputs.append({"name": f"out {link}", "type": kind, "linkIds": [link]})
                self.links[number] = [link, int(name), len(outputs) - 1, target, place, kind]
                within.append(tabled(link, source, slot, -20, len(outputs) - 1, kind))
            else:
                within.append(tabled(link, source, slot, target, place, kind))
        outer["outputs"] = self.outputs([each["type"] for each in outputs])
        nodes = [self.nodes.pop(each) for each in sorted(inside)]
        promoted = self.promoted(nodes)
        outer["properties"] = {"proxyWidgets": [[of, widget] for of, widget, _ in promoted]}
        outer["widgets_values"] = [value for _, _, value in promoted]
        self.subgraphs.append(
            {
                "id": subgraph, "name": "part", "nodes": nodes, "links": within,
                "inputs": inputs, "outputs": outputs,
            }
        )  # fmt: skip
        return name

    def promoted(self, nodes: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, object]]:
        """Return widgets that stand outside with the right value, and inside with another."""
        found = []
        for node in nodes:
            names = {"EmptyLatentImage": "width", "CheckpointLoaderSimple": "ckpt_name"}
            name = names.get(node["type"])
            if name and node["widgets_values"] and self.rng.random() < 0.7:
                found.append((str(node["id"]), name, node["widgets_values"][0]))
                node["widgets_values"][0] = random_value(
                    info()[node["type"]].inputs[name], self.rng
                )
        return found

    def saved(self) -> dict[str, Any]:
        nodes = list(self.nodes.values())
        self.rng.shuffle(nodes)
        return {
            "last_node_id": self.last, "nodes": nodes, "links": list(self.links.values()),
            "groups": [], "definitions": {"subgraphs": self.subgraphs}, "version": 0.4,
        }  # fmt: skip


def tabled(*parts: Any) -> dict[str, Any]:
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    return dict(zip(names, parts, strict=True))


def page_of(workflow: Workflow, rng: random.Random) -> Page:
    page = Page(rng)
    for name, node in workflow.nodes.items():
        page.put(name, node)
    page.scatter()
    return page
