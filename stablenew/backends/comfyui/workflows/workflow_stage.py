"""A workflow as a stage: from what is asked for to the graph that makes one picture. Pure.

Planned, a graph has `{seed}` where the run's seed goes, and `{image}` where the picture to start
from does; a person may write `{prompt}`, `{negative_prompt}` and `{seed}` into its texts as well.
Inputs that are set by name follow nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache

import attrs

from stablenew.backends.comfyui.object_info import ObjectInfo
from stablenew.backends.comfyui.workflows.api_format import read_api_format
from stablenew.backends.comfyui.workflows.input_addresses import find_input, input_of, shown_value
from stablenew.backends.comfyui.workflows.input_values import fitted
from stablenew.backends.comfyui.workflows.workflow import InputName, Node, Workflow
from stablenew.backends.comfyui.workflows.workflow_outputs import chosen_output
from stablenew.backends.comfyui.workflows.workflow_problems import (
    fitted_workflow,
    workflow_problems,
)
from stablenew.backends.comfyui.workflows.workflow_roles import Roles, find_roles
from stablenew.config.pipeline_config import Setting
from stablenew.config.workflow_config import WORKFLOW, WorkflowConfig
from stablenew.errors import ConfigError, OverrideError

GRAPH, OUTPUT = "graph", "output"
"""The settings that say what is sent, and which node's picture is meant."""

SEED, IMAGE = "{seed}", "{image}"
_UPLOADED = "stablenew/picture.png"
"""What stands in for a picture that is not on the server yet."""

_PROMPTS: Mapping[str, str] = {"prompt": "{prompt}", "negative_prompt": "{negative_prompt}"}

_FACTS: Mapping[str, str] = {
    "steps": "steps",
    "cfg": "cfg_scale",
    "sampler_name": "sampler_name",
    "scheduler": "scheduler",
    "denoise": "denoising_strength",
    "ckpt_name": "model",
    "unet_name": "model",
}
"""What inputs say of a picture that are called so, where all of them agree."""


@attrs.frozen
class ComfyUIWorkflows:
    """What a server does with workflows."""

    info: ObjectInfo

    def settings(
        self, workflow: WorkflowConfig, given: Mapping[str, Setting], *, image: bool
    ) -> dict[str, Setting]:
        """Return the settings of the stage: its graph, what is set in it, and what it says.

        Raises:
            ConfigError: With everything that is wrong.
        """
        return _Planning(self.info, workflow).settings(given, image=image)

    def choices(self, workflow: WorkflowConfig, name: str) -> tuple[str, ...]:
        """Return what may stand in an input; empty where it takes any, or where there is none."""
        try:
            whole = _read(workflow.graph)
            described = input_of(whole, find_input(whole, name), self.info)
        except ConfigError:  # told with everything else
            return ()
        return tuple(map(str, (described and described.choices) or ()))


class _Planning:
    """A stage in the making."""

    def __init__(self, info: ObjectInfo, asked: WorkflowConfig) -> None:
        self._info = info
        self._asked = asked
        self._problems: list[str] = []
        self._set: dict[InputName, Setting] = {}
        self._said: dict[str, Setting] = {}

    def settings(self, given: Mapping[str, Setting], *, image: bool) -> dict[str, Setting]:
        whole = _read(self._asked.graph)
        try:
            output = chosen_output(whole, self._info, self._asked.output)
        except ConfigError as error:
            raise ConfigError(*(f"{WORKFLOW}: {each}" for each in error.problems)) from None
        workflow = self._with_inputs(whole, whole.behind([output]), output)
        workflow = workflow.ending_in(output)
        roles = find_roles(workflow, self._info)
        workflow = self._with_prompts(workflow, roles, given)
        seeds = [each for each in roles.seeds if each not in self._set]
        images = self._one_place(workflow, roles.images, "image") if image else []
        seed = given.get("seed")
        standing_in = {
            **dict.fromkeys(seeds, seed if isinstance(seed, int) and seed >= 0 else 0),
            **dict.fromkeys(images, _UPLOADED),
        }
        workflow = workflow.with_values(standing_in)
        found = workflow_problems(workflow, self._info)
        self._problems += [f"{WORKFLOW}.{each}" for each in found]
        workflow = fitted_workflow(workflow, self._info)
        facts = {**_facts(workflow), **dict(self._prompts_of(workflow, roles))}
        marks = {**dict.fromkeys(seeds, SEED), **dict.fromkeys(images, IMAGE)}
        workflow = workflow.with_values(marks)
        if self._problems:
            raise ConfigError(*self._problems)
        graph = json.dumps(_untitled(workflow).as_prompt(), ensure_ascii=False, sort_keys=True)
        follows = {"seed": seed} if SEED in graph else {}
        return {GRAPH: graph, OUTPUT: output, **facts, **follows, **self._said}

    def _with_inputs(self, workflow: Workflow, needed: set[str], output: str) -> Workflow:
        """Set the inputs that are named."""
        for name, value in self._asked.inputs.items():
            try:
                there = find_input(workflow, name)
                if there.node not in needed:
                    raise OverrideError(f"{name}: has no part in the picture of node {output}")
                described = input_of(workflow, there, self._info)
                self._set[there] = value if described is None else fitted(described, value)
                self._said[str(there)] = self._set[there]
            except OverrideError as error:
                self._problems += [f"{WORKFLOW}.{each}" for each in error.problems]
            except ValueError as error:
                self._problems.append(f"{WORKFLOW}.{name}: {error}")
        return workflow.with_values(self._set)

    def _with_prompts(
        self, workflow: Workflow, roles: Roles, given: Mapping[str, Setting]
    ) -> Workflow:
        """Put the prompts where their marks are, or else where the graph shows that they go."""
        values: dict[InputName, object] = {}
        for name, mark in _PROMPTS.items():
            text = given.get(name)
            marked = [each for each, value in workflow.literals if _has(value, mark)]
            if text is None:
                where = ", ".join(map(str, marked))
                if marked:
                    self._problems.append(f"{name}: missing, {where} of the workflow waits for it")
                continue
            for each in marked:
                before = str(values.get(each, workflow.value(each)))
                values[each] = before.replace(mark, str(text))
                self._said[name] = text
            if not marked:
                there = roles.positive if name == "prompt" else roles.negative
                values |= dict.fromkeys(self._one_place(workflow, there, name), text)
        return workflow.with_values(values)

    def _one_place(
        self, workflow: Workflow, there: tuple[InputName, ...], name: str
    ) -> list[InputName]:
        """Return the inputs that hold one and the same thing, which follows what is given."""
        free = [each for each in there if each not in self._set]
        if there and not free:  # each is set by its own name, which beats what is given
            return []
        now = {str(workflow.value(each)) for each in free}
        if len(now) == 1:
            return free
        if free:
            shown = [f"{each} (now {shown_value(workflow.value(each))})" for each in free]
            said = f"could be {', '.join(shown)}"
        else:
            said = "the workflow shows no place for it"
        instead = "" if name == "image" else f", or write {_PROMPTS[name]} where it goes"
        self._problems.append(f"{name}: {said}; set one by its id{instead}")
        return []

    def _prompts_of(self, workflow: Workflow, roles: Roles) -> Iterator[tuple[str, Setting]]:
        """Return the prompts, where there is one of each."""
        for name, there in (("prompt", roles.positive), ("negative_prompt", roles.negative)):
            texts = {str(workflow.value(each)) for each in there}
            if len(texts) == 1:
                yield name, texts.pop()


def filled_graph(settings: Mapping[str, Setting], image: str | None) -> Workflow:
    """Return the workflow that makes one picture.

    Args:
        settings: Of the stage.
        image: What the server calls the picture to start from; None for none.
    """
    workflow = _read(str(settings[GRAPH]))
    values: dict[InputName, object] = {}
    for name, value in workflow.literals:
        if value == SEED:
            values[name] = settings.get("seed") or 0
        elif value == IMAGE and name.name == "image":
            values[name] = image
        elif isinstance(value, str) and SEED in value:
            values[name] = value.replace(SEED, str(settings.get("seed")))
    return workflow.with_values(values)


def steps_of(workflow: Workflow) -> dict[str, int]:
    """Return for each node that says so how many steps it makes."""
    return {
        name.node: value
        for name, value in workflow.literals
        if name.name == "steps" and isinstance(value, int)
    }


@lru_cache(maxsize=8)
def _read(graph: str) -> Workflow:
    """Read a graph; the steps of a plan have one in common."""
    try:
        data = json.loads(graph)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{WORKFLOW}.graph: no JSON ({error})") from None
    if not isinstance(data, Mapping):
        raise ConfigError(f"{WORKFLOW}.graph: no nodes by id, expected a workflow in API format")
    return read_api_format(data)


def _facts(workflow: Workflow) -> dict[str, Setting]:
    found: dict[str, set[Setting]] = {}
    for name, value in workflow.literals:
        fact = _FACTS.get(name.name)
        if fact is not None and isinstance(value, str | int | float):
            found.setdefault(fact, set()).add(value)
    return {fact: values.pop() for fact, values in found.items() if len(values) == 1}


def _untitled(workflow: Workflow) -> Workflow:
    """Return a workflow without titles: they change no picture."""
    nodes = {
        name: Node(kind=each.kind, inputs=each.inputs) for name, each in workflow.nodes.items()
    }
    return Workflow(nodes=nodes)


def _has(value: object, mark: str) -> bool:
    return isinstance(value, str) and mark in value
