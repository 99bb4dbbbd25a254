"""A workflow of ComfyUI's as the data of a form: its inputs, node by node; blocks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stablenew.backends.comfyui.object_info import ObjectInfo
from stablenew.backends.comfyui.workflows.input_addresses import find_input, input_of
from stablenew.backends.comfyui.workflows.input_values import value_type
from stablenew.backends.comfyui.workflows.workflow import Workflow
from stablenew.backends.comfyui.workflows.workflow_listing import ListedInput, listed_inputs
from stablenew.backends.comfyui.workflows.workflow_outputs import chosen_output, outputs_of
from stablenew.backends.comfyui.workflows.workflow_problems import workflow_problems
from stablenew.cli.workflow_options import GivenWorkflow
from stablenew.errors import ConfigError
from stablenew.studio.answers import said_errors
from stablenew.studio.jobs import workflow_file

_KINDS = {int: "whole", float: "number", bool: "bool", str: "text"}
_LONG = 60
"""Letters of a text from which it gets room for more."""


def workflow_form(out: Path, given: str, output: str | None, info: ObjectInfo | None) -> Any:
    """Return the form of a workflow.

    Args:
        out: The folder of all runs.
        given: The workflow, as a job names it.
        output: The node whose picture is meant; None for the likeliest.
        info: The nodes of the server, where it is known.

    Raises:
        ConfigError: There is no such workflow, or it needs a server to be read.
    """
    file = workflow_file(given, out)
    workflow = file.workflow(info)
    asked = GivenWorkflow(workflow=workflow, info=info, output=output)
    problems: list[str] = []
    chosen, needed = None, workflow
    try:
        chosen = chosen_output(workflow, info, output)
        needed = workflow.ending_in(chosen)
    except ConfigError as error:
        problems = [*error.problems]
    if info is not None:
        problems += [f"workflow.{each}" for each in workflow_problems(needed, info)]
    return {
        "workflow": given,
        "format": file.format,
        "output": chosen,
        "outputs": [
            {"id": each, "title": workflow.nodes[each].name} for each in outputs_of(workflow, info)
        ],
        "notes": list(asked.notes()),
        "errors": said_errors(problems),
        **dict.fromkeys(("prompt", "negative_prompt")),
        **asked.prompts,
        "groups": list(_groups(needed, info)),
    }


def _groups(workflow: Workflow, info: ObjectInfo | None) -> Iterator[dict[str, Any]]:
    """Yield each node that has inputs to set, with these."""
    nodes: dict[str, list[dict[str, Any]]] = {}
    for each in listed_inputs(workflow, info):
        nodes.setdefault(find_input(workflow, each.name).node, []).append(
            _field(workflow, each, info)
        )
    for node, fields in nodes.items():
        yield {"name": f"{node} {workflow.nodes[node].name}", "fields": fields}


def _field(workflow: Workflow, each: ListedInput, info: ObjectInfo | None) -> dict[str, Any]:
    name = find_input(workflow, each.name)
    kind = _KINDS.get(value_type(input_of(workflow, name, info), each.value), "text")
    choices = None if each.choices is None else list(each.choices)
    long = isinstance(each.value, str) and ("\n" in each.value or len(each.value) > _LONG)
    return {
        "path": each.name,
        "name": name.name,
        "kind": "choice" if choices else kind,
        "default": each.value,
        "low": each.low,
        "high": each.high,
        "choices": choices or None,
        "multiline": kind == "text" and not choices and (long or name.name.startswith("text")),
        "sweepable": True,
        "role": each.role.removeprefix("follows --").replace("-", "_"),
    }
