"""The job that makes what is worth making next: a batch of all settings, or values of one. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stablenew.advice.judgements import Judged
from stablenew.advice.recommend_jointly import JointFit
from stablenew.advice.recommendation import Recommendation
from stablenew.cli.recommend_command import fits_setting
from stablenew.config.overrides import sets_input
from stablenew.config.pipeline_config import Setting

Table = Mapping[str, Any]


def job_with(job: Table, values: Mapping[str, Setting]) -> dict[str, Any]:
    """Return a job with some settings, by path, its stages switched on where they are needed."""
    changed = dict(job)
    for path, value in values.items():
        stage, _, name = path.partition(".")
        switch = {} if stage == "txt2img" else {"enabled": True}
        changed[stage] = {**switch, **changed.get(stage, {}), name: value}
    return changed


def next_job(
    fit: JointFit | None,
    found: Sequence[Recommendation],
    values: Mapping[str, Setting],
    base: Table | None,
) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the job of what is worth making next, and its choices in words.

    Args:
        fit: The joint model, where there is one.
        found: The advice for each setting by itself.
        values: The settings to use, by path.
        base: The job that was run last.
    """
    if base is None:
        return None, []
    if fit is not None and fit.advice.mean is not None:
        return _batch(fit, base)
    return _of_one(found, values, base)


def _batch(fit: JointFit, base: Table) -> tuple[dict[str, Any] | None, list[str]]:
    asked = fit.next_batch()
    choices = [_settings(each, base) for each in asked]
    if not choices or not choices[0]:
        return None, []
    differing = [path for path in choices[0] if len({str(each[path]) for each in choices}) > 1]
    labels = _labels(choices, differing or [*choices[0]])
    table = [{"label": k, "overrides": v} for k, v in zip(labels, choices, strict=True)]
    varied = {path.partition(".")[0] for path in choices[0]} - {"txt2img", "workflow"}
    job = job_with(base, {f"{stage}.enabled": True for stage in varied})
    text, start = asked[0].prompt if isinstance(asked[0].prompt, tuple) else ("", "")
    seed = str(asked[0].seed)
    said = {"prompt": text} if text and not start else {}
    said |= {"seed": int(seed)} if seed.isdecimal() else {}
    job["txt2img"] = {**job.get("txt2img", {}), **said}
    job["learning"] = {"enabled": True, "axes": [{"name": "next", "choices": table}]}
    return _without(job, ("sample", "max_steps", "max_pictures", "explore")), labels


def _settings(judged: Judged, base: Table) -> dict[str, Setting]:
    """Return the settings of a picture that a job of this program can have."""
    of_workflow = "workflow" in base
    return {
        path: value
        for path, value in judged.settings.items()
        if (sets_input(path) and of_workflow) or fits_setting(path, value)
    }


def _labels(choices: Sequence[Mapping[str, Setting]], paths: Sequence[str]) -> list[str]:
    """Return what to call choices: what sets them apart, each once."""
    labels: dict[str, None] = {}
    for number, each in enumerate(choices, start=1):
        label = ", ".join(f"{path.rpartition('.')[2]}={each[path]}" for path in paths)
        labels[label if label not in labels else f"{label} ({number})"] = None
    return [*labels]


def _of_one(
    found: Sequence[Recommendation], values: Mapping[str, Setting], base: Table
) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the job that makes the values of one setting that are worth trying."""
    worth = next((each for each in found if each.try_next and not each.enough), None)
    worth = worth or next((each for each in found if each.try_next), None)
    if worth is None:
        return None, []
    swept = {"path": worth.parameter, "values": list(worth.try_next)}
    others = {path: value for path, value in values.items() if path != worth.parameter}
    job = {**job_with(base, others), "learning": {"enabled": True, "axes": [swept]}}
    name = worth.parameter.rpartition(".")[2]
    labels = [f"{name}={value}" for value in worth.try_next]
    return _without(job, ("sample", "max_steps", "max_pictures", "explore")), labels


def _without(job: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return a job without what goes with the axes that it had before."""
    return {name: value for name, value in job.items() if name not in names}
