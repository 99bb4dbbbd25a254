"""Which input a person means: `3.cfg`, `KSampler.cfg`, `Positive prompt.text`. Pure.

A node is named by its id, else by its exact title, else by its class; of those of one name, the
ones count where a value stands in that input. Several are refused, and a linked one is as well.
"""

from __future__ import annotations

from collections.abc import Iterator

from stablenew._names import suggestion
from stablenew.backends.comfyui.object_info import NodeInput, ObjectInfo
from stablenew.backends.comfyui.workflows.workflow import InputName, Link, Node, Workflow
from stablenew.errors import OverrideError

_SHOWN = 60
_LISTED = 12


def find_input(workflow: Workflow, name: str) -> InputName:
    """Return the one input that a name means.

    Raises:
        OverrideError: There is none, it is linked, or there are several: each with its id.
    """
    linked: list[InputName] = []
    for found in _meant(workflow, name):
        literal = [each for each in found if not isinstance(workflow.value(each), Link)]
        if len(literal) > 1:
            raise OverrideError(f"{name}: could be {_listed(workflow, literal)}")
        if literal:
            return literal[0]
        linked += found
    if linked:
        raise OverrideError(f"{name}: {_comes_from(workflow, linked[0])}")
    raise OverrideError(f"{name}: {_nearest(workflow, name)}")


def input_of(workflow: Workflow, name: InputName, info: ObjectInfo | None) -> NodeInput | None:
    """Return what a server says of an input; None where it does not know it."""
    node = workflow.nodes[name.node]
    if info is None or node.kind not in info:
        return None
    known = info[node.kind].inputs_with(node.inputs)
    return next((each for each in known if each.name == name.name), None)


def shown_value(value: object, width: int = _SHOWN) -> str:
    """Return a value on one line, cut to what fits."""
    text = " ".join(value.split()) if isinstance(value, str) else value
    line = repr(text)
    return line if len(line) <= width else line[: width - 2] + "…" + line[0]


def _meant(workflow: Workflow, name: str) -> Iterator[list[InputName]]:
    """Yield the inputs of the nodes of that id, then those of that title, then of that class.

    Titles, ids and inputs may hold dots: each of a name's may be the one between them.
    """
    dots = [place for place, letter in enumerate(name) if letter == "."]
    splits = [(name[:dot].strip(), name[dot + 1 :].strip()) for dot in reversed(dots)]

    def of(fits: str) -> list[InputName]:
        return [
            InputName(node, field)
            for named, field in splits
            for node, each in workflow.nodes.items()
            if field in each.inputs and named in _called(node, each, fits)
        ]

    for fits in ("id", "title", "kind"):
        yield of(fits)


def _called(node: str, each: Node, fits: str) -> tuple[str, ...]:
    return (node,) if fits == "id" else (each.title,) if fits == "title" else (each.kind,)


def _listed(workflow: Workflow, names: list[InputName]) -> str:
    each = [
        f"{name} ({workflow.nodes[name.node].name}, now {shown_value(workflow.value(name))})"
        for name in names[:_LISTED]
    ]
    more = f" or {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(each) + more


def _comes_from(workflow: Workflow, name: InputName) -> str:
    """Return where a linked input gets its value from, and what can be set instead."""
    link = workflow.value(name)
    assert isinstance(link, Link)
    node = workflow.nodes.get(link.node)
    if node is None:
        return f"linked to node {link.node}, which is not there"
    values = [f"{link.node}.{field}" for field, _ in node.literals]
    instead = f"; set {' or '.join(values[:4])} instead" if values else ""
    return f"comes from node {link.node} ({node.name}){instead}"


def _nearest(workflow: Workflow, name: str) -> str:
    """Return what there is instead of a name that nothing has."""
    named, _, field = name.rpartition(".")
    nodes = workflow.nodes
    for fits in ("id", "title", "kind"):
        there = [node for node, each in nodes.items() if named in _called(node, each, fits)]
        if there and named:
            fields = [each for node in there for each, _ in nodes[node].literals]
            near = suggestion(field, fields, prefix=f"{named}.")
            return f"{there[0]} ({nodes[there[0]].name}) has no such input, {near}"
    if not named:
        same = [str(each) for each, _ in workflow.literals if each.name == field]
        if same:
            return f"of which node? {' or '.join(same[:_LISTED])}"
        return "expected NODE.INPUT, such as KSampler.cfg"
    every = {each.title for each in nodes.values()} | {each.kind for each in nodes.values()}
    return f"no such node, {suggestion(named, [*nodes, *sorted(every - {''})])}"
