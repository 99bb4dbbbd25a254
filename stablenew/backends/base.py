"""What a backend is: something that makes one picture at a time and can be told to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Protocol, Self, runtime_checkable

import attrs

from stablenew._convert import as_python, frozen_mapping, takes_numpy
from stablenew.config.pipeline_config import Setting
from stablenew.config.workflow_config import WorkflowConfig


class ReportProgress(Protocol):
    """How a backend tells how far a picture is."""

    async def __call__(
        self, fraction: float, *, seconds_left: float | None = None, preview: bytes | None = None
    ) -> None:
        """Take a sign of life.

        Args:
            fraction: How much of the picture is done, 0 to 1.
            seconds_left: Until it is done, where the backend says so.
            preview: What it looks like so far, encoded, where the request asked for previews.
        """
        ...


def _as_settings(settings: Mapping[str, Setting]) -> Mapping[str, Setting]:
    """Return settings that any file can hold: NaN and infinities, which JSON lacks, as text."""
    frozen = frozen_mapping(settings)
    if all(map(_is_plain, frozen.values())):
        return frozen  # type: ignore[return-value]  # as they came
    plain = {name: as_python(value) for name, value in frozen.items()}
    for name, value in plain.items():
        if isinstance(value, float) and not math.isfinite(value):
            plain[name] = str(value)
    return frozen_mapping(plain)  # type: ignore[return-value]  # as they came, but for numpy


def _is_plain(value: object) -> bool:
    """Return whether a value is one that JSON has, so that it is kept as it is."""
    return type(value) in _PLAIN or (type(value) is float and math.isfinite(value))


_PLAIN = frozenset({str, int, bool, type(None)})


def _as_stages(
    stages: Mapping[str, Mapping[str, Setting]],
) -> Mapping[str, Mapping[str, Setting]]:
    every = frozen_mapping(stages).items()
    return MappingProxyType({name: _as_settings(each) for name, each in every})  # type: ignore[arg-type]  # checked there


_LISTED_AS = {
    "sampler_name": "samplers",
    "hr_sampler_name": "samplers",
    "ad_sampler": "samplers",
    "scheduler": "schedulers",
    "hr_scheduler": "schedulers",
    "ad_scheduler": "schedulers",
    "model": "models",
    "refiner_checkpoint": "models",
    "upscaler_1": "upscalers",
    "upscaler_2": "upscalers",
}


class Workflows(Protocol):
    """What a backend does with workflows, where it runs some."""

    def settings(
        self, workflow: WorkflowConfig, given: Mapping[str, Setting], *, image: bool
    ) -> Mapping[str, Setting]:
        """Return the settings of a stage that makes one picture of a workflow.

        Args:
            workflow: What is asked for.
            given: `prompt`, `negative_prompt` and `seed`, as far as they are.
            image: Whether there is a picture to start from.

        Raises:
            ConfigError: With everything that is wrong.
        """
        ...

    def choices(self, workflow: WorkflowConfig, name: str) -> tuple[str, ...]:
        """Return what may stand in an input; empty where it takes any, or where there is none."""
        ...


@attrs.frozen(kw_only=True)
class Capabilities:
    """What a backend can do.

    Attributes:
        backend: Its kind: `embedded`, `webui`.
        version: Its version, as it says itself.
        stages: For each stage it has: the settings it understands, each with the value it takes
            when none is given (None where there is no such value).
        samplers: Valid values of `sampler_name`; empty where it does not tell.
        schedulers: Valid values of `scheduler`; empty where it does not tell.
        models: Valid values of `model`; empty where it does not tell.
        upscalers: Valid values of `upscaler_1`; empty where it does not tell.
        choices: Valid values of other settings, by the setting's name: `ad_model`, `vae`, …; and
            under `lora` what each LoRA is called.
        aliases: For each setting that has other spellings of its values: those, in lower case,
            each with the name that it stands for.
        sizes: The (width, height) pairs it can make; empty for any.
        largest_seed: None where it takes any.
        model_hashes: For each model whose hash it tells: that, as ten hexadecimal digits.
        files: For each kind of file that settings and prompts name (`vae`, `upscaler`, `lora`, …)
            and that it tells about: the names, each with the hash of the file behind it, "" where
            it tells none.
        options: For each stage: what it is set to itself and what changes the stage's pictures,
            beside the settings.
        extra: For each stage that takes more than what has a name: how the paths of that begin:
            `override_settings.eta_noise_seed_delta`, `alwayson_scripts.ControlNet`, "" for any.
        ranges: For each setting that it takes less far than others: the least value and the
            greatest.
        plain_syntax: What of AUTOMATIC1111's prompt language it would take for plain words: some of
            `prompt_syntax.SYNTAX`.
        workflows: What it does with workflows; None where it runs none.
        gpu: What it draws on, as it says; "" where it does not tell.
        nodes: Those of each backend, where these are what any of several can do.
    """

    backend: str
    version: str = ""
    stages: Mapping[str, Mapping[str, Setting]] = attrs.field(converter=_as_stages)
    samplers: tuple[str, ...] = ()
    schedulers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    upscalers: tuple[str, ...] = ()
    choices: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict, converter=frozen_mapping)
    aliases: Mapping[str, Mapping[str, str]] = attrs.field(factory=dict, converter=frozen_mapping)
    sizes: tuple[tuple[int, int], ...] = ()
    largest_seed: int | None = None
    model_hashes: Mapping[str, str] = attrs.field(factory=dict, converter=frozen_mapping)
    files: Mapping[str, Mapping[str, str]] = attrs.field(factory=dict, converter=frozen_mapping)
    options: Mapping[str, Mapping[str, Setting]] = attrs.field(
        factory=dict, converter=frozen_mapping
    )
    extra: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict, converter=frozen_mapping)
    ranges: Mapping[str, tuple[float, float]] = attrs.field(factory=dict, converter=frozen_mapping)
    plain_syntax: tuple[str, ...] = ()
    workflows: Workflows | None = attrs.field(default=None, eq=False, repr=False)
    gpu: str = attrs.field(default="", eq=False)
    nodes: tuple[Capabilities, ...] = attrs.field(default=(), eq=False, repr=False)

    @property
    def title(self) -> str:
        """What to call it: `webui backend (SD.Next)`."""
        named = self.version[:1].isalpha()
        return f"{self.backend} backend" + (f" ({self.version})" if named else "")

    def names_of(self, name: str) -> tuple[str, ...]:
        """Return the valid values of a setting; empty where it does not tell, or takes any."""
        listed: tuple[str, ...] = getattr(self, _LISTED_AS.get(name, ""), ())
        return self.choices.get(name, listed)

    def spelled(self, name: str, value: Setting) -> Setting:
        """Return a value as this backend spells it: `k_euler` is `Euler`."""
        spellings = self.aliases.get(name, {})
        return spellings.get(value.lower(), value) if isinstance(value, str) else value


@attrs.frozen(kw_only=True)
class StageRequest:
    """One picture to make.

    Attributes:
        request_id: Names the job, for `interrupt`.
        stage: One of the stages.
        settings: Every setting of the stage, defaults filled in.
        image: The encoded picture to start from; None for `txt2img`.
        previews: Whether somebody wants to see the picture in the making.
    """

    request_id: str
    stage: str
    settings: Mapping[str, Setting] = attrs.field(converter=frozen_mapping)
    image: bytes | None = attrs.field(default=None, repr=False)
    previews: bool = False


@attrs.frozen(kw_only=True, field_transformer=takes_numpy)
class Picture:
    """A picture as the backend made it.

    Attributes:
        data: The encoded picture: PNG, JPEG or WebP.
        width: In pixels, of the picture itself.
        height: In pixels, of the picture itself.
        settings: What the backend really used: seed, sampler_name, model, model_hash, …
        ignored_words: Words of the prompt that the model does not know.
        warnings: What was rounded or left out, one line each.
        hashes: Of the files that it was made with, as far as the backend tells: `lora:film`, …
        seconds: How long it took, from when it was begun; None where that is from the call on.
    """

    data: bytes = attrs.field(repr=False)
    width: int
    height: int
    settings: Mapping[str, Setting] = attrs.field(converter=_as_settings)
    ignored_words: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    hashes: Mapping[str, str] = attrs.field(factory=dict, converter=frozen_mapping)
    seconds: float | None = attrs.field(default=None, eq=False)


@attrs.frozen(kw_only=True)
class InterruptReceipt:
    """What came of asking a backend to stop.

    Attributes:
        request_id: The job that was to stop.
        call: How the backend was asked; "" where it cannot be asked.
        confirmed: Whether the job is known to be gone.
        seconds: How long that took.
        detail: What else there is to know: why it is not confirmed; "" where there is nothing.
    """

    request_id: str
    call: str
    confirmed: bool
    seconds: float
    detail: str = ""

    @classmethod
    def of_nothing(cls, request_id: str) -> Self:
        """Return the receipt of a job that there is not, or no more."""
        return cls(
            request_id=request_id,
            call="",
            confirmed=True,
            seconds=0.0,
            detail="nothing was under way",
        )


@runtime_checkable
class Draining(Protocol):
    """A backend whose cancelled jobs may go on elsewhere for a while."""

    @property
    def pending(self) -> int:
        """How many may still be going on."""
        ...

    @property
    def left_behind(self) -> Sequence[str]:
        """What it may still do for us, one line each: nobody stops that once it is closed."""
        ...

    async def drained(self) -> None:
        """Wait until none is left that can be stopped; each is when it begins."""
        ...


@runtime_checkable
class LookingAhead(Protocol):
    """A backend that can begin the next picture before it is asked for, and so never waits."""

    async def announce(self, request: StageRequest) -> None:
        """Take note of what is asked for next, after what is under way if anything is.

        It may be begun as soon as that is made, and `run_stage` with the same request, but for its
        previews, takes up what was begun. Where `run_stage` comes with another one, what was begun
        is stopped first. `interrupt` stops it too. It may be passed over: `run_stage` then begins
        it, and tells of what is wrong with it in any case.

        Returns soon: where nothing is under way, when it has left, so that nothing delays it.
        """
        ...


class Backend(Protocol):
    """Makes pictures. Entered with `async with` for as long as it is used."""

    @property
    def name(self) -> str:
        """Its kind, as `--backend` names it."""
        ...

    async def __aenter__(self) -> Self:
        """Connect, if there is anything to connect to."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool | None:
        """Let go of everything."""
        ...

    async def capabilities(self) -> Capabilities:
        """Tell what it can do.

        Raises:
            BackendUnavailableError: Nobody answers.
        """
        ...

    async def run_stage(self, request: StageRequest, report: ReportProgress) -> Sequence[Picture]:
        """Make one picture, reporting progress.

        Cancelling this must leave nothing behind here; what still runs elsewhere is stopped by
        `interrupt`, which the sequencer calls next.

        Raises:
            BackendError: It could not be made.
        """
        ...

    async def interrupt(self, request_id: str) -> InterruptReceipt:
        """Stop a job; return when it is gone, or when there is nothing more to try."""
        ...
