"""A plan is one plan: what its backend decided when it began holds to its end. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from stablenew.backends.base import Capabilities
from stablenew.errors import ConfigError
from stablenew.learning.plan_file import StoredPlan
from stablenew.learning.step_plans import checked_stages, spelled_plan
from stablenew.pipeline.stage_settings import backend_defaults


def new_plan(stored: StoredPlan, capabilities: Capabilities) -> StoredPlan:
    """Return a plan that begins, with what the backend decides: names, defaults, models.

    Raises:
        ConfigError: With every problem of every step.
    """
    plan, wrong = spelled_plan(stored.plan, capabilities, stored.config.workflow)
    stored = attrs.evolve(
        stored,
        plan=plan,
        backend=capabilities.backend,
        backend_version=capabilities.version,
        defaults=backend_defaults(capabilities),
    )
    return attrs.evolve(stored, model_hashes=_checked(stored, capabilities, wrong))


def resumed_plan(
    stored: StoredPlan, capabilities: Capabilities, *, on_this_backend: bool = False
) -> StoredPlan:
    """Return a plan that goes on, as it was when it began.

    Args:
        stored: What was kept of it.
        capabilities: Of the backend that it goes on with.
        on_this_backend: Take that backend though it is not what the plan began with.

    Raises:
        ConfigError: It is not, with both names; or with every problem of every step.
    """
    nodes = capabilities.nodes or (capabilities,)  # of several, one may be what it began with
    every = [list(_differences(stored, node)) for node in nodes]
    differences = min(every, key=len)
    if differences and not on_this_backend:
        raise ConfigError(*differences)
    if differences:
        now = f"{capabilities.backend} {capabilities.version}".strip()
        tags = {"resumed_on": now, "began_on": stored.made_by}
        stored = attrs.evolve(stored, metadata={**stored.metadata, **tags})
    if not stored.defaults or stored.backend != capabilities.backend:
        defaults = backend_defaults(capabilities, of_version_0_1=not stored.defaults)
        stored = attrs.evolve(stored, defaults=defaults)
    plan, wrong = spelled_plan(stored.plan, capabilities, stored.config.workflow)
    stored = attrs.evolve(stored, plan=plan)
    _checked(stored, capabilities, wrong)
    return stored


def _checked(
    stored: StoredPlan, capabilities: Capabilities, wrong: Sequence[str]
) -> dict[str, str]:
    """See that every step can be planned; return the hashes of the models that they name.

    Raises:
        ConfigError: With what is known to be wrong already, and every problem of every step.
    """
    hashes: dict[str, str] = {}
    what = (stored.plan, stored.config, capabilities, stored.defaults, wrong, stored.images)
    for stages in checked_stages(*what):
        for stage in stages.stages:
            if stage.model_hash:
                hashes[str(stage.settings["model"])] = stage.model_hash
    return hashes


def _differences(stored: StoredPlan, capabilities: Capabilities) -> Iterator[str]:
    if not stored.defaults:  # a plan of version 0.1, which did not ask what made its pictures
        return
    now = f"{capabilities.backend} {capabilities.version}".strip()
    ways = "go on with that one, or take this one with --on-this-backend (on_this_backend=True)"
    if stored.backend and stored.backend != capabilities.backend:
        yield f"backend: the plan began on {stored.made_by}, and this is {now}; {ways}"
        return
    if stored.backend_version and stored.backend_version != capabilities.version:
        yield f"backend: the plan began on {stored.made_by}, and this is {now}; {ways}"
    for model, model_hash in stored.model_hashes.items():
        there = capabilities.model_hashes.get(model)
        if there and there != model_hash:
            yield (
                f"model: the plan began with {model} [{model_hash}], and what has that name now is"
                f" [{there}]; {ways}"
            )
