"""What one run is asked to do."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import anyio
import attrs

from stablenew._convert import frozen_mapping, takes_numpy
from stablenew._metadata import as_metadata
from stablenew.config.pipeline_config import PipelineConfig, whole
from stablenew.pipeline.start_picture import StartPicture


def _as_tags(given: object) -> Mapping[str, object]:
    """Return tags as plain data; those that are read-only were checked before: a run is evolved."""
    return given if isinstance(given, MappingProxyType) else as_metadata(given)


def _none() -> None:
    """Return that no run is known to follow."""


@attrs.frozen(kw_only=True, field_transformer=takes_numpy)
class RunRequest:
    """One run of the pipeline.

    Attributes:
        run_id: Safe as a file name.
        config: What to run; a seed of −1 is drawn when the run starts.
        images: How many pictures txt2img makes, the seed counting up from one to the next.
        plan_id: The plan it is a step of.
        metadata: Tags that are kept with the run.
        timeout: Seconds after which whoever runs this gives it up.
        deadline: The loop's time of that, once it began; a cancel from then on is a timeout.
        pictures: By path, pictures to start from that were looked at already; what the config
            names is still what it was then, or the run fails.
        node: Which backend is to run it, where there are several; if that goes away it is not
            waited for: another one may take the run.
        following: Asked for the run that follows this one, when its last picture is being made, so
            that a backend can begin that in time; None where it is not known.
    """

    run_id: str
    config: PipelineConfig
    images: int = attrs.field(default=1, validator=whole(1, 100_000))
    plan_id: str | None = None
    metadata: Mapping[str, object] = attrs.field(factory=dict, converter=_as_tags)
    timeout: float | None = None
    deadline: float = math.inf
    pictures: Mapping[str, StartPicture] = attrs.field(factory=dict, converter=frozen_mapping)
    node: str | None = None
    following: Callable[[], RunRequest | None] = attrs.field(default=_none, eq=False, repr=False)

    def begun(self) -> RunRequest:
        """Return this with the deadline of a run that begins now."""
        if self.timeout is None:
            return self
        return attrs.evolve(self, deadline=anyio.current_time() + self.timeout)
