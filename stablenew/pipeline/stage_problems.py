"""What is wrong with a stage's settings, or with what it starts from, on a backend. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from stablenew._names import suggestion
from stablenew.backends.base import Capabilities
from stablenew.config.extra_settings import is_extra, style_names
from stablenew.config.pipeline_config import STAGES, PipelineConfig, Setting
from stablenew.pipeline.extra_problems import extra_problems
from stablenew.pipeline.stage_files import missing_loras
from stablenew.pipeline.stage_limits import (
    prompt_problems,
    range_problems,
    seed_problems,
    size_problems,
)
from stablenew.pipeline.stage_settings import (
    asked_settings,
    by_img2img,
    inherited_names,
    inherits,
)
from stablenew.pipeline.start_picture import StartPicture

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "txt2img": ("prompt",),
    "img2img": ("prompt", "denoising_strength"),
    "adetailer": ("prompt", "ad_model"),
    "upscale": ("upscaler_1",),
}
"""What each stage cannot do without; None and "" count as missing, 0 and False do not."""


FOR_WORKFLOWS = ("prompt", "negative_prompt", "seed")
"""What of txt2img is given to a workflow."""


def workflow_problems(
    config: PipelineConfig, capabilities: Capabilities, image: StartPicture | None
) -> Iterator[str]:
    """Yield what is wrong with what is given beside a workflow.

    Args:
        config: What was asked for.
        capabilities: What the backend has.
        image: The picture that the config names.
    """
    if capabilities.workflows is None:
        yield f"workflow: the {capabilities.title} runs none, expected a ComfyUI"
    for stage in STAGES:
        settings = getattr(config, stage)
        if stage != "txt2img" and settings.enabled:
            yield f"{stage}: given with a workflow, which runs alone"
        elif stage == "txt2img":
            for name in asked_settings(config, stage):
                if name not in FOR_WORKFLOWS:
                    instead = "name its own inputs (--list shows them)"
                    yield f"{stage}.{name}: given with a workflow, which has no such; {instead}"
    if config.image is not None:
        yield from _of_start(config.image, image)


def start_problems(
    config: PipelineConfig, wanted: Sequence[str], image: StartPicture | None
) -> Iterator[str]:
    """Yield what is wrong with the image that the first stage works on.

    Args:
        config: What was asked for.
        wanted: The stages that are enabled.
        image: The picture that the config names.
    """
    if config.image is None:
        for name in wanted if "txt2img" not in wanted else ():
            yield f"{name}: no image to work on; enable txt2img before it, or give an image"
        return
    if "txt2img" in wanted:
        further = "" if wanted[1:] else ", and img2img.enabled or upscale.enabled=true"
        yield f"image: given, but txt2img starts from none; set txt2img.enabled=false{further}"
    yield from _of_start(config.image, image)


def _of_start(path: str, image: StartPicture | None) -> Iterator[str]:
    if image is None:
        yield f"image: {path}: was not looked at, expected among the pictures"
    elif image.problem:
        yield f"image: {image.path}: {image.problem}"


def stage_problems(
    stage: str,
    asked: Mapping[str, Setting],
    settings: Mapping[str, Setting],
    capabilities: Capabilities,
    given: Mapping[str, Setting] | None = None,
) -> Iterator[str]:
    """Yield what is wrong with a stage's settings.

    Args:
        stage: One of the stages.
        asked: What it was given.
        settings: What it runs with.
        capabilities: What the backend has.
        given: What txt2img was given where it is off, so that nobody has looked at that.
    """
    there: dict[str, Setting] = {}
    if given is None:  # what is inherited was looked at where it was given
        own = {n: settings[n] for n in settings if n in asked or not inherits(stage, n)}
        yield from _missing(stage, own, capabilities)
    else:
        names = inherited_names(stage, settings)
        taken = {name: names[name] for name in names if name not in asked and names[name] in given}
        there = {name: given[name] for name in taken.values()}
        own = {name: value for name, value in settings.items() if name not in taken}
        yield from _missing(stage, settings, capabilities)
    yield from _not_understood(stage, asked, capabilities)
    for where, values in ((stage, own), ("txt2img", there)):
        if where in capabilities.stages:
            yield from _unknown_names(where, values, capabilities)
            yield from missing_loras(where, values, capabilities)
            yield from seed_problems(where, values, capabilities)
            yield from range_problems(where, values, capabilities)
            yield from prompt_problems(where, values, capabilities)
    yield from _not_understood("txt2img", there, capabilities)
    yield from extra_problems(stage, asked, capabilities)
    if {"width", "height"} & {*own, *there}:
        yield from size_problems(stage, settings, capabilities)


def _not_understood(
    stage: str, asked: Mapping[str, Setting], capabilities: Capabilities
) -> Iterator[str]:
    understood = capabilities.stages[stage]
    for name, value in asked.items():
        if name not in understood and value not in (False, "") and not is_extra(name):
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
    yield from _unknown_styles(stage, own, capabilities)
    for name, value in own.items():
        names = capabilities.names_of(name)
        if name in capabilities.stages[stage] and value and names and value not in names:
            yield f"{stage}.{name}: given {value!r}, {_hint(name, value, names, capabilities)}"


def _unknown_styles(
    stage: str, own: Mapping[str, Setting], capabilities: Capabilities
) -> Iterator[str]:
    there = capabilities.files.get("style")
    for name in style_names(str(own.get("styles") or "")):
        if there is not None and name not in there:
            yield f"{stage}.styles: given {name!r}, {suggestion(name, there)}"


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
