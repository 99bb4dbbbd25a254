"""From what ComfyUI's page saves to what a server takes, as the page itself converts it. Pure.

Subgraphs are opened (their nodes are `56:52`), reroutes followed, values of primitive nodes put in
place, muted nodes cut, bypassed ones passed by, notes dropped. A widget that the file lacks has the
server's default.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from stablenew.backends.comfyui.object_info import NodeClass, ObjectInfo
from stablenew.backends.comfyui.workflows.ui_graph import UIGraph, UINode
from stablenew.backends.comfyui.workflows.ui_scopes import EXPORT, Scope, Value
from stablenew.backends.comfyui.workflows.ui_widgets import misfit, widget_values
from stablenew.backends.comfyui.workflows.workflow import Link, Node, Workflow
from stablenew.errors import ConfigError

_GROUPS = re.compile(r"workflow[>/]")
_EVERYWHERE = re.compile(r"(Anything|Prompts|Seed) Everywhere.*")


def convert(graph: UIGraph, info: ObjectInfo | None) -> Workflow:
    """Return the workflow that a page would send.

    Nodes of classes that the server lacks keep their links alone.

    Args:
        graph: What the page saved.
        info: The nodes of the server that is to run it.

    Raises:
        ConfigError: With every node that cannot be converted: why, and how to export it.
    """
    if info is None:
        raise ConfigError(
            "saved in UI format, which only a server can make sense of:"
            f" give its --url, or {EXPORT}"
        )
    problems = list(_not_convertible(graph))
    if problems:
        raise ConfigError(*problems)
    page = Scope(graph, info, graph.subgraphs).opened()
    converted: dict[str, Node] = {}
    notes: list[str] = []
    for scope, name, node in page.nodes():
        there = scope.prefix + name
        if node.kind not in info:
            links = dict(_links(scope, node))
            converted[there] = Node(kind=node.kind, title=node.title, inputs=links, pack=node.pack)
            continue
        inputs, wrong = _inputs(scope, name, node, info[node.kind])
        problems += [f"node {there} ({node.kind}): {each}" for each in wrong]
        notes += [f"{there}.{each}" for each in _defaulted(node, info[node.kind], inputs)]
        title = node.title or info[node.kind].title
        converted[there] = Node(kind=node.kind, title=title, inputs=inputs, pack=node.pack)
    if problems:
        problems.append(f"values and widgets do not fit: saved with another version? {EXPORT}")
        raise ConfigError(*problems)
    return Workflow(nodes=_without_loose_ends(converted), notes=tuple(notes))


def _not_convertible(graph: UIGraph) -> Iterator[str]:
    for each in (graph, *graph.subgraphs.values()):
        for name, node in each.nodes.items():
            if _GROUPS.match(node.kind):
                yield f"node {name}: a group node, which only the page can open; {EXPORT}"
            elif _EVERYWHERE.fullmatch(node.kind):
                links = "whose links stand nowhere in the file"
                yield f"node {name}: {node.kind}, {links}; {EXPORT}"


def _inputs(
    scope: Scope, name: str, node: UINode, kind: NodeClass
) -> tuple[dict[str, object], list[str]]:
    """Return what a node gets, in the order of its class, and what does not fit."""
    links = dict(_links(scope, node))
    set_outside = {
        widget: value for (there, widget), value in scope.set_inside.items() if there == name
    }
    values = {**widget_values(node, kind), **set_outside}
    inputs: dict[str, object] = {}
    wrong: list[str] = []
    for each in kind.inputs_with(values):
        if each.name in links:
            inputs[each.name] = links.pop(each.name)
        elif each.name in values:
            if said := misfit(each, values[each.name]):
                wrong.append(said)
            inputs[each.name] = values[each.name]
        elif not each.linked_only and each.default is not None:
            inputs[each.name] = each.default
    return {**inputs, **links}, wrong


def _links(scope: Scope, node: UINode) -> Iterator[tuple[str, object]]:
    """Yield what comes over a node's links."""
    for slot in node.inputs:
        if slot.link is not None:
            found = scope.source(slot.link, slot.kind)
            if found is not None:
                yield slot.name, found.value if isinstance(found, Value) else found


def _defaulted(node: UINode, kind: NodeClass, inputs: Mapping[str, object]) -> Iterator[str]:
    """Yield a note for each value that only the server's default gave, if the file has others."""
    if not node.values:
        return
    values = widget_values(node, kind)
    for each in kind.inputs_with(values):
        value = inputs.get(each.name)
        given = value is None or isinstance(value, Link) or each.name in values
        if each.required and not given and not each.linked_only:
            yield f"{each.name}: not in the file, the default {value!r} stands"


def _without_loose_ends(nodes: Mapping[str, Node]) -> dict[str, Node]:
    """Return nodes without links to what is not there."""
    return {
        name: Node(
            kind=node.kind,
            title=node.title,
            pack=node.pack,
            inputs={
                key: value
                for key, value in node.inputs.items()
                if not isinstance(value, Link) or value.node in nodes
            },
        )
        for name, node in nodes.items()
    }
