"""Workflows as ComfyUI's page saves them: nodes with widgets, links, subgraphs. Pure.

Read leniently: what a page draws (positions, colours, groups) is passed over, and a link is a list
in one version and a table in another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import attrs

from stablenew._arguments import shown
from stablenew._convert import frozen_mapping
from stablenew.errors import ConfigError

INPUTS, OUTPUTS = "-10", "-20"
"""The ends of a subgraph: where its inputs come in, and where its outputs go."""


class UILink(NamedTuple):
    """Where a link begins: a node's id, and which of its outputs."""

    node: str
    slot: int


class UISlot(NamedTuple):
    """An input or output of a node.

    Attributes:
        name: As the node calls it.
        kind: The type of what goes through it.
        link: The id of the link into it; None where there is none.
        widget: What its widget is called, where it has one.
    """

    name: str
    kind: str
    link: str | None = None
    widget: str | None = None


@attrs.frozen(kw_only=True)
class UINode:
    """A node as the page saves it.

    Attributes:
        kind: Its class, or the id of a subgraph.
        mode: 0 always, 2 never (muted), 4 bypassed.
        values: Of its widgets, in order, or by name.
        promoted: Of a subgraph: which widgets of which nodes in it its own widgets stand for.
        pack: Where its class comes from, as the file says.
    """

    kind: str
    title: str = ""
    mode: int = 0
    inputs: tuple[UISlot, ...] = ()
    outputs: tuple[UISlot, ...] = ()
    values: tuple[object, ...] | Mapping[str, object] = ()
    promoted: tuple[tuple[str, str], ...] = ()
    pack: str = ""


@attrs.frozen(kw_only=True)
class UIGraph:
    """The nodes of a page, or of a subgraph.

    Attributes:
        nodes: By id, in the order of the file.
        links: By id.
        inputs: The names of a subgraph's inputs.
        outputs: For each of a subgraph's outputs: the link into it.
        subgraphs: By id, of the whole file.
        name: Of a subgraph.
    """

    nodes: Mapping[str, UINode] = attrs.field(converter=frozen_mapping)
    links: Mapping[str, UILink] = attrs.field(converter=frozen_mapping)
    inputs: tuple[str, ...] = ()
    outputs: tuple[str | None, ...] = ()
    subgraphs: Mapping[str, UIGraph] = attrs.field(factory=dict, converter=frozen_mapping)
    name: str = ""


def is_ui_format(data: Mapping[str, object]) -> bool:
    """Return whether some JSON looks like what the page saves."""
    return isinstance(data.get("nodes"), list)


def read_ui_graph(data: Mapping[str, object]) -> UIGraph:
    """Read what the page saves.

    Raises:
        ConfigError: There is something else in it.
    """
    definitions = data.get("definitions")
    listed = definitions.get("subgraphs") if isinstance(definitions, Mapping) else None
    subgraphs = {
        str(each.get("id")): _graph(each) for each in _list(listed) if isinstance(each, Mapping)
    }
    return attrs.evolve(_graph(data), subgraphs=subgraphs)


def _graph(data: Mapping[str, object]) -> UIGraph:
    nodes: dict[str, UINode] = {}
    for number, each in enumerate(_list(data.get("nodes")), start=1):
        if not isinstance(each, Mapping) or not isinstance(each.get("type"), str):
            raise ConfigError(f"node {number}: given {shown(each)}, expected a table with a type")
        nodes[str(each.get("id"))] = _node(each)
    links: dict[str, UILink] = {}
    ends: dict[int, str] = {}
    for name, link, target in _links(data.get("links")):
        links[name] = link
        if target[0] == OUTPUTS:
            ends[target[1]] = name
    inputs = tuple(str(_table(each).get("name")) for each in _list(data.get("inputs")))
    outputs = tuple(ends.get(number) for number in range(len(_list(data.get("outputs")))))
    named = data.get("name")
    return UIGraph(nodes=nodes, links=links, inputs=inputs, outputs=outputs, name=str(named or ""))


def _links(listed: object) -> Iterator[tuple[str, UILink, tuple[str, int]]]:
    """Yield each link's id, beginning and end; one that is half a link leads nowhere."""
    every = listed.values() if isinstance(listed, Mapping) else _list(listed)
    for each in every:
        if isinstance(each, Mapping):
            names = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
            parts = [each.get(name) for name in names]
        else:
            parts = _list(each)[:5]
        if len(parts) == 5 and isinstance(parts[2], int) and isinstance(parts[4], int):
            yield str(parts[0]), UILink(str(parts[1]), parts[2]), (str(parts[3]), parts[4])


def _node(data: Mapping[str, object]) -> UINode:
    properties = _table(data.get("properties"))
    title, mode, values = data.get("title"), data.get("mode"), data.get("widgets_values")
    return UINode(
        kind=str(data["type"]),
        title=title if isinstance(title, str) else "",
        mode=mode if isinstance(mode, int) else 0,
        inputs=tuple(map(_slot, _list(data.get("inputs")))),
        outputs=tuple(map(_slot, _list(data.get("outputs")))),
        values=frozen_mapping(values) if isinstance(values, Mapping) else tuple(_list(values)),
        promoted=tuple(
            (str(pair[0]), str(pair[1]))
            for each in _list(properties.get("proxyWidgets"))
            if len(pair := _list(each)) >= 2
        ),
        pack=str(properties.get("cnr_id") or properties.get("aux_id") or ""),
    )


def _slot(described: object) -> UISlot:
    data = _table(described)
    link, widget = data.get("link"), _table(data.get("widget")).get("name")
    return UISlot(
        name=str(data.get("name") or ""),
        kind=str(data.get("type") or "*"),
        link=None if link is None else str(link),
        widget=widget if isinstance(widget, str) else None,
    )


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
