"""Has the backend begin the next picture while the last one is still being kept.

- The next picture of a stage, the first of the next stage, the first of the run that follows: none
  that is there already.
- It is announced while the one before it is made. The only picture of a stage is what the next
  stage starts from: that is announced as soon as it is made, and before it is kept.
- Not where the backend tells of a file only with the picture: that may be one that is there.
- What was announced and is not wanted any more is stopped as what runs is.
"""

from __future__ import annotations

import logging
from typing import Protocol

from stablenew.backends.base import Backend, InterruptReceipt, LookingAhead
from stablenew.errors import StableNewError
from stablenew.pipeline.file_hashes import FileHashes
from stablenew.pipeline.run_execution import RunExecution, StageExecution
from stablenew.pipeline.stage_call import StageCall
from stablenew.pipeline.wanted_picture import PictureLoader, WantedPicture

logger = logging.getLogger(__name__)


class FinishedPictures(PictureLoader, Protocol):
    """Knows which pictures are there."""

    async def has(self, fingerprint: str) -> bool:
        """Return whether there is a finished picture of a fingerprint; it may be damaged."""
        ...


class LookAhead:
    """Announces pictures to a backend that looks ahead; see the module.

    Args:
        backend: Told of them; one that does not look ahead is not.
        pictures: Those that are there.
        call: Stops them.
        hashes: What the backend said of files.
        reuse: Whether a finished picture is used again.
    """

    def __init__(
        self,
        backend: Backend,
        pictures: FinishedPictures,
        call: StageCall,
        hashes: FileHashes,
        *,
        reuse: bool,
    ) -> None:
        self._backend = backend if isinstance(backend, LookingAhead) else None
        self._pictures = pictures
        self._call = call
        self._hashes = hashes
        self._reuse = reuse
        self._announced: WantedPicture | None = None

    @property
    def possible(self) -> bool:
        """Whether the backend looks ahead."""
        return self._backend is not None

    async def announce_after(
        self, run: RunExecution, stage: StageExecution, number: int, *, previews: bool
    ) -> None:
        """Announce what comes after a picture that is being made.

        Args:
            run: The run under way.
            stage: Its stage under way.
            number: The picture.
            previews: Whether somebody wants to see pictures in the making.
        """
        try:
            wanted = await _next(run, stage, number)
            if wanted is None:
                return
            now = _of(run, stage, number).fingerprint(self._hashes.told)
            if await self._may_be_there(wanted, now):
                return
            image = await wanted.image(self._pictures)
        except (StableNewError, OSError) as error:  # told when it is asked for
            logger.debug("run %s: nothing is announced: %s", run.request.run_id, error)
        else:
            await self._announce(wanted, image, previews=previews)

    async def announce_next_stage(
        self,
        run: RunExecution,
        stage: StageExecution,
        fingerprint: str,
        data: bytes,
        *,
        previews: bool,
    ) -> None:
        """Announce what the next stage makes of the only picture of this one.

        Args:
            run: The run under way.
            stage: Its stage under way.
            fingerprint: Of the picture.
            data: The picture, which is not kept yet.
            previews: Whether somebody wants to see pictures in the making.
        """
        later = run.plan.stage_after(stage.planned)
        if self._backend is None or stage.images > 1 or later is None:
            return
        wanted = WantedPicture(
            run_id=run.request.run_id, plan=run.plan, stage=later, number=1, before=fingerprint
        )
        if fingerprint and await self._may_be_there(wanted):
            return
        await self._announce(wanted, data, previews=previews)

    def asked_for(self, request_id: str) -> None:
        """Take note of a picture that the backend is asked for now."""
        if self._announced is not None and self._announced.request_id == request_id:
            self._announced = None

    async def withdraw(self, run_id: str | None = None) -> InterruptReceipt | None:
        """Stop what was announced and not asked for; None where nothing was. Never raises.

        Args:
            run_id: Leave what is of another run.
        """
        wanted = self._announced
        if wanted is None or run_id not in (None, wanted.run_id):
            return None
        self._announced = None
        return await self._call.interrupt(wanted.request_id)

    async def _announce(
        self, wanted: WantedPicture, image: bytes | None, *, previews: bool
    ) -> None:
        assert self._backend is not None
        self._announced = wanted
        await self._backend.announce(wanted.request(image, previews=previews))

    async def _may_be_there(self, wanted: WantedPicture, now: str = "") -> bool:
        """Return whether a picture may not have to be made.

        Args:
            wanted: The picture.
            now: The fingerprint of the one that is being made.
        """
        fingerprint = wanted.fingerprint(self._hashes.told)
        if not self._reuse or not fingerprint:
            return False
        if fingerprint == now or not self._hashes.all_told(wanted.stage):
            return True
        return await self._pictures.has(fingerprint)


def _of(run: RunExecution, stage: StageExecution, number: int) -> WantedPicture:
    source = stage.source(number)
    return WantedPicture.of(run.request.run_id, run.plan, stage.planned, number, source)


async def _next(run: RunExecution, stage: StageExecution, number: int) -> WantedPicture | None:
    """Return the picture that comes after one that is being made; None where it depends on that."""
    if number < stage.images:
        return _of(run, stage, number + 1)
    if (later := run.plan.stage_after(stage.planned)) is not None:
        if stage.images == 1:
            return None
        return WantedPicture.of(run.request.run_id, run.plan, later, 1, stage.outputs[0])
    if (following := await run.following()) is None:
        return None
    plan, request = following
    return WantedPicture.of(request.run_id, plan, plan.stages[0], 1, None)
