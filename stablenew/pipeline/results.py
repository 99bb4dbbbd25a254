"""What became of a run: values that hold everything a record, a GUI or a test needs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import attrs

from stablenew._clock import utc_now
from stablenew._convert import frozen_mapping
from stablenew.backends.base import InterruptReceipt
from stablenew.config.extra_settings import EXTRA, extra_of, is_extra
from stablenew.config.pipeline_config import PipelineConfig, Setting
from stablenew.errors import BackendError, BackendUnavailableError
from stablenew.pipeline.stage_plan import StagePlan


class Outcome(StrEnum):
    """How a stage, a run, a step or a plan ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    REUSED = "reused"
    QUARANTINED = "quarantined"

    @property
    def good(self) -> bool:
        """Whether its pictures are there: just made, or from before."""
        return self in (Outcome.SUCCEEDED, Outcome.REUSED)


@attrs.frozen(kw_only=True)
class Failure:
    """An error as a value.

    Attributes:
        kind: The error's class.
        message: What it says.
        stage: The stage that was running, None where none was.
    """

    kind: str
    message: str
    stage: str | None = None

    @classmethod
    def of(cls, error: BaseException, stage: str | None = None) -> Failure:
        """Turn an error into a value."""
        if isinstance(error, BackendError):
            stage = error.stage or stage
        message = str(error) or repr(error)
        if isinstance(error, OSError) and error.strerror:
            message = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        return cls(kind=type(error).__name__, message=message, stage=stage)

    @property
    def unreachable(self) -> bool:
        """Whether the backend gave no answer."""
        return self.kind == BackendUnavailableError.__name__

    def __str__(self) -> str:
        return f"{self.stage}: {self.message}" if self.stage else self.message


BLANK = (
    "one single colour: NaN in the VAE or the model (start the server with --no-half-vae, or with"
    " --no-half), or a safety filter"
)
"""What a blank picture is, and where it comes from."""


@attrs.frozen(kw_only=True)
class StageOutput:
    """One picture that was kept.

    Attributes:
        image_id: `<stage>_<n>`, with n from 1.
        path: Where it is, relative to the folder of all runs.
        width: In pixels.
        height: In pixels.
        sha256: Of the file.
        settings: What it was really made with; for an upscaled picture those of its source too.
        ignored_words: Words of the prompt that the model does not know.
        warnings: What the backend rounded or left out.
        fingerprint: Of what determines it; "" in what was kept before there were any.
        hashes: Of the files that it was made with, as far as the backend told: `lora:film`, …
        reused_from: The picture that this one is, made by an earlier run: `<run_id>/<image_id>`.
        seconds: How long it took to make; None where it was not made here.
        blank: Whether it is one single colour, which says that something broke.
        pixels: A digest of its pixels; "" in what was kept before there was one.
    """

    stage: str
    image_id: str
    path: str
    width: int
    height: int
    sha256: str
    settings: Mapping[str, Setting] = attrs.field(converter=frozen_mapping)
    ignored_words: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    fingerprint: str = ""
    hashes: Mapping[str, str] = attrs.field(factory=dict, converter=frozen_mapping)
    reused_from: str | None = None
    seconds: float | None = attrs.field(default=None, eq=False)
    blank: bool = False
    pixels: str = ""

    @property
    def reused(self) -> bool:
        """Whether an earlier run made it."""
        return self.reused_from is not None


@attrs.frozen(kw_only=True)
class StageResult:
    """What became of one stage.

    Attributes:
        duration: Seconds.
        images_requested: How many pictures it was to make.
        receipt: What came of asking the backend to stop, where that was done.
    """

    stage: str
    outcome: Outcome
    started_at: datetime
    finished_at: datetime
    duration: float
    images_requested: int
    outputs: tuple[StageOutput, ...] = ()
    error: Failure | None = None
    receipt: InterruptReceipt | None = None


@attrs.frozen(kw_only=True)
class PipelineRunResult:
    """What became of one run; whole, so that a record needs nothing else.

    Attributes:
        outputs: The pictures of all stages, in order.
        metadata: What the caller tagged the run with.
        config: What was asked for, the seed resolved.
        duration: Seconds.
        node: Which backend ran it, where there were several.
    """

    run_id: str
    outcome: Outcome
    plan_id: str | None = None
    error: Failure | None = None
    stage_plan: StagePlan = StagePlan()
    stage_results: tuple[StageResult, ...] = ()
    outputs: tuple[StageOutput, ...] = attrs.field()
    metadata: Mapping[str, object] = attrs.field(factory=dict, converter=frozen_mapping)
    config: PipelineConfig = PipelineConfig()
    started_at: datetime = attrs.field(factory=utc_now)
    finished_at: datetime = attrs.field(factory=utc_now)
    duration: float = 0.0
    node: str | None = None

    @outputs.default
    def _all_outputs(self) -> tuple[StageOutput, ...]:
        return tuple(output for result in self.stage_results for output in result.outputs)

    @property
    def success(self) -> bool:
        """Whether every stage made its pictures."""
        return self.outcome is Outcome.SUCCEEDED

    @property
    def reused(self) -> bool:
        """Whether every picture is from before: the backend was asked for none."""
        made = [result for result in self.stage_results if result.outcome is not Outcome.REUSED]
        return self.success and bool(self.stage_results) and not made

    @property
    def final_outputs(self) -> tuple[StageOutput, ...]:
        """The pictures of the last planned stage."""
        last = self.stage_plan.names[-1:]
        return tuple(output for output in self.outputs if output.stage in last)

    @property
    def resolved_config(self) -> dict[str, object]:
        """The config with every default filled in, as plain data."""
        stages = {
            stage.name: {
                "enabled": True,
                **{n: v for n, v in stage.settings.items() if v is not None and not is_extra(n)},
                **({EXTRA: extra} if (extra := extra_of(stage.settings)) else {}),
            }
            for stage in self.stage_plan.stages
        }
        return {**self.config.to_dict(), **stages}

    @property
    def variant_count(self) -> int:
        """How many finished pictures there are to choose from."""
        return len(self.final_outputs)
