"""Which value of a saved node belongs to which of its inputs. Pure.

A page saves the values of a node's widgets as a list without names, in the order in which it shows
them, and puts values of its own in between: the switch after a seed, the button after a file. Older
files lack values at the end; a linked input keeps its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stablenew._arguments import shown
from stablenew._convert import is_a_number
from stablenew.backends.comfyui.object_info import NodeClass, NodeInput
from stablenew.backends.comfyui.workflows.ui_graph import UINode

_SWITCH = ("fixed", "increment", "decrement", "randomize", "increment-wrap")
_BUTTONS = ("image", "video", "audio", "upload", "file")

_NUMBERS = ("INT", "FLOAT")


def widget_values(node: UINode, kind: NodeClass) -> dict[str, object]:
    """Return the values that a node has, by the name of the input; not those that it lacks."""
    if isinstance(node.values, Mapping):
        return {name: value for name, value in node.values.items() if value is not None}
    found: dict[str, object] = {}
    place = 0
    switch, button = False, False  # whether the page may put one there
    for each in _widgets(node, kind, found):
        if place < len(node.values) and switch and _is_extra(node.values[place], _SWITCH, each):
            place += 1
        if place < len(node.values) and button and _is_extra(node.values[place], _BUTTONS, each):
            place, button = place + 1, False
        if place == len(node.values):
            break
        found[each.name] = node.values[place]
        place += 1
        switch, button = each.is_changed_by_page, button or each.is_file
    return {name: value for name, value in found.items() if value is not None}


def _widgets(node: UINode, kind: NodeClass, found: Mapping[str, object]) -> Iterator[NodeInput]:
    """Yield the inputs that have a widget; what a choice opens follows it, so `found` is live."""
    shown_as_widgets = {slot.name for slot in node.inputs if slot.widget is not None}
    for each in kind.inputs_with(found):
        if not each.linked_only or each.name in shown_as_widgets:
            yield each


def _is_extra(value: object, extra: tuple[str, ...], before: NodeInput) -> bool:
    """Return whether a value is the page's own, and not that of the input that comes next."""
    if value not in extra:
        return False
    return before.choices is None or value not in before.choices


def misfit(each: NodeInput, value: object) -> str:
    """Return what is wrong with a value that is to stand in an input; "" where it may be right."""
    if each.kind in _NUMBERS:
        fits = is_a_number(value) and (each.kind == "FLOAT" or float(value).is_integer())
    elif each.kind == "BOOLEAN":
        fits = isinstance(value, bool) or value in (0, 1)
    elif each.kind == "STRING":
        fits = isinstance(value, str)
    elif each.choices and all(isinstance(choice, str) for choice in each.choices):
        fits = isinstance(value, str | list)
    else:
        return ""
    wanted = {"INT": "a whole number", "FLOAT": "a number", "BOOLEAN": "true or false"}
    return (
        ""
        if fits
        else f"{each.name}: given {shown(value)}, expected {wanted.get(each.kind, 'text')}"
    )
