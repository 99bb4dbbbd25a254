"""`--workflow FILE --list`: what a workflow is and what of it can be swept; nothing runs."""

from __future__ import annotations

import os
from collections.abc import Mapping

import anyio.to_thread

from stablenew._convert import unstructure
from stablenew.backends.comfyui.object_info import ObjectInfo
from stablenew.backends.comfyui.probe import probe
from stablenew.backends.comfyui.workflows.workflow import Workflow
from stablenew.backends.comfyui.workflows.workflow_file import WorkflowFile, read_workflow_file
from stablenew.backends.comfyui.workflows.workflow_listing import listed_inputs, listing
from stablenew.backends.comfyui.workflows.workflow_outputs import chosen_output
from stablenew.backends.comfyui.workflows.workflow_problems import workflow_problems
from stablenew.backends.server_client import ServerClient
from stablenew.cli.exit_codes import ExitCode
from stablenew.cli.json_lines import JsonLines
from stablenew.cli.options import merged, options_from_environment, options_from_flags
from stablenew.cli.printing import say, say_all
from stablenew.config.server_url import DEFAULT_COMFYUI_URL, split_url
from stablenew.errors import BackendUnavailableError, ConfigError


async def list_workflow(flags: Mapping[str, object], lines: JsonLines | None) -> ExitCode:
    """Print what a workflow is, and everything that its server would refuse it for.

    Without a server that answers, a file in API format is listed as it is.

    Raises:
        ConfigError: There is no workflow, or what is wrong with it.
        BackendUnavailableError: A server was named, or is needed, and does not answer.
    """
    if flags.get("workflow") is None:
        raise ConfigError("--list: of what? give --workflow FILE as well")
    file = await anyio.to_thread.run_sync(read_workflow_file, flags["workflow"])
    info = await _info(flags, file)
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


async def _info(flags: Mapping[str, object], file: WorkflowFile) -> ObjectInfo | None:
    """Return the server's nodes; None where it is not needed, nor named, nor there."""
    given = merged(options_from_flags(flags), options_from_environment(os.environ))
    url, auth = split_url(given.url or DEFAULT_COMFYUI_URL, given.auth)
    try:
        async with ServerClient(url, auth) as client:
            server, _ = await probe(client)
    except BackendUnavailableError:
        if given.url is None and file.api is not None:
            return None
        raise
    return server.info
