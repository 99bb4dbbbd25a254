"""What the inputs of a workflow are for: seeds, prompts, start pictures. Pure.

The prompts are found by going back from every `positive` and `negative` (a `BasicGuider` has one
`conditioning`) to the texts behind it. A node with both goes on by the slot it was reached through;
what `ConditioningZeroOut` gives holds no prompt, and a loader may hold the texts itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import attrs

from stablenew.backends.comfyui.object_info import SEEDS, ObjectInfo
from stablenew.backends.comfyui.workflows.input_addresses import input_of
from stablenew.backends.comfyui.workflows.workflow import InputName, Link, Node, Workflow

Role = Literal["positive", "negative"]
ROLES: tuple[Role, Role] = ("positive", "negative")

_GUIDERS = ("BasicGuider",)
_EMPTIED = "ConditioningZeroOut"
_TEXTS = (
    *("text", "text_g", "text_l", "clip_l", "clip_g", "t5xxl", "llama", "prompt", "value"),
    *("string", "string_a", "string_b", "wildcard_text", "populated_text", "user_prompt"),
)
_PIPES = ("basic_pipe", "pipe", "detailer_pipe")
_IMAGES = ("LoadImage",)


@attrs.frozen(kw_only=True)
class Roles:
    """What some inputs of a workflow are for.

    Attributes:
        seeds: They follow the run's seed, all of them.
        positive: Texts of the prompt.
        negative: Texts of the negative prompt.
        images: Start pictures.
    """

    seeds: tuple[InputName, ...] = ()
    positive: tuple[InputName, ...] = ()
    negative: tuple[InputName, ...] = ()
    images: tuple[InputName, ...] = ()


def find_roles(workflow: Workflow, info: ObjectInfo | None) -> Roles:
    """Find what the inputs of a workflow are for, as far as it can be told."""
    found: dict[Role, dict[InputName, None]] = {"positive": {}, "negative": {}}
    for node, each in workflow.nodes.items():
        if each.kind in _GUIDERS:
            _Search(workflow, info, "positive", found["positive"]).follow(
                each.inputs.get("conditioning")
            )
        for role in ROLES:
            if isinstance(each.inputs.get(role), str):  # it holds its prompt itself
                found[role].setdefault(InputName(node, role))
            _Search(workflow, info, role, found[role]).follow(each.inputs.get(role))
    positive = tuple(found["positive"])
    return Roles(
        seeds=tuple(dict.fromkeys(_seeds(workflow, info))),
        positive=positive,
        negative=tuple(each for each in found["negative"] if each not in found["positive"]),
        images=tuple(_images(workflow)),
    )


@attrs.define
class _Search:
    """A search for the texts of one role.

    Attributes:
        found: Where they are put.
    """

    workflow: Workflow
    info: ObjectInfo | None
    role: Role
    found: dict[InputName, None]
    seen: set[tuple[Link, Role]] = attrs.field(factory=set)

    def follow(self, start: object) -> None:
        waiting = [(start, self.role)]
        while waiting:
            link, role = waiting.pop()
            if not isinstance(link, Link) or (link, role) in self.seen:
                continue
            self.seen.add((link, role))
            node = self.workflow.nodes.get(link.node)
            if node is not None and node.kind != _EMPTIED:
                waiting += reversed(list(self._behind(link, node, role)))

    def _behind(self, link: Link, node: Node, role: Role) -> Iterator[tuple[object, Role]]:
        if all(each in node.inputs for each in ROLES):
            if isinstance(node.inputs[role], str):  # it holds both texts itself
                self.found.setdefault(InputName(link.node, role))
                return
            role = self._role_at(link, node, role)
            yield node.inputs[role], role
            return
        for name, value in node.inputs.items():
            if isinstance(value, str):
                if self._is_text(InputName(link.node, name)):
                    self.found.setdefault(InputName(link.node, name))
            elif name in _TEXTS or name in _PIPES or name.startswith(("conditioning", role)):
                yield value, role

    def _role_at(self, link: Link, node: Node, role: Role) -> Role:
        """Return which of both prompts a node gives at the slot that was reached."""
        outputs = ["CONDITIONING"] * 2
        if self.info is not None and node.kind in self.info:
            outputs = list(self.info[node.kind].outputs)
        slots = [slot for slot, kind in enumerate(outputs) if kind == "CONDITIONING"]
        if len(slots) == 2 and link.slot in slots:
            return ROLES[slots.index(link.slot)]
        return role

    def _is_text(self, name: InputName) -> bool:
        described = input_of(self.workflow, name, self.info)
        if described is None:
            return name.name in _TEXTS
        return described.kind == "STRING" and (
            name.name in _TEXTS or bool(described.options.get("multiline"))
        )


def _seeds(workflow: Workflow, info: ObjectInfo | None) -> Iterator[InputName]:
    """Yield every seed; one that is linked is where its number stands."""
    for node, each in workflow.nodes.items():
        names = (name for name in each.inputs if name in SEEDS)
        if info is not None and each.kind in info:
            known = info[each.kind].inputs_with(each.inputs)
            names = (one.name for one in known if one.is_seed and one.name in each.inputs)
        for name in names:
            yield from _numbers(workflow, InputName(node, name))


def _numbers(workflow: Workflow, name: InputName) -> Iterator[InputName]:
    """Yield where the number of an input stands, over links to nodes with one number alone."""
    for _ in workflow.nodes:
        value = workflow.value(name)
        if not isinstance(value, Link):
            if isinstance(value, int) and not isinstance(value, bool):
                yield name
            return
        node = workflow.nodes.get(value.node)
        names = [] if node is None else list(node.inputs)
        if len(names) != 1:
            return
        name = InputName(value.node, names[0])


def _images(workflow: Workflow) -> Iterator[InputName]:
    for node, each in workflow.nodes.items():
        if each.kind in _IMAGES and isinstance(each.inputs.get("image"), str):
            yield InputName(node, "image")
