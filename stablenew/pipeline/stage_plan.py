"""What a run will do, decided and checked before anything runs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from stablenew._arguments import takes
from stablenew._convert import frozen_mapping
from stablenew.backends.base import Capabilities
from stablenew.config.fingerprint import fingerprint
from stablenew.config.pipeline_config import (
    STAGES,
    PipelineConfig,
    Setting,
)
from stablenew.config.workflow_config import WORKFLOW, WorkflowConfig
from stablenew.errors import ConfigError
from stablenew.pipeline.stage_files import named_files
from stablenew.pipeline.stage_problems import (
    FOR_WORKFLOWS,
    stage_problems,
    start_problems,
    workflow_problems,
)
from stablenew.pipeline.stage_settings import (
    asked_settings,
    by_img2img,
    resolved_settings,
    sampled_names,
    start_size,
)
from stablenew.pipeline.start_picture import StartPicture


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

    @property
    def samples(self) -> bool:
        """Whether it draws, and does not just resize."""
        return self.name != "upscale" or by_img2img(self.name, self.settings)

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
        image: The picture to start from; None where the first stage makes one.
    """

    stages: tuple[PlannedStage, ...] = ()
    backend: str = ""
    version: str = ""
    image: StartPicture | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the stages, in order."""
        return tuple(stage.name for stage in self.stages)

    def stage_after(self, stage: PlannedStage) -> PlannedStage | None:
        """Return the stage that comes after one of its own; None after the last."""
        place = self.names.index(stage.name) + 1
        return self.stages[place] if place < len(self.stages) else None

    @property
    def source(self) -> str:
        """What stands for the picture to start from in the fingerprints of the first stage."""
        return self.image.sha256 if self.image else ""

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
        sources = [self.source] * images
        for stage in self.stages:
            sources = [
                self.fingerprint(stage, number, source, hashes)
                for number, source in enumerate(sources, start=1)
            ]
            found.append(sources)
        return found


@takes(config=PipelineConfig, capabilities=Capabilities, pictures=Mapping)
def plan_stages(
    config: PipelineConfig,
    capabilities: Capabilities,
    pictures: Mapping[str, StartPicture] = MappingProxyType({}),
) -> StagePlan:
    """Decide which stages run and with which settings.

    Of several backends, it is what the first one of them runs that has all of it.

    Args:
        config: What was asked for.
        capabilities: What the backend has.
        pictures: By path, the picture that `config.image` names: `look_at_pictures` returns it.

    Raises:
        ConfigError: With every problem: its path, what was given, the nearest valid names.
    """
    if capabilities.nodes:
        return _plan_of_any(config, capabilities, pictures)
    if config.workflow is not None:
        return _workflow_plan(config, config.workflow, capabilities, pictures)
    wanted = [name for name in STAGES if getattr(config, name).enabled]
    image = pictures.get(config.image) if config.image is not None else None
    problems = [*start_problems(config, wanted, image)]
    planned: list[PlannedStage] = []
    if not wanted:
        problems.append(f"stages: none is enabled, expected one of {', '.join(STAGES)}")
    given: Mapping[str, Setting] | None = None
    txt2img: dict[str, Setting] = {}
    sampled: dict[str, dict[str, Setting]] = {}
    if config.image is not None and "txt2img" not in wanted:
        given = _spelled(asked_settings(config, "txt2img"), capabilities)
        size = start_size(image, capabilities) if image and image.width else {}
        txt2img = {**size, **given}
        sampled = {name: _as_txt2img_samples(name, capabilities) for name in wanted[:1]}
    for name in wanted:
        if name not in capabilities.stages:
            has = ", ".join(capabilities.stages)
            problems.append(f"{name}: the {capabilities.title} has no such stage; it has {has}")
            continue
        asked = _spelled(asked_settings(config, name), capabilities)
        settings = resolved_settings(name, asked, sampled.get(name, {}) | txt2img, capabilities)
        txt2img = txt2img or settings if given is None else {**settings, **txt2img}
        problems.extend(stage_problems(name, asked, settings, capabilities, given))
        planned.append(_planned_stage(name, settings, capabilities))
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    return StagePlan(
        stages=tuple(planned),
        backend=capabilities.backend,
        version=capabilities.version,
        image=image,
    )


def _plan_of_any(
    config: PipelineConfig, capabilities: Capabilities, pictures: Mapping[str, StartPicture]
) -> StagePlan:
    """Return the plan of the first backend that has what it needs.

    Raises:
        ConfigError: None has: with what nobody has, else with what each lacks.
    """
    problems: dict[str, None] = {}
    for node in capabilities.nodes:
        try:
            return plan_stages(config, node, pictures)
        except ConfigError as error:
            problems.update(dict.fromkeys(error.problems))
    plan_stages(config, attrs.evolve(capabilities, nodes=()), pictures)
    raise ConfigError("servers: none of them has all that is asked for", *problems)


def _workflow_plan(
    config: PipelineConfig,
    workflow: WorkflowConfig,
    capabilities: Capabilities,
    pictures: Mapping[str, StartPicture],
) -> StagePlan:
    """Return the plan of a workflow, which runs alone.

    Raises:
        ConfigError: With every problem.
    """
    image = pictures.get(config.image) if config.image is not None else None
    problems = [*workflow_problems(config, capabilities, image)]
    settings: Mapping[str, Setting] = {}
    if capabilities.workflows is not None:
        asked = asked_settings(config, "txt2img")
        given = {name: asked[name] for name in FOR_WORKFLOWS if name in asked}
        try:
            settings = capabilities.workflows.settings(
                workflow, given, image=config.image is not None
            )
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    return StagePlan(
        stages=(PlannedStage(name=WORKFLOW, settings=settings),),
        backend=capabilities.backend,
        version=capabilities.version,
        image=image,
    )


def _as_txt2img_samples(stage: str, capabilities: Capabilities) -> dict[str, Setting]:
    """Return what a first stage samples with where nobody says: as if txt2img were on."""
    own = capabilities.stages.get("txt2img", {})
    return {there: own.get(there) for there in sampled_names(stage).values()}


def _planned_stage(
    name: str, settings: Mapping[str, Setting], capabilities: Capabilities
) -> PlannedStage:
    return PlannedStage(
        name=name,
        settings=settings,
        model_hash=capabilities.model_hashes.get(str(settings.get("model"))),
        files=named_files(settings, capabilities),
        options=capabilities.options.get(name, {}),
    )


def _spelled(asked: Mapping[str, Setting], capabilities: Capabilities) -> dict[str, Setting]:
    """Return what was asked for with every name spelled as the backend spells it."""
    return {name: capabilities.spelled(name, value) for name, value in asked.items()}
