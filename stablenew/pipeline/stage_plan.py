"""What a run will do, decided and checked before anything runs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import attrs

from stablenew._arguments import takes
from stablenew._convert import frozen_mapping
from stablenew._names import suggestion
from stablenew.backends.base import Capabilities
from stablenew.config.fingerprint import fingerprint
from stablenew.config.pipeline_config import STAGES, PipelineConfig, Setting
from stablenew.errors import ConfigError
from stablenew.pipeline.stage_files import missing_loras, named_files
from stablenew.pipeline.stage_limits import (
    prompt_problems,
    range_problems,
    seed_problems,
    size_problems,
)
from stablenew.pipeline.stage_settings import (
    asked_settings,
    by_img2img,
    inherits,
    resolved_settings,
)

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "txt2img": ("prompt",),
    "img2img": ("prompt", "denoising_strength"),
    "adetailer": ("prompt", "ad_model"),
    "upscale": ("upscaler_1",),
}
"""What each stage cannot do without; None and "" count as missing, 0 and False do not."""


@attrs.frozen(kw_only=True)
class PlannedStage:
    """A stage that will run.

    Attributes:
        name: One of the stages.
        settings: Every setting it runs with: given, inherited from txt2img, or the backend's own.
        model_hash: Of the model that the settings name, where the backend tells it.
        files: What the settings and prompts name, each with its hash, "" where it is not told.
        options: What else of the backend's own its pictures depend on.
    """

    name: str
    settings: Mapping[str, Setting] = attrs.field(converter=frozen_mapping)
    model_hash: str | None = attrs.field(default=None, eq=False)  # a server may learn it later
    files: Mapping[str, str] = attrs.field(factory=dict, converter=frozen_mapping, eq=False)
    options: Mapping[str, Setting] = attrs.field(factory=dict, converter=frozen_mapping)

    def of_picture(self, number: int) -> dict[str, Setting]:
        """Return the settings of one of its pictures, from 1: each has a seed of its own."""
        settings = dict(self.settings)
        if isinstance(seed := settings.get("seed"), int):
            settings["seed"] = seed + number - 1
        return settings

    def by_name_alone(self, hashes: Mapping[str, str]) -> list[str]:
        """Return the files that nobody knows a hash of: `upscaler SwinIR_4x`.

        Args:
            hashes: What the backend said of files when it made pictures with them.
        """
        known = {**self.files, **hashes}
        return [name.replace(":", " ", 1) for name in self.files if not known[name]]


@attrs.frozen(kw_only=True)
class StagePlan:
    """The stages that will run, in order.

    Attributes:
        backend: The kind of the backend that it was planned for.
        version: That backend's version.
    """

    stages: tuple[PlannedStage, ...] = ()
    backend: str = ""
    version: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the stages, in order."""
        return tuple(stage.name for stage in self.stages)

    def fingerprint(
        self,
        stage: PlannedStage,
        number: int,
        source: str = "",
        hashes: Mapping[str, str] = MappingProxyType({}),
    ) -> str:
        """Return the fingerprint of one of a stage's pictures.

        Args:
            stage: One of the plan's.
            number: The picture's, from 1.
            source: The fingerprint of the picture that it starts from.
            hashes: What the backend said of files when it made pictures with them, by `lora:film`,
                `model:full`, …; before, what it tells is taken.
        """
        settings = stage.of_picture(number)
        model = settings.pop("model", None)
        used = {name: hashes.get(name) or known for name, known in stage.files.items()}
        used.pop(f"model:{model}", None)
        model_hash = hashes.get(f"model:{model}") or stage.model_hash
        return fingerprint(
            backend=self.backend,
            version=self.version,
            # A stage without a model may still tell that of the picture it began with.
            model=str(model_hash or model) if model else "",
            stage=stage.name,
            settings=settings,
            source=source,
            used={**stage.options, **{name: known for name, known in used.items() if known}},
        )

    def untold(self, hashes: Mapping[str, str]) -> dict[str, str]:
        """Return those hashes of files that the backend does not tell beforehand."""
        told = {name for stage in self.stages for name, known in stage.files.items() if known}
        return {name: known for name, known in hashes.items() if name not in told}

    def fingerprints(
        self, images: int, hashes: Mapping[str, str] = MappingProxyType({})
    ) -> list[list[str]]:
        """Return for each stage the fingerprints of its pictures, as they are known beforehand.

        Args:
            images: How many pictures each stage has.
            hashes: What the backend said of files when it made pictures with them.
        """
        found: list[list[str]] = []
        sources = [""] * images
        for stage in self.stages:
            sources = [
                self.fingerprint(stage, number, source, hashes)
                for number, source in enumerate(sources, start=1)
            ]
            found.append(sources)
        return found


@takes(config=PipelineConfig, capabilities=Capabilities)
def plan_stages(config: PipelineConfig, capabilities: Capabilities) -> StagePlan:
    """Decide which stages run and with which settings.

    Args:
        config: What was asked for.
        capabilities: What the backend has.

    Raises:
        ConfigError: With every problem: its path, what was given, the nearest valid names.
    """
    problems: list[str] = []
    planned: list[PlannedStage] = []
    wanted = [name for name in STAGES if getattr(config, name).enabled]
    if not wanted:
        problems.append(f"stages: none is enabled, expected one of {', '.join(STAGES)}")
    txt2img: Mapping[str, Setting] = {}
    for name in wanted:
        if name not in capabilities.stages:
            has = ", ".join(capabilities.stages)
            problems.append(f"{name}: the {capabilities.title} has no such stage; it has {has}")
            continue
        if name != "txt2img" and "txt2img" not in wanted:
            problems.append(f"{name}: no image to work on; enable txt2img before it")
        asked = _spelled(asked_settings(config, name), capabilities)
        settings = resolved_settings(name, asked, txt2img, capabilities)
        txt2img = txt2img or settings
        problems.extend(_problems(name, asked, settings, capabilities))
        planned.append(
            PlannedStage(
                name=name,
                settings=settings,
                model_hash=capabilities.model_hashes.get(str(settings.get("model"))),
                files=named_files(settings, capabilities),
                options=capabilities.options.get(name, {}),
            )
        )
    if problems:
        raise ConfigError(*problems)
    return StagePlan(
        stages=tuple(planned), backend=capabilities.backend, version=capabilities.version
    )


def _spelled(asked: Mapping[str, Setting], capabilities: Capabilities) -> dict[str, Setting]:
    """Return what was asked for with every name spelled as the backend spells it."""
    return {name: capabilities.spelled(name, value) for name, value in asked.items()}


def _problems(
    stage: str,
    asked: Mapping[str, Setting],
    settings: Mapping[str, Setting],
    capabilities: Capabilities,
) -> Iterator[str]:
    # What is inherited was looked at where it was given.
    own = {name: settings[name] for name in settings if name in asked or not inherits(stage, name)}
    yield from _not_understood(stage, asked, capabilities)
    yield from _missing(stage, own, capabilities)
    yield from _unknown_names(stage, own, capabilities)
    yield from missing_loras(stage, own, capabilities)
    if "width" in own or "height" in own:
        yield from size_problems(stage, settings, capabilities)
    yield from seed_problems(stage, own, capabilities)
    yield from range_problems(stage, own, capabilities)
    yield from prompt_problems(stage, own, capabilities)


def _not_understood(
    stage: str, asked: Mapping[str, Setting], capabilities: Capabilities
) -> Iterator[str]:
    understood = capabilities.stages[stage]
    for name, value in asked.items():
        if name not in understood and value not in (False, ""):
            has = suggestion(name, understood)
            yield (
                f"{stage}.{name}: given {value!r}, but the {capabilities.title} has no such"
                f" setting; {has}"
            )


def _missing(stage: str, own: Mapping[str, Setting], capabilities: Capabilities) -> Iterator[str]:
    for name in REQUIRED[stage]:
        if name not in own and inherits(stage, name):
            continue
        if name == "upscaler_1" and (
            by_img2img(stage, own) or name not in capabilities.stages[stage]
        ):
            continue
        if own.get(name) is None or not str(own[name]).strip():
            yield f"{stage}.{name}: missing, expected {_expected(name, capabilities)}"


def _unknown_names(
    stage: str, own: Mapping[str, Setting], capabilities: Capabilities
) -> Iterator[str]:
    for name, value in own.items():
        names = capabilities.names_of(name)
        if name in capabilities.stages[stage] and value and names and value not in names:
            yield f"{stage}.{name}: given {value!r}, {_hint(name, value, names, capabilities)}"


def _hint(name: str, value: Setting, names: tuple[str, ...], capabilities: Capabilities) -> str:
    """Return what to say instead; before WebUI 1.9 a sampler's name held its scheduler."""
    if name == "sampler_name":
        for scheduler in capabilities.schedulers:
            sampler = str(value).removesuffix(f" {scheduler}")
            if sampler in names:
                return f"expected sampler_name={sampler!r} with scheduler={scheduler!r}"
    return suggestion(value, names)


def _expected(name: str, capabilities: Capabilities) -> str:
    listed = capabilities.names_of(name)
    return (
        f"one of {', '.join(listed)}" if listed else "some text" if "prompt" in name else "a value"
    )
