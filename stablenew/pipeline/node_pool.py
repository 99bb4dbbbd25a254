"""Several backends, each with a pipeline of its own, as one: whoever has what a run needs runs it.

- What is asked of the pool is asked of every backend, at the same time.
- A run that names its node is run by that one and by no other; one that names none by the first
  that has what it needs.
- A pool of one is that one: nothing is decided, and no run names a node; unless it may grow.
- A node that joins later is taken if it offers what one of the others does, in the same version.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

import anyio
import attrs

from stablenew.backends.base import Backend, Capabilities
from stablenew.backends.several import any_of, check_kinds, differences, offer
from stablenew.config.pipeline_config import PipelineConfig, Setting
from stablenew.errors import (
    BackendError,
    BackendUnavailableError,
    ConfigError,
    StableNewError,
    ungrouped,
)
from stablenew.pipeline.backend_border import asked_capabilities
from stablenew.pipeline.pipeline_runner import PipelineRunner
from stablenew.pipeline.results import PipelineRunResult
from stablenew.pipeline.run_request import RunRequest
from stablenew.pipeline.stage_plan import StagePlan, plan_stages
from stablenew.pipeline.start_picture import StartPicture

logger = logging.getLogger(__name__)

_ANSWERS_WITHIN = 15.0
"""Seconds that a node has to say that it is back."""


@attrs.frozen(kw_only=True, eq=False)
class Node:
    """A backend, and the pipeline that runs on it.

    Attributes:
        name: Its server's URL, or what else tells it from others.
    """

    name: str
    backend: Backend
    runner: PipelineRunner


class NodePool:
    """Some backends as one; see the module.

    Args:
        nodes: At least one, with names that differ.
        mix: Whether backends of several kinds are taken, whose pictures differ.
        skip_unreachable: Whether those that do not answer at first are left out.
        grows: Whether others may join later.

    Attributes:
        notes: What is to be told once: how they differ, which are left out.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        *,
        mix: bool = False,
        skip_unreachable: bool = False,
        grows: bool = False,
    ) -> None:
        self.notes: tuple[str, ...] = ()
        self._nodes = {node.name: node for node in nodes}
        self._mix, self._skip, self._grows = mix, skip_unreachable, grows
        self._told: dict[str, Capabilities] = {}
        self._any: Capabilities | None = None
        self._asking = anyio.Lock()
        self._watchers: list[Callable[[str], None]] = []

    @property
    def names(self) -> Sequence[str]:
        """What the nodes are called that can be used."""
        return tuple(self._nodes)

    @property
    def backends(self) -> Sequence[Backend]:
        """Theirs."""
        return tuple(node.backend for node in self._nodes.values())

    def name_of(self, backend: Backend) -> str | None:
        """Return what a backend's node is called; None where it has none."""
        return next((n for n, node in self._nodes.items() if node.backend is backend), None)

    @property
    def several(self) -> bool:
        """Whether there are several, or may be."""
        return self._grows or len(self._nodes) > 1

    @contextmanager
    def watched(self, heard: Callable[[str], None]) -> Iterator[None]:
        """Call `heard` with the name of each node that joins, or may be back."""
        self._watchers.append(heard)
        try:
            yield
        finally:
            self._watchers.remove(heard)

    def may_be_back(self, name: str) -> None:
        """Have a node looked for at once, if it is away."""
        for heard in self._watchers:
            heard(name)

    async def join(self, node: Node) -> None:
        """Take another node in: it gets steps of the plan under way.

        Raises:
            BackendUnavailableError: It does not answer, or the others did not.
            ConfigError: It is another one than each of the others.
        """
        await self.capabilities()
        told = await node.runner.capabilities()
        if not any(_is_like(told, each) for each in self._told.values()):
            what = f"{told.backend} {told.version}".strip()
            raise ConfigError(
                f"{node.name}: is another one than those that are there ({what}); expected one"
                " with the same version and models"
            )
        self._nodes[node.name], self._told[node.name] = node, told
        self.may_be_back(node.name)

    @property
    def alike(self) -> bool:
        """Whether all nodes have the same, as far as they tell."""
        told = [*self._told.values()]
        other_files = any("another file" in note for note in self.notes)
        workflows = any(each.workflows for each in told)
        return not (other_files or workflows) and len({offer(each) for each in told}) <= 1

    def result_of(self, run_id: str) -> PipelineRunResult | None:
        """Return what became of a run, as long as its node began no other one since; else None."""
        results = (node.runner.result_of(run_id) for node in self._nodes.values())
        return next((result for result in results if result is not None), None)

    async def capabilities(self) -> Capabilities:
        """Return what at least one node can do.

        Raises:
            BackendUnavailableError: One does not answer.
            ConfigError: They are of several kinds.
        """
        if not self.several:
            (node,) = self._nodes.values()
            return await node.runner.capabilities()
        async with self._asking:  # a node that joins asks as well
            if self._any is None:
                self._told = await self._asked()
                self._nodes = {name: self._nodes[name] for name in self._told}
                self.notes += tuple(differences(self._told))
                self._any = any_of([*self._told.values()])
        return self._any

    async def run(self, request: RunRequest) -> PipelineRunResult:
        """Run the pipeline once.

        Raises:
            ConfigError: The request cannot be planned; nothing ran and nothing was told.
            BackendUnavailableError: The backend did not say what it can do; likewise.
        """
        return await (await self._node_for(request)).runner.run(request)

    async def withdraw(self, name: str) -> None:
        """Have a node stop what was to follow its last run; never raises."""
        await self._nodes[name].runner.withdraw()

    async def planned(self, request: RunRequest) -> StagePlan:
        """Return what a request would run.

        Raises:
            ConfigError: It cannot be planned.
            BackendUnavailableError: The backend did not say what it can do.
        """
        return await (await self._node_for(request)).runner.planned(request)

    def can(
        self,
        name: str,
        config: PipelineConfig,
        pictures: Mapping[str, StartPicture] = MappingProxyType({}),
    ) -> bool:
        """Return whether a node can run a config, with the same model as the others."""
        try:
            stages = plan_stages(config, self._told[name], pictures).stages
        except ConfigError:
            return False
        assert self._any is not None
        wanted = self._any.model_hashes
        return all(
            not stage.model_hash
            or wanted.get(str(stage.settings.get("model")), stage.model_hash) == stage.model_hash
            for stage in stages
        )

    def spelled(self, name: str, setting: str, value: Setting) -> Setting:
        """Return the value of a setting as a node spells it."""
        return self._told[name].spelled(setting, value)

    def loaded(self, name: str) -> Setting:
        """Return the model that a node takes where none is named: the one that it has loaded."""
        return self._told[name].stages.get("txt2img", {}).get("model")

    async def answers(self, name: str) -> bool:
        """Return whether a node that went away is back, as what it was."""
        before = self._told[name]
        try:
            with anyio.move_on_after(_ANSWERS_WITHIN) as scope:
                now = await asked_capabilities(self._nodes[name].backend)
        except (BackendError, ConfigError) as error:
            logger.debug("%s is still away: %s", name, error)
            return False
        if scope.cancelled_caught:
            return False
        if _is_like(now, before):
            return True
        logger.warning("%s came back as another one (%s %s)", name, now.backend, now.version)
        return False

    async def _node_for(self, request: RunRequest) -> Node:
        if request.node is not None:
            return self._nodes[request.node]
        first = next(iter(self._nodes))
        if not self.several:
            return self._nodes[first]
        await self.capabilities()
        able = (n for n in self._nodes if self.can(n, request.config, request.pictures))
        return self._nodes[next(able, first)]

    async def _asked(self) -> dict[str, Capabilities]:
        """Return what each node can do, asked at the same time."""
        told: dict[str, Capabilities] = {}
        errors: dict[str, StableNewError] = {}

        async def ask(node: Node) -> None:
            try:
                told[node.name] = await node.runner.capabilities()
            except StableNewError as error:
                errors[node.name] = error

        with ungrouped():
            async with anyio.create_task_group() as group:
                for node in self._nodes.values():
                    group.start_soon(ask, node)
        self._check(told, errors)
        return {name: told[name] for name in self._nodes if name in told}

    def _check(
        self, told: Mapping[str, Capabilities], errors: Mapping[str, StableNewError]
    ) -> None:
        """See that the nodes can be used together.

        Raises:
            BackendUnavailableError: One does not answer, and none is to be left out; or none does.
            ConfigError: They are of several kinds.
        """
        wrong = {n: e for n, e in errors.items() if not isinstance(e, BackendUnavailableError)}
        if wrong:
            raise next(iter(wrong.values()))
        lines = [f"{n}: {e}" if n not in str(e) else str(e) for n, e in errors.items()]
        if errors and (not told or not self._skip):
            hint = "" if not told else "\n--skip-unreachable goes on with the others"
            raise BackendUnavailableError("\n".join(lines) + hint)
        self.notes = tuple(f"left out: {line}" for line in lines)
        check_kinds({name: each.backend for name, each in told.items()}, mix=self._mix)


def _is_like(one: Capabilities, other: Capabilities) -> bool:
    """Return whether a backend can stand in for another one, as far as they tell."""
    files = one.model_hashes.keys() & other.model_hashes.keys()
    same = all(one.model_hashes[name] == other.model_hashes[name] for name in files)
    return same and one.version == other.version and offer(one) == offer(other)
