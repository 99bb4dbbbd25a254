"""Plans like the one that starts, which were never finished: named, never resumed by themselves."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import attrs

from stablenew.cli.job import Job
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.controller.marker import is_held
from stablenew.controller.plan_progress import read_plan_progress
from stablenew.errors import ConfigError
from stablenew.learning.gallery import PLAN_FILE
from stablenew.learning.plan_file import read_plan_file
from stablenew.learning.seed_axis import with_seed_axis

_LOOKED_AT = 20
"""How many of the newest plans are looked at."""


def resume_line(folder: Path, job: Job) -> str:
    """Return the line that goes on with a plan, with what a job was given that no plan keeps."""
    words = ["python", "-m", "stablenew.run", "--resume", str(folder)]
    words += ["--mix-servers"] if job.settings.mix_servers else []
    words += ["--skip-unreachable"] if job.settings.skip_unreachable else []
    words += ["--dask", job.dask] if job.dask else []
    words += ["--workers", str(job.workers)] if job.workers else []
    words += ["--rater", job.rater.command] if job.rater else []
    return shlex.join(words)


def unfinished(job: Job) -> list[str]:
    """Return a line for each unfinished plan that is like a job's; blocks, for a worker thread."""
    out = job.settings.out
    lines = []
    for folder in islice(_plans(out), _LOOKED_AT):
        try:
            stored = read_plan_file(folder)
        except ConfigError:
            continue
        plan = job.plan and with_seed_axis(job.plan, stored.config)
        same = stored.plan == plan and _alike(stored.config, job.config)
        if not same or is_held(out, folder.name):
            continue
        progress = read_plan_progress(folder, stored)
        if not progress.complete:
            most = "up to " if stored.plan.is_adaptive else ""
            done = f"{len(progress.finished)} of {most}{stored.plan.most_steps} steps done"
            # What another backend began takes no --workers, what a server began no --dask.
            of_dask = job.dask is not None and stored.url is None
            shared = of_dask or stored.backend in ("", "embedded")
            asked = job if shared else attrs.evolve(job, workers=None, dask=None)
            lines.append(f"{folder.name} is unfinished ({done}); {resume_line(folder, asked)}")
    return lines


def _plans(out: Path) -> Iterator[Path]:
    """Yield the folders of plans, the newest first: a name begins with its time."""
    names = {path.name for path in out.iterdir()} if out.exists() else set()
    for name in sorted(names, reverse=True):
        is_run = name.rpartition("-")[0] in names  # of a plan: there may be a hundred thousand
        if not is_run and (out / name / PLAN_FILE).exists():
            yield out / name


def _alike(stored: PipelineConfig, asked: PipelineConfig) -> bool:
    """Return whether configs are the same but for a seed that was drawn."""
    one, other = stored.to_dict(), asked.to_dict()
    for stage in other:
        mine, theirs = one.get(stage), other[stage]
        if not isinstance(mine, Mapping) or not isinstance(theirs, Mapping):
            continue
        if theirs.get("seed") in (-1, None):
            one[stage], other[stage] = ({**each, "seed": -1} for each in (mine, theirs))
    return one == other
