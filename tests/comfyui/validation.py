"""What ComfyUI says of a prompt before it runs: errors one layer at a time, in its words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Refused = tuple[int, dict[str, Any] | str]
TROUBLE = "500 Internal Server Error\n\nServer got itself in trouble"


def general(kind: str, message: str, details: str = "", **more: Any) -> dict[str, Any]:
    return {"type": kind, "message": message, "details": details, "extra_info": more}


def refused(error: dict[str, Any], nodes: Mapping[str, Any] | None = None) -> Refused:
    return 400, {"error": error, "node_errors": dict(nodes or {})}


def missing_class(prompt: Mapping[str, Any], info: Mapping[str, Any]) -> Refused | None:
    """Return what is said of the first node that the server does not have."""
    for node_id, node in prompt.items():
        kind = node.get("class_type")
        if kind is None:
            says = f"Node 'ID #{node_id}' has no class_type. The workflow may be corrupted or a"
            says += " custom node is missing."
        elif kind not in info:
            says = f"Node '{kind}' not found. The custom node may not be installed."
        else:
            continue
        more = {"node_id": node_id, "class_type": kind, "node_title": kind}
        return refused(general("missing_node_type", says, f"Node ID '#{node_id}'", **more))
    return None


def node_errors(
    prompt: Mapping[str, Any],
    output: str,
    info: Mapping[str, Any],
    exists: Callable[[str], bool],
) -> dict[str, Any]:
    """Return what is wrong with an output, from its furthest ancestors on."""
    found: dict[str, Any] = {}
    _look(prompt, output, output, info, exists, found, set())
    return found


def _look(
    prompt: Mapping[str, Any],
    node_id: str,
    output: str,
    info: Mapping[str, Any],
    exists: Callable[[str], bool],
    found: dict[str, Any],
    seen: set[str],
) -> bool:
    if node_id in seen:
        return node_id not in found
    seen.add(node_id)
    node = prompt[node_id]
    errors: list[dict[str, Any]] = []
    good = True
    if "inputs" not in node:
        kind = node["class_type"]
        errors = [general("exception_during_inner_validation", _INNER, "'inputs'")]
        found[node_id] = {"errors": errors, "dependent_outputs": [output], "class_type": kind}
        return False
    for name, described in info[node["class_type"]]["input"]["required"].items():
        value = node["inputs"].get(name)
        if name not in node["inputs"]:
            says = "Required input is missing"
            errors.append(general("required_input_missing", says, name, input_name=name))
        elif isinstance(value, list):
            wrong = _link_error(prompt, name, value, described[0], info)
            errors += wrong
            if not wrong:
                good &= _look(prompt, value[0], output, info, exists, found, seen)
        else:
            node["inputs"][name], wrong = _number(name, value, described)
            checked = node["inputs"][name]
            errors += wrong or _value_errors(node["class_type"], name, checked, described, exists)
    if errors:
        kind = node["class_type"]
        found[node_id] = {"errors": errors, "dependent_outputs": [output], "class_type": kind}
    return good and not errors


_INNER = "Exception when validating inner node"


def _link_error(
    prompt: Mapping[str, Any], name: str, link: list[Any], kind: str, info: Mapping[str, Any]
) -> list[dict[str, Any]]:
    if len(link) != 2:
        says = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
        return [general("bad_linked_input", says, name)]
    if link[0] not in prompt:
        return [general("exception_during_inner_validation", _INNER, f"'{link[0]}'")]
    outputs = info[prompt[link[0]]["class_type"]]["output"]
    if link[1] >= len(outputs):
        return [general("exception_during_inner_validation", _INNER, "tuple index out of range")]
    if outputs[link[1]] != kind:
        says = f"{name}, received_type({outputs[link[1]]}) mismatch input_type({kind})"
        return [general("return_type_mismatch", "Return type mismatch between linked nodes", says)]
    return []


def _number(name: str, value: Any, described: Any) -> tuple[Any, list[dict[str, Any]]]:
    """Return a value as the type that is wanted: text and fractions are taken for numbers."""
    wanted = {"INT": int, "FLOAT": float, "STRING": str}
    kind = described[0]
    if not isinstance(kind, str) or kind not in wanted:
        return value, []
    try:
        return wanted[kind](value), []
    except (ValueError, TypeError) as error:
        says = f"Failed to convert an input value to a {kind} value"
        return value, [general("invalid_input_type", says, f"{name}, {value}, {error}")]


def _value_errors(
    node_class: str, name: str, value: Any, described: Any, exists: Callable[[str], bool]
) -> list[dict[str, Any]]:
    more = {"input_name": name, "input_config": described, "received_value": value}
    kind, options = described[0], described[1] if len(described) > 1 else {}
    if node_class == "LoadImage":
        if exists(value):
            return []
        says = f"{name} - Invalid image file: {value}"
        return [general("custom_validation_failed", "Custom validation failed for node", says)]
    listed = kind if isinstance(kind, list) else options.get("options")
    if isinstance(listed, list):
        if value in listed:
            return []
        shown = listed if len(listed) <= 20 else f"(list of length {len(listed)})"
        says = f"{name}: '{value}' not in {shown}"
        return [general("value_not_in_list", "Value not in list", says, **more)]
    if kind in ("INT", "FLOAT") and value < options["min"]:
        says = f"Value {value} smaller than min of {options['min']}"
        return [general("value_smaller_than_min", says, name, **more)]
    if kind in ("INT", "FLOAT") and value > options["max"]:
        says = f"Value {value} bigger than max of {options['max']}"
        return [general("value_bigger_than_max", says, name, **more)]
    return []
