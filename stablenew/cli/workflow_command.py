"""`--workflow FILE --list`: what a workflow is and what of it can be swept; nothing runs."""

from __future__ import annotations

import os
from collections.abc import Mapping

import anyio.to_thread

from stablenew._convert import unstructure
from stablenew.backends.comfyui.object_info import ObjectInfo
from stablenew.backends.comfyui.workflows.workflow import Workflow
from stablenew.backends.comfyui.workflows.workflow_listing import listed_inputs, listing
from stablenew.backends.comfyui.workflows.workflow_outputs import chosen_output
from stablenew.backends.comfyui.workflows.workflow_problems import workflow_problems
from stablenew.cli.exit_codes import ExitCode
from stablenew.cli.json_lines import JsonLines
from stablenew.cli.printing import say, say_all
from stablenew.cli.workflow_options import nodes_if_there, read_given_file
from stablenew.errors import ConfigError


async def list_workflow(flags: Mapping[str, object], lines: JsonLines | None) -> ExitCode:
    """Print what a workflow is, and everything that its server would refuse it for.

    Without a server that answers, a file in API format is listed as it is.

    Raises:
        ConfigError: There is no workflow, or what is wrong with it.
        BackendUnavailableError: A server was named, or is needed, and does not answer.
    """
    file = await anyio.to_thread.run_sync(read_given_file, flags, os.environ)
    if file is None:
        raise ConfigError("--list: of what? give --workflow FILE as well")
    info = await nodes_if_there(flags, file)
    workflow = await anyio.to_thread.run_sync(file.workflow, info)
    output, problems = _output(workflow, info, flags.get("output"))
    needed = workflow if output is None else workflow.ending_in(output)
    if info is not None:
        problems += workflow_problems(needed, info)
    if lines is not None:
        inputs = [unstructure(each) for each in listed_inputs(workflow, info)]
        lines.tell("workflow", format=file.format, output=output, inputs=inputs)
    else:
        server = "" if info is not None else "; no server answers, so ranges are not known"
        say(f"{file.name}: {len(workflow.nodes)} nodes, {file.format}{server}")
        say_all(listing(workflow, info, output))
    if problems:
        raise ConfigError(*(f"{file.name}: {problem}" for problem in problems))
    return ExitCode.SUCCEEDED


def _output(
    workflow: Workflow, info: ObjectInfo | None, wanted: object
) -> tuple[str | None, list[str]]:
    try:
        return chosen_output(workflow, info, None if wanted is None else str(wanted)), []
    except ConfigError as error:
        return None, list(error.problems)
