"""Finds or makes the pictures of a stage, one at a time, and keeps them.

- A picture that is there already, whole, is not made again.
- A picture that was cut because the backend went away is asked for once more when it is back;
  where there are others, by them, and with the rest of its run.
"""

from __future__ import annotations

import logging
from time import perf_counter
from typing import Protocol

import anyio
import attrs
from anyio.lowlevel import checkpoint

from stablenew._clock import Clock
from stablenew.backends.base import Backend, Capabilities, Picture, ReportProgress, StageRequest
from stablenew.errors import (
    BackendError,
    BackendProtocolError,
    BackendUnavailableError,
    ungrouped,
)
from stablenew.events.publisher import Publisher
from stablenew.pipeline.backend_return import backend_returned, was_cut
from stablenew.pipeline.file_hashes import FileHashes
from stablenew.pipeline.look_ahead import LookAhead
from stablenew.pipeline.results import Failure, StageOutput
from stablenew.pipeline.run_execution import RunExecution, StageExecution
from stablenew.pipeline.stage_call import StageCall
from stablenew.pipeline.stage_events import (
    BackendAwaited,
    BackendLost,
    BackendReturned,
    PictureSaved,
    PreviewMade,
    StageProgress,
)
from stablenew.pipeline.stage_plan import plan_stages
from stablenew.pipeline.wanted_picture import WantedPicture

logger = logging.getLogger(__name__)


class PictureStore(Protocol):
    """Keeps pictures."""

    async def save(
        self,
        run_id: str,
        stage: str,
        number: int,
        picture: Picture,
        fingerprint: str = "",
        seconds: float | None = None,
    ) -> StageOutput:
        """Keep a picture, never in the place of an earlier one.

        Raises:
            OSError: It could not be kept.
        """
        ...

    async def reuse(
        self, run_id: str, stage: str, number: int, fingerprint: str
    ) -> StageOutput | None:
        """Give a run the finished picture that has a fingerprint; None where there is none.

        Raises:
            OSError: It could not be kept.
        """
        ...

    async def has(self, fingerprint: str) -> bool:
        """Return whether there is a finished picture of a fingerprint; it may be damaged."""
        ...

    async def load(self, output: StageOutput) -> bytes:
        """Return the encoded picture that was kept."""
        ...


class PictureMaker:
    """Finds or makes pictures; see the module.

    Args:
        backend: Makes them, one at a time.
        store: Keeps them.
        call: Calls the backend.
        clock: Where times come from.
        reuse: Whether a finished picture is used again.
        wait_for_backend: Seconds to wait for a backend that went away; 0 for not at all.

    Attributes:
        capabilities: What the backend could do when it last came back; None while it did not leave.
    """

    def __init__(
        self,
        backend: Backend,
        store: PictureStore,
        call: StageCall,
        *,
        clock: Clock,
        reuse: bool,
        wait_for_backend: float,
    ) -> None:
        self.capabilities: Capabilities | None = None
        self._backend = backend
        self._store = store
        self._call = call
        self._clock = clock
        self._reuse = reuse
        self._wait_for_backend = wait_for_backend
        self._hashes = FileHashes()
        self._ahead = LookAhead(backend, store, call, self._hashes, reuse=reuse)

    async def keep(
        self, run: RunExecution, stage: StageExecution, number: int, publisher: Publisher
    ) -> None:
        """Find picture `number` of a stage or make it, keep it, and tell.

        Raises:
            BackendError: The backend could not make it.
            OSError: It could not be kept.
        """
        source = stage.source(number)
        wanted = WantedPicture.of(run.request.run_id, run.plan, stage.planned, number, source)
        output = await self._found(wanted)
        if output is None:
            output = await self._made(run, stage, wanted, publisher)
        if run.plan.image is not None:  # it may lie elsewhere now than when it was used before
            output = attrs.evolve(output, settings={**output.settings, **run.plan.image.settings})
        output = _compared(output, source)
        stage.outputs.append(output)
        await publisher.publish(
            PictureSaved(stage=stage.name, output=output, image=number, images=stage.images)
        )

    async def withdraw(
        self, stage: StageExecution | None = None, run_id: str | None = None
    ) -> None:
        """Have the backend stop what it was told of and was not asked for; never raises.

        Args:
            stage: Told what came of it.
            run_id: Leave what is of another run.
        """
        receipt = await self._ahead.withdraw(run_id)
        if receipt is None or (receipt.confirmed and not receipt.call):
            return
        if stage is not None:
            stage.stopped(receipt)
        elif not receipt.confirmed:
            logger.warning("%s: not known to be gone: %s", receipt.request_id, receipt.detail)

    async def _found(self, wanted: WantedPicture) -> StageOutput | None:
        if not self._reuse:
            return None
        await checkpoint()
        fingerprint = wanted.fingerprint(self._hashes.told)
        stage, number = wanted.stage, wanted.number
        output = await self._store.reuse(wanted.run_id, stage.name, number, fingerprint)
        if output is None:
            return None
        await self.withdraw()  # somebody else has made it since it was announced
        if not (by_name := stage.by_name_alone(self._hashes.told)):
            return output
        note = f"reused by name alone: the backend tells no hash of {', '.join(by_name)}"
        return attrs.evolve(output, warnings=(*output.warnings, note))

    async def _made(
        self,
        run: RunExecution,
        stage: StageExecution,
        wanted: WantedPicture,
        publisher: Publisher,
    ) -> StageOutput:
        """Have one picture of a stage made, and keep it."""
        stage.made += 1
        began = perf_counter()
        previews = publisher.asked_for(PreviewMade)
        request = wanted.request(await wanted.image(self._store), previews=previews)
        self._ahead.asked_for(request.request_id)
        picture = await self._picture(run, stage, wanted.number, request, publisher)
        seconds = picture.seconds  # may be more than since now, if it was begun before
        if seconds is None:
            seconds = perf_counter() - began
        self._hashes.note(stage.planned, picture)  # counted when it was loaded
        fingerprint = wanted.fingerprint(self._hashes.told)
        await self._ahead.announce_next_stage(
            run, stage, fingerprint, picture.data, previews=previews
        )
        if wanted.source:
            picture = _with_origin(picture, wanted.source)
        return await self._store.save(
            wanted.run_id, stage.name, wanted.number, picture, fingerprint, round(seconds, 6)
        )

    async def _picture(
        self,
        run: RunExecution,
        stage: StageExecution,
        number: int,
        request: StageRequest,
        publisher: Publisher,
    ) -> Picture:
        """Have a picture made, and the one after it announced meanwhile."""
        report = _reporter(stage, number, publisher)
        if not self._ahead.possible:
            return await self._patiently(run, stage, request, report, publisher)

        async def announce() -> None:
            await self._ahead.announce_after(run, stage, number, previews=request.previews)

        with ungrouped():
            async with anyio.create_task_group() as meanwhile:
                meanwhile.start_soon(announce)
                picture = await self._patiently(run, stage, request, report, publisher)
        return picture

    async def _patiently(
        self,
        run: RunExecution,
        stage: StageExecution,
        request: StageRequest,
        report: ReportProgress,
        publisher: Publisher,
    ) -> Picture:
        """Have a picture made; if the backend goes away, wait for it and ask once more."""
        try:
            return await self._call.make(request, report, stage.stopped)
        except BackendError as error:
            if not was_cut(error) or not await self._returned(run, stage, error, publisher):
                raise
        return await self._call.make(request, report, stage.stopped)

    async def _returned(
        self, run: RunExecution, stage: StageExecution, error: BackendError, publisher: Publisher
    ) -> bool:
        """Wait for the backend that `error` took away, and tell."""
        patience = self._wait_for_backend
        if run.request.node is not None:  # others may be there: it is theirs now
            raise BackendUnavailableError(str(error), stage=error.stage, retryable=True) from error
        if not patience:
            return False

        async def awaited(seconds_left: float) -> None:
            await publisher.publish(BackendAwaited(stage=stage.name, seconds_left=seconds_left))

        failure = Failure.of(error, stage.name)
        await publisher.publish(BackendLost(stage=stage.name, error=failure, patience=patience))
        since = self._clock.monotonic()
        capabilities = await backend_returned(self._backend, patience, awaited)
        if capabilities is None:
            return False
        self.capabilities = capabilities
        seconds = self._clock.monotonic() - since
        await publisher.publish(BackendReturned(stage=stage.name, seconds=seconds))
        pictures = {run.plan.image.path: run.plan.image} if run.plan.image else {}
        if plan_stages(run.request.config, capabilities, pictures) != run.plan:
            version = f"{capabilities.backend} {capabilities.version}".strip()
            raise BackendProtocolError(
                f"what came back is another backend ({version}): it would not do the same"
            ) from error
        return True


def _reporter(stage: StageExecution, number: int, publisher: Publisher) -> ReportProgress:
    """Return what turns a picture's progress into the stage's, which never goes back."""

    async def report(
        fraction: float, *, seconds_left: float | None = None, preview: bytes | None = None
    ) -> None:
        await publisher.publish(
            StageProgress(
                stage=stage.name,
                fraction=stage.advance(number, fraction),
                image=number,
                images=stage.images,
                seconds_left=seconds_left,
            )
        )
        if preview is not None:
            await publisher.publish(PreviewMade(stage=stage.name, image=number, data=preview))

    return report


def _compared(output: StageOutput, source: StageOutput | None) -> StageOutput:
    """Say of a picture that it is the one that its stage began with: nothing was done."""
    if source is None or not output.pixels or output.pixels != source.pixels:
        return output
    found = " (it found nothing to detail)" if output.stage == "adetailer" else ""
    note = f"{output.stage} changed nothing{found}: its picture is the one before it, to the pixel"
    return attrs.evolve(output, warnings=tuple(dict.fromkeys((*output.warnings, note))))


def _with_origin(picture: Picture, source: StageOutput) -> Picture:
    """Give a picture what its source was made with, where its own stage does not say."""
    return attrs.evolve(
        picture,
        settings={**source.settings, **picture.settings},
        ignored_words=picture.ignored_words or source.ignored_words,
    )
