"""One pass of a sampler and its nodes: one, or two where a refiner takes over. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from stablenew.backends.comfyui import sampler_names
from stablenew.backends.comfyui.graph import Graph, Link
from stablenew.backends.comfyui.loaded_graph import Loaded
from stablenew.backends.comfyui.refiner_switch import switch_step
from stablenew.config.pipeline_config import Setting

SAME = ("Use same sampler", "Use same scheduler")
"""What a hires pass may say in place of names of its own."""

_LAST = 10_000
"""A step that is after all others."""


@attrs.frozen(kw_only=True)
class Pass:
    """One pass of a sampler.

    Attributes:
        sampler: As ComfyUI names it.
        scheduler: Likewise.
        steps: Of the whole schedule.
        start: The step with which it begins.
        switch: The step with which the refiner takes over; None where there is none.
    """

    sampler: str
    scheduler: str
    cfg: float
    seed: int
    steps: int
    start: int = 0
    switch: int | None = None


@attrs.frozen(kw_only=True)
class Sampled:
    """What a pass gives.

    Attributes:
        steps: For each of its nodes, how many steps it makes.
    """

    latent: Link
    steps: Mapping[str, int]


def pass_of(
    settings: Mapping[str, Setting],
    steps: int,
    start: int = 0,
    *,
    hires: bool = False,
    refined: bool = True,
) -> Pass:
    """Return the pass that a stage's settings ask for.

    Args:
        settings: Of the stage.
        steps: Of the whole schedule.
        start: The step with which it begins.
        hires: Whether it is the second one, which may have a sampler of its own.
        refined: Whether a refiner takes over where there is one.
    """
    sampler, scheduler = settings.get("sampler_name"), settings.get("scheduler")
    if hires:
        own = settings.get("hr_sampler_name"), settings.get("hr_scheduler")
        sampler = own[0] if own[0] and own[0] not in SAME else sampler
        scheduler = own[1] if own[1] and own[1] not in SAME else scheduler
    named = sampler_names.sampler(str(sampler))
    schedule = sampler_names.scheduler(str(scheduler or ""), named)
    switch = steps
    if settings.get("refiner_checkpoint") and refined:
        switch = switch_step(schedule, named, steps, float(settings.get("refiner_switch_at") or 0))
    return Pass(
        sampler=named,
        scheduler=schedule,
        cfg=float(settings.get("cfg_scale") or 0),
        seed=int(settings.get("seed") or 0),
        steps=steps,
        start=start,
        switch=switch if switch < steps else None,
    )


def sample(
    graph: Graph, name: str, one: Pass, latent: Link, loaded: Loaded, refiner: Loaded | None
) -> Sampled:
    """Add the nodes of a pass.

    Args:
        graph: Where they go.
        name: What to call the first of them.
        one: The pass.
        latent: What it begins with.
        loaded: The model and the prompts as it reads them.
        refiner: What takes over at `one.switch`.
    """
    if one.start == 0 and one.switch is None:
        node = graph.add(
            name,
            "KSampler",
            seed=one.seed,
            denoise=1.0,
            latent_image=latent,
            **_common(loaded, one),
        )
        return Sampled(latent=(node, 0), steps={node: one.steps})
    parts = [(loaded, one.start, one.switch)]
    if one.switch is not None and refiner is not None:
        begun = one.switch > one.start
        parts = [*(parts if begun else []), (refiner, max(one.switch, one.start), None)]
    steps: dict[str, int] = {}
    for part, begin, end in parts:
        node = graph.add(
            name if part is loaded else "refiner",
            "KSamplerAdvanced",
            noise_seed=one.seed,
            add_noise="enable" if begin == one.start else "disable",
            start_at_step=begin,
            end_at_step=_LAST if end is None else end,
            return_with_leftover_noise="disable" if end is None else "enable",
            latent_image=latent,
            **_common(part, one),
        )
        steps[node] = (one.steps if end is None else end) - begin
        latent = (node, 0)
    return Sampled(latent=latent, steps=steps)


def _common(loaded: Loaded, one: Pass) -> dict[str, Setting | Link]:
    return {
        "model": loaded.model,
        "positive": loaded.positive,
        "negative": loaded.negative,
        "steps": one.steps,
        "cfg": one.cfg,
        "sampler_name": one.sampler,
        "scheduler": one.scheduler,
    }
