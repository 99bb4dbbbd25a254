"""One coroutine per run: from a request to what became of it. Knows nothing of learning."""

from __future__ import annotations

from functools import partial

import anyio.to_thread
import attrs

from stablenew._clock import Clock, checked_id
from stablenew.backends.base import Backend, Capabilities
from stablenew.config.overrides import with_seed
from stablenew.pipeline.backend_border import asked_capabilities
from stablenew.pipeline.results import PipelineRunResult
from stablenew.pipeline.run_request import RunRequest
from stablenew.pipeline.stage_plan import StagePlan, plan_stages
from stablenew.pipeline.stage_sequencer import StageSequencer
from stablenew.pipeline.start_picture import look_at_pictures


class PipelineRunner:
    """Plans a run and has the sequencer run it.

    Args:
        backend: Asked once what it can do.
        sequencer: Runs the stages on that backend.
        clock: Where seeds come from.
    """

    def __init__(
        self,
        backend: Backend,
        sequencer: StageSequencer,
        *,
        clock: Clock = Clock(),
    ) -> None:
        self._backend = backend
        self._sequencer = sequencer
        self._clock = clock
        self._capabilities: Capabilities | None = None
        self._planned: tuple[tuple[object, ...], StagePlan] | None = None

    @property
    def last_result(self) -> PipelineRunResult | None:
        """What became of the run that ended last, a cancelled one included."""
        return self._sequencer.last_result

    def result_of(self, run_id: str) -> PipelineRunResult | None:
        """Return `last_result` if it is this run's, else None."""
        last = self.last_result
        return last if last is not None and last.run_id == run_id else None

    async def capabilities(self) -> Capabilities:
        """Return what the backend can do, as it said the first time, or when it came back.

        Raises:
            BackendUnavailableError: Nobody answers.
            BackendProtocolError: What it says it can do is none.
        """
        if self._capabilities is None:
            self._capabilities = await asked_capabilities(self._backend)
        return self._sequencer.capabilities or self._capabilities

    async def run(self, request: RunRequest) -> PipelineRunResult:
        """Run the pipeline once.

        Raises:
            ConfigError: The request cannot be planned; nothing ran and nothing was told.
            BackendUnavailableError: The backend did not say what it can do; likewise.
        """
        checked_id("run_id", request.run_id)
        config = with_seed(request.config, self._clock.draw_seed)
        request = attrs.evolve(request, config=config)
        plan = await self.planned(request)
        return await self._sequencer.run(plan, request, partial(self._following, request))

    async def withdraw(self) -> None:
        """Have the backend stop what was to follow the last run; for whoever runs that no more."""
        await self._sequencer.withdraw()

    async def _following(self, request: RunRequest) -> tuple[StagePlan, RunRequest] | None:
        """Return the run that follows another, and what it will run, as far as that is known.

        Raises:
            ConfigError: It cannot be planned; it says so itself when it is run.
        """
        following = request.following()
        if following is None:
            return None
        if with_seed(following.config, self._clock.draw_seed) != following.config:
            return None  # what is drawn when it starts
        return await self.planned(following), following

    async def planned(self, request: RunRequest) -> StagePlan:
        """Return what a request would run.

        Raises:
            ConfigError: It cannot be planned.
            BackendUnavailableError: The backend did not say what it can do.
        """
        capabilities = await self.capabilities()
        image, pictures = request.config.image, request.pictures
        if image is not None and image not in pictures:
            pictures = await look_at_pictures([image])
        what = (request.config, capabilities, pictures)
        if self._planned is not None and self._planned[0] == what:
            return self._planned[1]  # it followed the run before, and is run now
        if request.config.workflow is None:
            plan = plan_stages(*what)
        else:
            plan = await anyio.to_thread.run_sync(plan_stages, *what)  # of thousands of nodes
        self._planned = what, plan
        return plan
