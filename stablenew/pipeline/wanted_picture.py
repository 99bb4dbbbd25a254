"""One picture of a run that is to be there: what it is made from, and what it is known by."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Protocol

import anyio.to_thread
import attrs

from stablenew.backends.base import StageRequest
from stablenew.pipeline.results import StageOutput
from stablenew.pipeline.stage_plan import PlannedStage, StagePlan
from stablenew.pipeline.start_picture import read_start_picture


class PictureLoader(Protocol):
    """Reads pictures back that were kept."""

    async def load(self, output: StageOutput) -> bytes:
        """Return the encoded picture that was kept."""
        ...


@attrs.frozen(kw_only=True)
class WantedPicture:
    """A picture that is to be made, or found.

    Attributes:
        run_id: The run that it is of.
        plan: What that run does.
        stage: Of the plan.
        number: Which of the stage's pictures, from 1.
        before: The fingerprint of the picture that it starts from; "" where that has none, or where
            it starts from none of ours.
        source: The picture that it starts from; None where it starts from none of ours.
    """

    run_id: str
    plan: StagePlan
    stage: PlannedStage
    number: int
    before: str = ""
    source: StageOutput | None = None

    @classmethod
    def of(
        cls,
        run_id: str,
        plan: StagePlan,
        stage: PlannedStage,
        number: int,
        source: StageOutput | None,
    ) -> WantedPicture:
        """Return a picture of a stage, which may start from one that was kept."""
        before = "" if source is None or source.blank else source.fingerprint
        return cls(
            run_id=run_id, plan=plan, stage=stage, number=number, before=before, source=source
        )

    @property
    def request_id(self) -> str:
        """What the backend knows it by."""
        return f"{self.run_id}-{self.stage.name}_{self.number}"

    def fingerprint(self, hashes: Mapping[str, str]) -> str:
        """Return its fingerprint; "" where what it starts from is not what its settings make.

        Args:
            hashes: What the backend said of files when it made pictures with them.
        """
        if self.source is not None and not self.before:
            return ""
        return self.plan.fingerprint(
            self.stage, self.number, self.before or self.plan.source, hashes
        )

    def request(self, image: bytes | None, *, previews: bool) -> StageRequest:
        """Return what a backend is asked.

        Args:
            image: The encoded picture that it starts from.
            previews: Whether somebody wants to see it in the making.
        """
        return StageRequest(
            request_id=self.request_id,
            stage=self.stage.name,
            settings=self.stage.of_picture(self.number),
            image=image,
            previews=previews,
        )

    async def image(self, loader: PictureLoader) -> bytes | None:
        """Return the encoded picture that it starts from; None where it has none.

        Raises:
            ConfigError: The picture to start from is no longer what it was.
            OSError: It cannot be read.
        """
        if self.source is not None:
            return await loader.load(self.source)
        if self.plan.image is None:
            return None
        read = partial(read_start_picture, self.plan.image, flat=self.stage.samples)
        return await anyio.to_thread.run_sync(read)
