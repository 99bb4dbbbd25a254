"""The graph of a page with its subgraphs opened, and where each link in it really begins. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from stablenew.backends.comfyui.object_info import ObjectInfo
from stablenew.backends.comfyui.workflows.ui_graph import INPUTS, UIGraph, UINode, UISlot
from stablenew.backends.comfyui.workflows.workflow import Link
from stablenew.errors import ConfigError

NEVER, BYPASSED = 2, 4
"""The modes of nodes that do not run."""

EXPORT = "in ComfyUI use Workflow › Export (API), and give that file"

_PRIMITIVE = "PrimitiveNode"
_REROUTES = ("Reroute", "Reroute (rgthree)")
_SET, _GET = "SetNode", "GetNode"
_OF_PAGE = (_PRIMITIVE, *_REROUTES, _SET, _GET, "Note", "MarkdownNote")

_DEEPEST = 50
_LONGEST = 10_000
"""Hops from one end of a link to the other, over reroutes and in and out of subgraphs."""

_AS_OWN_INPUT = "-1"
"""Where a subgraph's own input, and no node in it, is what its widget stands for."""


@attrs.frozen
class Value:
    """What stands at the beginning of a link, where that is a value."""

    value: object


@attrs.define(eq=False)
class Scope:
    """The nodes of a page, or of one use of a subgraph.

    Attributes:
        graph: Its nodes.
        info: The nodes of the server.
        subgraphs: Of the file.
        prefix: Of the ids of its nodes: `56:`.
        runs: Whether anything in it runs.
        outer: Where it is used; None for the page.
        used_as: The node that it stands for, there.
        set_inside: Values of widgets of its nodes, set from outside.
        set_inputs: Values of its inputs that are not linked.
        inner: The subgraphs that are used in it, by the id of the node.
    """

    graph: UIGraph
    info: ObjectInfo
    subgraphs: Mapping[str, UIGraph]
    prefix: str = ""
    runs: bool = True
    outer: Scope | None = None
    used_as: UINode | None = None
    set_inside: Mapping[tuple[str, str], object] = attrs.field(factory=dict)
    set_inputs: Mapping[str, object] = attrs.field(factory=dict)
    inner: dict[str, Scope] = attrs.field(factory=dict, init=False)

    def opened(self, depth: int = 0) -> Scope:
        """Open the subgraphs that are used in it.

        Raises:
            ConfigError: One contains itself.
        """
        if depth > _DEEPEST:
            raise ConfigError(f"subgraphs stand in one another more than {_DEEPEST} deep; {EXPORT}")
        for name, node in self.graph.nodes.items():
            if node.kind in self.subgraphs:
                inside, inputs = self._set_by(name, node)
                self.inner[name] = Scope(
                    graph=self.subgraphs[node.kind],
                    info=self.info,
                    subgraphs=self.subgraphs,
                    prefix=f"{self.prefix}{name}:",
                    runs=self.runs and node.mode not in (NEVER, BYPASSED),
                    outer=self,
                    used_as=node,
                    set_inside=inside,
                    set_inputs=inputs,
                ).opened(depth + 1)
        return self

    def nodes(self) -> Iterator[tuple[Scope, str, UINode]]:
        """Yield every node that runs, in it and in the subgraphs of it."""
        for name, node in self.graph.nodes.items():
            if name in self.inner:
                yield from self.inner[name].nodes()
            elif self.runs and node.mode not in (NEVER, BYPASSED) and not self._of_page(node):
                yield self, name, node

    def source(self, link: str | None, kind: str) -> Link | Value | None:
        """Return where a link begins, past all that the page alone knows; None for nowhere.

        Args:
            link: Its id.
            kind: The type of what it ends in.

        Raises:
            ConfigError: It leads round in a circle.
        """
        scope = self
        for _ in range(_LONGEST):
            begin = scope.graph.links.get(link or "")
            if begin is None:
                return None
            if begin.node == INPUTS:
                found = scope._from_outside(begin.slot)
                if not isinstance(found, UISlot):
                    return found
                assert scope.outer is not None
                scope, link = scope.outer, found.link
                continue
            node = scope.graph.nodes.get(begin.node)
            if node is None or node.mode == NEVER:
                return None
            if node.mode == BYPASSED:
                link = _passed_by(node, begin.slot, kind)
            elif begin.node in scope.inner:
                scope = scope.inner[begin.node]
                outputs = scope.graph.outputs
                link = outputs[begin.slot] if 0 <= begin.slot < len(outputs) else None
            elif not scope._of_page(node):
                return Link(scope.prefix + begin.node, begin.slot)
            elif node.kind == _PRIMITIVE:
                values = list(
                    node.values.values() if isinstance(node.values, Mapping) else node.values
                )
                return Value(values[0]) if values else None
            else:
                link = scope._behind(node)
        raise ConfigError(f"links lead round in a circle; {EXPORT}")

    def _of_page(self, node: UINode) -> bool:
        """Return whether the server has no part in a node."""
        if node.kind in self.info:
            return False
        linked = any(each.link for each in node.inputs)
        return node.kind in _OF_PAGE or not (linked or node.outputs)

    def _behind(self, node: UINode) -> str | None:
        """Return the link into a reroute, or into the setter that a getter names."""
        if node.kind == _GET:
            named = (each for each in self.graph.nodes.values() if each.kind == _SET)
            node = next((each for each in named if each.values[:1] == node.values[:1]), node)  # type: ignore[index]  # both are lists
        return node.inputs[0].link if node.inputs else None

    def _from_outside(self, slot: int) -> UISlot | Value | None:
        """Return what one of a subgraph's inputs is linked to outside, or its value there."""
        if self.used_as is None or not 0 <= slot < len(self.graph.inputs):
            return None
        name = self.graph.inputs[slot]
        found = next((each for each in self.used_as.inputs if each.name == name), None)
        if found is not None and found.link is not None:
            return found
        return Value(self.set_inputs[name]) if name in self.set_inputs else None

    def _set_by(
        self, name: str, node: UINode
    ) -> tuple[dict[tuple[str, str], object], dict[str, object]]:
        """Return what the widgets of a subgraph's node set: inside, and of its inputs."""
        promoted = node.promoted or tuple(
            (_AS_OWN_INPUT, each.name) for each in node.inputs if each.widget is not None
        )
        values = node.values if isinstance(node.values, tuple) else ()
        given = dict(zip(promoted, values, strict=False))
        for (there, widget), value in self.set_inside.items():  # beats what stands in the node
            if there == name:
                named = next((each for each in promoted if each[1] == widget), None)
                given[named or (_AS_OWN_INPUT, widget)] = value
        set_ = {pair: value for pair, value in given.items() if value is not None}
        inputs = {widget: value for (of, widget), value in set_.items() if of == _AS_OWN_INPUT}
        return {pair: value for pair, value in set_.items() if pair[0] != _AS_OWN_INPUT}, inputs


def _passed_by(node: UINode, slot: int, kind: str) -> str | None:
    """Return the link that goes on through a bypassed node: the first input of the same type."""
    if kind in ("*", "") and 0 <= slot < len(node.outputs):
        kind = node.outputs[slot].kind
    in_order = [*node.inputs[slot : slot + 1], *node.inputs]
    return next((each.link for each in in_order if each.kind == kind and each.link), None)
