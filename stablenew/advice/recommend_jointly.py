"""From the folder of all runs to one advice for all settings together."""

from __future__ import annotations

from pathlib import Path
from types import NoneType

import attrs

from stablenew._arguments import takes
from stablenew._names import suggestion
from stablenew.advice.asking import ask, conditions_of, pictures_of
from stablenew.advice.candidates import Grid, grid_of
from stablenew.advice.exploration import AT_ONCE
from stablenew.advice.joint_advice import JointAdvice, advise_jointly
from stablenew.advice.joint_evidence import JointEvidence, joint_evidence
from stablenew.advice.joint_model import Draws, JointModel
from stablenew.advice.judgements import Judged
from stablenew.advice.kept_chains import chains_file, fit_kept
from stablenew.advice.made_with import MODEL
from stablenew.advice.observations import Observations, gather_observations
from stablenew.advice.picture_seconds import picture_seconds
from stablenew.advice.priors import Prior, read_priors
from stablenew.config.pipeline_config import Setting
from stablenew.errors import ConfigError
from stablenew.learning.feedback_reader import SUBSCORES, ReportProblem

FEWEST = 6
"""Ratings and choices below which nothing is said of several settings together."""

_TEXT = (str, NoneType)
_LOOKED_AT = 5_000
"""Pictures whose seconds count, the last ones."""


@takes(stage=_TEXT, prompt=_TEXT, model=_TEXT, subscore=_TEXT)
def recommend_jointly(
    base_dir: str | Path = "runs",
    *,
    stage: str | None = None,
    prompt: str | None = None,
    model: str | None = None,
    plan_id: str | None = None,
    subscore: str | None = None,
    priors: str | Path | None = None,
    report: ReportProblem | None = None,
) -> JointAdvice | None:
    """Return the advice for all settings together that were varied and rated under a folder.

    Args:
        base_dir: The folder of all runs.
        stage: For this stage's settings alone.
        prompt: For prompts like this one.
        model: For this model.
        plan_id: From this plan's pictures alone.
        subscore: By this part of the ratings: one of `SUBSCORES`.
        priors: A file as `priors.toml` is, which beats it.
        report: Told of every line that cannot be read.

    Returns:
        None where fewer than two settings were varied and rated, or with fewer than six ratings
        and choices.

    Raises:
        ConfigError: The priors are wrong, or there is no such part of a rating.
    """
    prior = read_priors(priors)
    observations = gather_observations(base_dir, plan_id=plan_id, report=report)
    return advise_all(observations, prior, stage=stage, prompt=prompt, model=model,
                      subscore=subscore, kept=chains_file(base_dir, plan_id, subscore))  # fmt: skip


@attrs.frozen(kw_only=True, eq=False)
class JointFit:
    """The joint model of everything that was said, and the advice that it gives.

    Attributes:
        evidence: What it was told.
        draws: Of the quality.
        grid: The configurations to choose from.
    """

    evidence: JointEvidence
    model: JointModel
    draws: Draws
    grid: Grid
    advice: JointAdvice

    def next_batch(self, count: int = AT_ONCE) -> tuple[Judged, ...]:
        """Return the pictures to make next: those that promise to beat the best so far by most."""
        seen = pictures_of(self.model)
        prompts = [*dict.fromkeys(each.prompt for each in seen)]
        prompt, _ = conditions_of(prompts, (0,), seen)
        seeds = [*dict.fromkeys(each.seed for each in seen if each.prompt == prompt)]
        return ask(
            self.model, self.draws, batch=count, prompts=[prompt], seeds=seeds, grid=self.grid
        )


def advise_all(
    observations: Observations,
    prior: Prior,
    *,
    stage: str | None = None,
    prompt: str | None = None,
    model: str | None = None,
    subscore: str | None = None,
    kept: Path | None = None,
) -> JointAdvice | None:
    """Return the advice for all settings together; see `fit_all`."""
    about = {"stage": stage, "prompt": prompt, "model": model, "subscore": subscore}
    fitted = fit_all(observations, prior, **about, kept=kept)
    return None if fitted is None else fitted.advice


def fit_all(
    observations: Observations,
    prior: Prior,
    *,
    stage: str | None = None,
    prompt: str | None = None,
    model: str | None = None,
    subscore: str | None = None,
    kept: Path | None = None,
) -> JointFit | None:
    """Return the model of everything and its advice; None for as little as `recommend_jointly`.

    Args:
        observations: Everything that was said.
        prior: What is believed beforehand.
        stage: As there, and so are the next ones.
        prompt: Likewise.
        model: Likewise.
        subscore: Likewise.
        kept: Where the model's chains are kept from one advice to the next; without it nothing is
            read or written.
    """
    if subscore is not None and subscore not in SUBSCORES:
        raise ConfigError(f"subscore: given {subscore!r}, {suggestion(subscore, SUBSCORES)}")
    evidence = joint_evidence(observations, prior, stage=stage, prompt=prompt, subscore=subscore)
    if len(evidence.axes) < 2 or len(evidence.ratings) + len(evidence.choices) < FEWEST:
        return None
    fixed: dict[str, Setting] = {}
    if model is not None:
        names = {str(name) for axis in evidence.axes if axis.path == MODEL for name in axis.names}
        if model in names:
            fixed[MODEL] = model
    made = [
        ({**picture.made_with, **picture.settings}, picture.seconds)
        for picture in observations.pictures.values()
        if picture.seconds
    ]
    joint = evidence.model(prior)
    fitted = fit_kept(kept, joint, asked=evidence.asked)
    grid = grid_of(evidence.axes, fixed)
    advice = advise_jointly(
        joint,
        fitted.draws,
        grid=grid,
        seconds=picture_seconds(evidence.axes, made[-_LOOKED_AT:], prior),
        matters=fitted.matters,
    )
    return JointFit(evidence=evidence, model=joint, draws=fitted.draws, grid=grid, advice=advice)
