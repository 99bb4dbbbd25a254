"""What the ratings advise, as data: curves, points, a heat map, and what to make or rate next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from stablenew.advice.joint_advice import JointAdvice
from stablenew.advice.kept_chains import chains_file
from stablenew.advice.observations import Observations, gather_observations
from stablenew.advice.priors import read_priors
from stablenew.advice.recommend_jointly import fit_all
from stablenew.advice.recommendation import Recommendation, advise
from stablenew.cli.joint_answer import answer_lines, plain_advice
from stablenew.cli.recommend_command import fits_setting, plain_recommendation
from stablenew.config.pipeline_config import STAGES, Setting
from stablenew.errors import ConfigError
from stablenew.learning.dataset_builder import BadLines
from stablenew.studio.library import Library
from stablenew.studio.next_batch import job_with, next_job

_RATED_NEXT = 12
_POINTS = 5_000
"""Single ratings that are drawn, the last ones."""


@attrs.frozen(kw_only=True)
class AdviceAsked:
    """What is to be advised on; see `recommend_jointly`."""

    plan: str | None = None
    stage: str | None = None
    prompt: str | None = None
    model: str | None = None
    subscore: str | None = None


def advised(
    out: Path, library: Library, asked: AdviceAsked, base: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the advice that the ratings carry; blocks for a second or so.

    Args:
        out: The folder of all runs.
        library: Of that folder.
        asked: What is to be advised on.
        base: The job that was run last, from which what is to be made next is derived.

    Raises:
        ConfigError: There is no such stage.
    """
    if asked.stage is not None and asked.stage not in STAGES:
        raise ConfigError(f"stage: given {asked.stage!r}, expected one of {', '.join(STAGES)}")
    bad = BadLines()
    seen = gather_observations(out, plan_id=asked.plan, report=bad)
    about = {name: getattr(asked, name) for name in ("stage", "prompt", "model")}
    found = advise(seen, **about)
    kept = chains_file(out, asked.plan, asked.subscore)
    fit = fit_all(seen, read_priors(None), **about, subscore=asked.subscore, kept=kept)
    joint = None if fit is None else fit.advice
    values = _values(joint, found)
    job, words = next_job(fit, found, values, base)
    return {
        "ratings": sum(each.rating is not None for each in seen.pictures.values()),
        "choices": len(seen.choices),
        "joint": None if joint is None else plain_advice(joint),
        "settings": [plain_recommendation(each) for each in found],
        "points": _points(seen),
        "heat": _heat(joint),
        "together": job_with({}, values) if values else None,
        "cheapest": _cheapest(joint),
        "lines": [] if joint is None else [*answer_lines(joint)][1 + len(joint.settings) :],
        "idle": [] if joint is None else list(joint.idle),
        "undecided": [] if joint is None else list(joint.undecided),
        "rate_next": _rate_next(library, found),
        "next": job,
        "next_words": words,
        "left_out": [*bad.named],
    }


def _values(joint: JointAdvice | None, found: Sequence[Recommendation]) -> dict[str, Setting]:
    """Return the settings to use, by path: together where that can be said."""
    if joint is not None and joint.mean is not None:
        values = dict(joint.settings)
    else:
        values = {each.parameter: each.value for each in found if each.enough}
    return {path: value for path, value in values.items() if fits_setting(path, value)}


def _cheapest(joint: JointAdvice | None) -> dict[str, Any] | None:
    """Return the settings that are as good and take less time."""
    if joint is None or joint.cheaper is None:
        return None
    settings = joint.cheaper.settings.items()
    values = {path: value for path, value in settings if fits_setting(path, value)}
    return job_with({}, values) if values else None


def _points(seen: Observations) -> dict[str, list[dict[str, object]]]:
    points: dict[str, list[dict[str, object]]] = {}
    rated = [each for each in seen.pictures.values() if each.rating is not None][-_POINTS:]
    for picture in rated:
        for path, value in picture.settings.items():
            key = f"{picture.run_id}/{picture.image_id}"
            point: dict[str, object] = {"value": value, "rating": picture.rating, "key": key}
            points.setdefault(path, []).append(point)
    return points


def _heat(joint: JointAdvice | None) -> dict[str, object] | None:
    pair = None if joint is None else joint.pair
    if pair is None:
        return None
    return {
        "x": pair.first,
        "y": pair.second,
        "x_values": list(pair.first_values),
        "y_values": list(pair.second_values),
        "means": [list(row) for row in zip(*pair.quality, strict=True)],
        "words": pair.words,
    }


def _rate_next(library: Library, found: Sequence[Recommendation]) -> list[dict[str, Any]]:
    keys = dict.fromkeys(key for each in found for key in each.rate_next)
    pictures = (library.find(*key) for key in keys)
    return [each for each in pictures if each is not None][:_RATED_NEXT]
