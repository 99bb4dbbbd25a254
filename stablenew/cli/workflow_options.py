"""The workflow that the words of the command line ask for, and what its inputs are called."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import msgspec

from stablenew.backends.comfyui.object_info import ObjectInfo
from stablenew.backends.comfyui.workflows.input_addresses import find_input, input_of
from stablenew.backends.comfyui.workflows.input_values import value_type
from stablenew.backends.comfyui.workflows.workflow import Workflow
from stablenew.backends.comfyui.workflows.workflow_file import WorkflowFile, read_workflow_file
from stablenew.backends.comfyui.workflows.workflow_outputs import chosen_output, outputs_of
from stablenew.backends.comfyui.workflows.workflow_roles import find_roles
from stablenew.cli.job_values import dask_of
from stablenew.cli.options import (
    RunFile,
    RunOptions,
    merged,
    options_from_environment,
    options_from_file,
    options_from_flags,
)
from stablenew.config.input_file import read_table
from stablenew.config.overrides import IMAGE, LORA, TEXT_EDITS, sets_input
from stablenew.config.pipeline_config import STAGES, PipelineConfig, Setting
from stablenew.config.server_url import DEFAULT_COMFYUI_URL, split_url
from stablenew.config.sweep import by_config
from stablenew.config.workflow_config import WORKFLOW, WorkflowConfig
from stablenew.errors import BackendUnavailableError, ConfigError, OverrideError
from stablenew.learning.axis import Axis
from stablenew.learning.learning_plan import LearningPlan


@attrs.frozen(kw_only=True)
class GivenWorkflow:
    """A workflow that somebody gave.

    Attributes:
        info: The nodes of the server, where they were needed to read it.
        output: The node whose picture is meant; None for the likeliest.
    """

    workflow: Workflow
    info: ObjectInfo | None = None
    output: str | None = None

    def config_with(self, inputs: Mapping[str, Setting]) -> WorkflowConfig:
        """Return what a config has of it.

        Args:
            inputs: What stands in some of its inputs, by whatever name.

        Raises:
            ConfigError: With every name that is none, or several.
        """
        problems: list[str] = []
        found: dict[str, Setting] = {}
        for name, value in inputs.items():
            try:
                found[str(find_input(self.workflow, name))] = value
            except OverrideError as error:
                problems += [f"inputs: {problem}" for problem in error.problems]
        if problems:
            raise ConfigError(*problems)
        graph = msgspec.json.encode(self.workflow.as_prompt()).decode()
        return WorkflowConfig(graph=graph, output=self.output, inputs=found)

    @property
    def prompts(self) -> dict[str, str]:
        """Its own prompts, by name, as far as there is one of each."""
        try:
            needed = self.workflow.ending_in(chosen_output(self.workflow, self.info, self.output))
        except ConfigError:  # told with everything else, once there is a server
            return {}
        roles = find_roles(needed, self.info)
        named = {"prompt": roles.positive, "negative_prompt": roles.negative}
        texts = {name: {str(needed.value(each)) for each in there} for name, there in named.items()}
        return {name: each.pop() for name, each in texts.items() if len(each) == 1}

    def notes(self) -> Iterator[str]:
        """Yield what was taken for granted, and what can be chosen otherwise."""
        yield from (f"workflow: {note}" for note in self.workflow.notes)
        outputs = outputs_of(self.workflow, self.info)
        if self.output is None and len(outputs) > 1:
            first, *others = (f"{each} ({self.workflow.nodes[each].name})" for each in outputs)
            yield f"the picture is that of node {first}; --output chooses {' or '.join(others)}"

    def named(self, path: str) -> tuple[str, type]:
        """Return what a path stands for: that of a config, and the type of its values.

        Args:
            path: `KSampler.cfg`, `3.cfg`, `workflow.3.cfg`; or one that needs no workflow.

        Raises:
            OverrideError: There is no such input, or there are several.
        """
        kind = path.partition(".")[0]
        if kind == LORA:
            name = "name an input of the node that loads it"
            raise OverrideError(f"{path}: a workflow has its LoRAs in nodes; {name}")
        if path == IMAGE or kind in (*STAGES, *TEXT_EDITS):
            return by_config(path)
        name = path.partition(".")[2] if sets_input(path) else path
        found = find_input(self.workflow, name)
        described = input_of(self.workflow, found, self.info)
        return f"{WORKFLOW}.{found}", value_type(described, self.workflow.value(found))

    def plan(self, plan: LearningPlan) -> LearningPlan:
        """Return a plan with the names of inputs as a config has them.

        Raises:
            OverrideError: With every name that is none, or several.
        """
        problems: list[str] = []
        names: dict[str, str] = {}
        for path in dict.fromkeys(path for axis in plan.axes for path in axis.paths):
            try:
                names[path] = self.named(path)[0]
            except OverrideError as error:
                problems += error.problems
        if problems:
            raise OverrideError(*problems)
        return attrs.evolve(plan, axes=[_renamed(axis, names) for axis in plan.axes])


def _renamed(axis: Axis, names: Mapping[str, str]) -> Axis:
    choices = [
        attrs.evolve(each, overrides={names[path]: value for path, value in each.overrides.items()})
        for each in axis.choices
    ]
    return attrs.evolve(axis, name=names.get(axis.name, axis.name), choices=choices)


def given_workflow(
    options: RunOptions, file: WorkflowFile | None, info: ObjectInfo | None
) -> GivenWorkflow | None:
    """Return the workflow of a file; None where there is none.

    Raises:
        ConfigError: It cannot be converted, or words are given that go with one alone.
    """
    if file is None:
        if options.output is not None:
            raise ConfigError("--output: of what? give --workflow FILE as well")
        return None
    return GivenWorkflow(workflow=file.workflow(info), info=info, output=options.output)


def base_config(file: RunFile, workflow: GivenWorkflow | None) -> PipelineConfig:
    """Return what a plan file and a workflow say, before all that is set besides.

    Raises:
        ConfigError: The file sets inputs that the workflow does not have, or there is none.
    """
    txt2img = file.txt2img
    if workflow is None and file.inputs:
        raise ConfigError('inputs: of which workflow? expected workflow = "FILE" beside them')
    if workflow is not None:  # so that words of them can be replaced, and choices in them made
        own = workflow.prompts
        txt2img = attrs.evolve(
            txt2img,
            prompt=txt2img.prompt or own.get("prompt"),
            negative_prompt=txt2img.negative_prompt or own.get("negative_prompt"),
        )
    return PipelineConfig(
        txt2img=txt2img,
        img2img=file.img2img,
        adetailer=file.adetailer,
        upscale=file.upscale,
        workflow=None if workflow is None else workflow.config_with(file.inputs),
    )


def read_given_file(flags: Mapping[str, object], environ: Mapping[str, str]) -> WorkflowFile | None:
    """Read the file of the workflow that is named, if one is; blocks.

    One that a plan file names lies beside it, or where it says.

    Raises:
        ConfigError: There is no workflow in it.
    """
    given = merged(options_from_flags(flags), options_from_environment(environ))
    if given.workflow is not None:
        return read_workflow_file(given.workflow)
    if not flags.get("file"):
        return None
    path = Path(str(flags["file"]))
    named = options_from_file(read_table(path), str(path)).workflow
    if named is None:
        return None
    beside = path.parent / named
    return read_workflow_file(beside if beside.is_file() else named)


def needs_nodes(flags: Mapping[str, object], environ: Mapping[str, str]) -> bool:
    """Return whether there is a workflow that cannot be read without a server's nodes; blocks.

    Raises:
        ConfigError: There is no workflow in its file.
    """
    if flags.get("resume") is not None:
        return False
    file = read_given_file(flags, environ)
    return file is not None and file.api is None


async def server_nodes(flags: Mapping[str, object]) -> ObjectInfo:
    """Return the nodes of the server that is named, or of one where ComfyUI listens.

    Raises:
        BackendUnavailableError: It does not answer.
        ConfigError: It wants credentials, or a cluster is named.
    """
    from stablenew.backends.comfyui.probe import probe
    from stablenew.backends.server_client import ServerClient

    file = flags.get("file")
    sources: list[RunOptions | RunFile] = [
        options_from_flags(flags),
        options_from_environment(os.environ),
    ]
    if file:
        sources.append(options_from_file(read_table(Path(str(file))), str(file)))
    given = merged(*sources)
    dask_of(given, "a workflow")
    url, auth = split_url((given.servers or (DEFAULT_COMFYUI_URL,))[0], given.auth)
    async with ServerClient(url, auth) as client:
        server, _ = await probe(client)
    return server.info


async def nodes_if_there(flags: Mapping[str, object], file: WorkflowFile) -> ObjectInfo | None:
    """Return the nodes of the server; None where it is not needed, nor named, nor there."""
    try:
        return await server_nodes(flags)
    except BackendUnavailableError:
        given = merged(options_from_flags(flags), options_from_environment(os.environ))
        if given.url is None and file.api is not None:
            return None
        raise
