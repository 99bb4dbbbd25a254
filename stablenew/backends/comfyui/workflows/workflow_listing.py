"""What a workflow is, in lines for a person: what was read, what can be swept. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from stablenew.backends.comfyui.object_info import NodeInput, ObjectInfo
from stablenew.backends.comfyui.workflows.input_addresses import input_of, shown_value
from stablenew.backends.comfyui.workflows.input_values import range_of, value_type
from stablenew.backends.comfyui.workflows.workflow import InputName, Workflow
from stablenew.backends.comfyui.workflows.workflow_outputs import outputs_of
from stablenew.backends.comfyui.workflows.workflow_roles import Roles, find_roles

_SUMMARY: Mapping[str, tuple[str, ...]] = {
    "steps": ("steps",),
    "cfg": ("cfg", "guidance"),
    "sampler": ("sampler_name",),
    "model": ("ckpt_name", "unet_name"),
}
"""What shows whether values were read into the inputs that they belong to."""

_CHOICES = 8
_CELL = 40
_LONGEST = 100


@attrs.frozen(kw_only=True)
class ListedInput:
    """An input that can be swept.

    Attributes:
        name: `3.cfg`.
        title: What the node is called.
        kind: Its class.
        value: What stands in it.
        role: What it follows where nothing else is said: the seed, the prompt, the start picture.
        choices: What may stand in it, where there is a list.
        low: The least number, None where it is not told.
        high: The greatest.
    """

    name: str
    title: str
    kind: str
    value: object
    role: str = ""
    choices: tuple[object, ...] | None = None
    low: float | None = None
    high: float | None = None
    text: str = ""


def listed_inputs(workflow: Workflow, info: ObjectInfo | None) -> Iterator[ListedInput]:
    """Yield every input in which a value stands that can be another."""
    roles = _by_input(find_roles(workflow, info))
    for name, value in workflow.literals:
        if value is not None and not isinstance(value, str | int | float):
            continue
        node = workflow.nodes[name.node]
        known = input_of(workflow, name, info)
        yield ListedInput(
            name=str(name),
            title=node.name,
            kind=node.kind,
            value=value,
            role=roles.get(name, ""),
            choices=None if known is None else known.choices,
            low=None if known is None else known.low,
            high=None if known is None else known.high,
            text=_allowed(known, value),
        )


def listing(workflow: Workflow, info: ObjectInfo | None, output: str | None) -> Iterator[str]:
    """Yield the lines.

    Args:
        workflow: All of it, or the part that an output needs.
        info: The nodes of the server, where it is known.
        output: The id of the node whose picture is meant; None where there is none.
    """
    yield from _summary(workflow, info, output)
    yield from (f"note      {note}" for note in workflow.notes)
    rows = [
        (each.name, each.title, shown_value(each.value, _CELL), _remark(each))
        for each in listed_inputs(workflow, info)
    ]
    yield ""
    yield f"{len(rows)} inputs can be swept: --sweep {rows[0][0] if rows else 'ID.INPUT'}=VALUES"
    widths = [min(_CELL, max((len(row[column]) for row in rows), default=0)) for column in range(3)]
    for *cells, remark in rows:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        yield "  ".join([*padded, remark]).rstrip()


def _summary(workflow: Workflow, info: ObjectInfo | None, output: str | None) -> Iterator[str]:
    roles = find_roles(workflow, info)
    if output is not None:
        others = [each for each in outputs_of(workflow, info) if each != output]
        node = workflow.nodes[output]
        also = f"; --output chooses another: {', '.join(others)}" if others else ""
        yield f"picture   of node {output} ({node.name}){also}"
    named = [
        *(("prompt", each) for each in roles.positive),
        *(("negative", each) for each in roles.negative),
        *(("seed", each) for each in roles.seeds),
        *(("image", each) for each in roles.images),
    ]
    for label, names in _SUMMARY.items():
        named += [(label, each) for each, _ in workflow.literals if each.name in names]
    for label, name in named:
        yield f"{label:<9} {name} = {shown_value(workflow.value(name))}"


def _by_input(roles: Roles) -> dict[InputName, str]:
    return {
        **dict.fromkeys(roles.images, "follows --image"),
        **dict.fromkeys(roles.negative, "follows --negative-prompt"),
        **dict.fromkeys(roles.positive, "follows --prompt"),
        **dict.fromkeys(roles.seeds, "follows --seed"),
    }


def _remark(each: ListedInput) -> str:
    return "; ".join(filter(None, (each.text, each.role)))


def _allowed(known: NodeInput | None, value: object) -> str:
    """Return what may stand in an input, in words."""
    if known is not None and known.choices is not None:
        return _cut(known.choices)
    kind = value_type(known, value)
    if kind is str:
        return "text"
    if kind is bool:
        return "true, false"
    return (range_of(known) if known is not None else "") or "a number"


def _cut(choices: tuple[object, ...]) -> str:
    """Return choices on one line, with how many there are beyond that."""
    line = ", ".join(map(str, choices[:_CHOICES])) or "none on the server"
    line = line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
    more = len(choices) - _CHOICES
    return f"{line} and {more} more" if more > 0 else line
