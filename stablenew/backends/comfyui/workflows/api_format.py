"""Workflows as `POST /prompt` takes them: `{id: {class_type, inputs, _meta}}`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stablenew._arguments import is_text, shown
from stablenew.backends.comfyui.workflows.workflow import Link, Node, Workflow
from stablenew.errors import ConfigError

_LITERAL = "__value__"
"""What the page wraps a list of values in, that would be taken for a link."""


def is_api_format(data: Mapping[str, object]) -> bool:
    """Return whether some JSON looks like nodes by id."""
    return bool(data) and any(
        isinstance(each, Mapping) and "class_type" in each for each in data.values()
    )


def read_api_format(data: Mapping[str, object]) -> Workflow:
    """Read nodes by id.

    Raises:
        ConfigError: With every node that cannot be read.
    """
    problems: list[str] = []
    nodes: dict[str, Node] = {}
    for name, described in data.items():
        wrong = list(_problems(name, described))
        problems += wrong
        if not wrong:
            assert isinstance(described, Mapping)
            nodes[name] = _node(described)
    if problems:
        raise ConfigError(*problems)
    return Workflow(nodes=nodes)


def _problems(name: str, described: object) -> Iterator[str]:
    if not is_text(name):
        yield f"node {shown(name)}: no valid Unicode text"
    elif not isinstance(described, Mapping) or not is_text(described.get("class_type")):
        yield f"node {name}: given {shown(described)}, expected a class_type and inputs"
    elif not isinstance(inputs := described.get("inputs", {}), Mapping):
        yield f"node {name}: inputs: given {shown(inputs)}, expected values and links by name"


def _node(described: Mapping[str, object]) -> Node:
    inputs, meta = described.get("inputs", {}), described.get("_meta")
    title = meta.get("title") if isinstance(meta, Mapping) else None
    assert isinstance(inputs, Mapping)
    return Node(
        kind=str(described["class_type"]),
        title=title if isinstance(title, str) else "",
        inputs={name: _value(each) for name, each in inputs.items()},
    )


def _value(value: object) -> object:
    """Return an input's value; ids in links must be texts for the server, and need not be here."""
    if isinstance(value, Mapping) and set(value) == {_LITERAL}:
        return value  # as the server takes it
    if not isinstance(value, list) or len(value) != 2:
        return value
    node, slot = value
    whole = isinstance(slot, int) and not isinstance(slot, bool)
    if whole and isinstance(node, str | int) and not isinstance(node, bool):
        return Link(str(node), slot)
    return value
