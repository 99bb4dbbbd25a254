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
    for name, described in info[node["class_type"]]["input"]["required"].items():
        value = node["inputs"].get(name)
        if name not in node["inputs"]:
            says = "Required input is missing"
            errors.append(general("required_input_missing", says, name, input_name=name))
        elif isinstance(value, list):
            if value[0] not in prompt:
                says = "Exception when validating inner node"
                errors.append(general("exception_during_inner_validation", says, f"'{value[0]}'"))
            else:
                good &= _look(prompt, value[0], output, info, exists, found, seen)
        else:
            errors += _value_errors(node["class_type"], name, value, described, exists)
    if errors:
        kind = node["class_type"]
        found[node_id] = {"errors": errors, "dependent_outputs": [output], "class_type": kind}
    return good and not errors


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
