"""What the command line asks for, put together from all its sources and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import attrs

from stablenew.backends.base import Capabilities
from stablenew.backends.comfyui.object_info import ObjectInfo
from stablenew.cli.image_options import chosen_images
from stablenew.cli.job_values import (
    assignments,
    check_twice,
    check_varied,
    config_of,
    dask_of,
    seconds_of,
    settings_of,
    where,
    workers_of,
)
from stablenew.cli.options import (
    LearningSection,
    RunFile,
    RunOptions,
    as_texts,
    merged,
    options_from_environment,
    options_from_file,
    options_from_flags,
    varying_flags,
)
from stablenew.cli.plan_options import plan_of, varied_axes
from stablenew.cli.problems import Problems
from stablenew.cli.program_rater import ProgramRater, rater_of
from stablenew.cli.prompt_options import chosen_prompts, notes_on
from stablenew.cli.variant_options import notes_on_variants, plan_of_variants
from stablenew.cli.workflow_options import base_config, given_workflow, read_given_file
from stablenew.config.input_file import read_table
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.config.prompt import Prompt
from stablenew.config.prompt_pack import STDIN
from stablenew.config.settings import WITH_SERVER, Settings
from stablenew.config.sweep import by_config
from stablenew.controller.pinned_plan import resumed_plan
from stablenew.errors import ConfigError
from stablenew.learning.learning_plan import LearningPlan
from stablenew.learning.plan_file import StoredPlan, read_plan_file
from stablenew.learning.plan_pictures import look_at_images
from stablenew.learning.step_plans import spelled_plan
from stablenew.pipeline.start_picture import StartPicture

_DEFAULTS = RunOptions(images_per_step=1, learn=False, out="runs")


@attrs.frozen(kw_only=True)
class Job:
    """One thing to do.

    Attributes:
        settings: Where things go and how long to wait.
        config: What to run, or what each step is derived from.
        plan: What to explore; None for a single run.
        images: Pictures of a single run.
        max_steps: Run the first so many steps.
        metadata: Tags to keep.
        resumed: The plan that goes on; None for a new one.
        max_seconds: Begin no step that would not be done by then.
        notes: What to say before it starts.
        yes: Whether it starts without a question, however long it takes.
        rater: Rates what an exploration makes; None for a person.
        workers: How many processes of the embedded model share it; None where this one does it.
        dask: Whose workers share it: the address of a scheduler, or `local`.
        problems: What is wrong with what was asked for, and left out here.
        pictures: Those to start from, by path, once they were looked at.
    """

    settings: Settings
    config: PipelineConfig
    plan: LearningPlan | None
    images: int
    max_steps: int | None
    metadata: Mapping[str, object]
    resumed: Resumed | None = None
    max_seconds: float | None = None
    notes: tuple[str, ...] = ()
    yes: bool = False
    rater: ProgramRater | None = None
    workers: int | None = None
    dask: str | None = None
    problems: tuple[str, ...] = ()
    pictures: Mapping[str, StartPicture] = attrs.field(factory=dict)

    def spelled(self, capabilities: Capabilities) -> Job:
        """Return it with names as a backend has them, and globs in full.

        Globs that match nothing are among its problems then.

        Raises:
            ConfigError: There is one in every axis.
        """
        if self.plan is None:
            return self
        try:
            plan, problems = spelled_plan(self.plan, capabilities, self.config.workflow)
        except ConfigError as error:
            raise ConfigError(*self.problems, *error.problems) from None
        return attrs.evolve(self, plan=plan, problems=(*self.problems, *problems))

    async def with_pictures(self) -> Job:
        """Return it with the pictures to start from looked at."""
        before = self.resumed.stored.images if self.resumed else {}
        pictures = await look_at_images(self.config, self.plan, before)
        resumed = self.resumed and self.resumed.with_images(pictures)
        return attrs.evolve(self, pictures=pictures, resumed=resumed)


@attrs.frozen(kw_only=True)
class Resumed:
    """A plan that goes on.

    Attributes:
        stored: What was kept of it.
        only_failed: Whether only what failed is run again.
        on_this_backend: Whether it goes on with whatever backend there is.
    """

    plan_id: str
    stored: StoredPlan
    only_failed: bool = False
    on_this_backend: bool = False

    def pinned(self, capabilities: Capabilities) -> StoredPlan:
        """Return the plan as it goes on with a backend.

        Raises:
            ConfigError: That backend is not the plan's, or lacks something.
        """
        return resumed_plan(self.stored, capabilities, on_this_backend=self.on_this_backend)

    def with_images(self, images: Mapping[str, StartPicture]) -> Resumed:
        """Return it with the pictures to start from as they are now."""
        return attrs.evolve(self, stored=attrs.evolve(self.stored, images=images))


def read_job(flags: Mapping[str, object], environ: Mapping[str, str]) -> Job:
    """Put a job together.

    Args:
        flags: What the parser returned.
        environ: The environment.

    Raises:
        ConfigError: With every problem.
    """
    job = drafted_job(flags, environ)
    if job.problems:
        raise ConfigError(*job.problems)
    return job


def drafted_job(
    flags: Mapping[str, object], environ: Mapping[str, str], info: ObjectInfo | None = None
) -> Job:
    """Put a job together of what is right, with what is wrong as its `problems`.

    So whoever has a backend can look for what else is wrong, and say it all at once.

    Args:
        flags: What the parser returned.
        environ: The environment.
        info: The nodes of the server, where the workflow needs them to be read.

    Raises:
        ConfigError: There is no such job: a word of no sense, a file that is none.
    """
    if flags.get("resume") is not None:
        return _read_resumed(flags, environ)
    if flags.get("only_failed"):
        raise ConfigError("--only-failed: of which plan? give --resume runs/PLAN_ID as well")
    file = _read_file(flags.get("file"))
    sources = (options_from_flags(flags), options_from_environment(environ), file)
    section = file.learning
    options = merged(*sources, _of_section(section), _DEFAULTS)
    if options.pack == STDIN and flags.get("cancel_on_stdin_close"):
        raise ConfigError("--cancel-on-stdin-close: given with --pack -, which reads all of it")
    wrong = Problems()
    beside = Path(str(flags["file"])).parent if flags.get("file") else None
    workflow = given_workflow(options, read_given_file(flags, environ), info)
    named = by_config if workflow is None else workflow.named
    assigned = assignments(flags.get("set"), wrong, named)
    folders = (beside, Path()) if beside else (Path(),)  # of what the plan file names
    there = folders if options.varying == file.varying else (Path(),)
    axes = varied_axes(options, there, wrong, named)
    prompts = wrong.or_stop(lambda: chosen_prompts(sources, beside))
    images = wrong.or_stop(lambda: chosen_images(sources, folders))
    wrong.unless(lambda: check_twice(sources[0], assigned, prompts), None)
    what = (options, section, axes, prompts, images, assigned, folders)
    plan = wrong.unless(lambda: plan_of(*what), None)
    wrong.unless(lambda: check_varied(assigned, plan.axes if plan else ()), None)
    if plan is not None and workflow is not None:
        plan = wrong.unless(partial(workflow.plan, plan), None)
    base = wrong.or_stop(partial(base_config, file, workflow))
    notes = () if workflow is None else workflow.notes()
    config = wrong.or_stop(lambda: config_of(base, options, prompts, images, assigned))
    looked_in = folders if all(each.wildcards is None for each in sources[:-1]) else (Path(),)
    plan = wrong.unless(lambda: plan_of_variants(plan, config, options, looked_in), plan)
    settings = wrong.or_stop(lambda: settings_of(options, sources[0]))
    return Job(
        config=config,
        settings=settings,
        dask=wrong.unless(lambda: dask_of(options, config.workflow), None),
        workers=wrong.unless(lambda: workers_of(options, settings.backend), None),
        max_seconds=wrong.unless(lambda: seconds_of(options.max_time), None),
        plan=plan,
        images=options.images_per_step or 1,
        max_steps=options.max_steps,
        metadata=_metadata(section, options, prompts),
        notes=() if wrong.found else (*notes, *notes_on(prompts), *notes_on_variants(plan, config)),
        yes=bool(flags.get("yes")),
        rater=wrong.unless(lambda: rater_of(flags.get("rater"), plan), None),
        problems=tuple(wrong.found),
    )


def _metadata(
    section: LearningSection, options: RunOptions, prompts: Sequence[Prompt]
) -> dict[str, object]:
    """Return the tags of every run: the file's, the experiment's name, a single prompt's own."""
    named = {"experiment_name": options.experiment_name} if options.experiment_name else {}
    own = prompts[0].tags if len(prompts) == 1 else {}
    return {**section.metadata, **named, **own}


def _of_section(section: LearningSection) -> RunOptions:
    """Return what a plan file's section says that are words of their own as well."""
    return RunOptions(
        learn=section.enabled,
        max_pictures=section.max_pictures,
        images_per_step=section.images_per_step,
        max_steps=section.max_steps,
        experiment_name=section.experiment_name,
        sample=section.sample,
        skip=section.skip,
        order=section.order,
    )


_WITH_RESUME = (
    *("resume", "only_failed", "url", "auth", "wait_for_server", "step_timeout", "stall_timeout"),
    *("dask", "workers", "mix_servers", "skip_unreachable"),
    *("backend", "on_this_backend"),
    *("dry_run", "json", "quiet", "verbose", "cancel_on_stdin_close", "max_time"),
    *("yes", "rater"),
)


def _read_resumed(flags: Mapping[str, object], environ: Mapping[str, str]) -> Job:
    """Put a job together from a plan's folder; what the plan says is not said again."""
    given_flags = [name for name, value in flags.items() if value and name != "varying"]
    others = [name for name in given_flags if name not in _WITH_RESUME]
    if _is_in(flags["resume"], flags.get("out")):
        others.remove("out")
    others += dict.fromkeys(each.word for each in varying_flags(flags))
    others += ["learn"] if flags.get("learn") is False else []
    if not flags["resume"]:
        raise ConfigError("--resume: given '', expected a plan's folder: runs/PLAN_ID")
    if others:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in others)
        raise ConfigError(f"{names}: --resume takes the plan as it is; start a new one else")
    folder = Path(str(flags["resume"]))
    stored = read_plan_file(folder)
    folder = folder.resolve() if folder.name in ("", "..") else folder
    given = merged(options_from_flags(flags), options_from_environment(environ))
    named = ("auth", "wait_for_server", "stall_timeout", "mix_servers", "skip_unreachable")
    values = {name: getattr(given, name) for name in named}
    servers = given.servers or stored.urls or as_texts(stored.url)
    values |= where(servers)
    # A plan keeps one kind, and with --mix-servers it began on others as well: each is asked.
    several = len(servers) > 1 and stored.backend in WITH_SERVER
    began_on = "server" if several else stored.backend
    settings = Settings(
        out=folder.parent,
        backend=given.backend or began_on or "embedded",
        learning_enabled=stored.learning_enabled,
        step_timeout=given.step_timeout or stored.step_timeout,
        **{name: value for name, value in values.items() if value is not None},
    )
    return Job(
        settings=settings,
        config=stored.config,
        plan=stored.plan,
        images=stored.plan.images_per_step,
        max_steps=stored.max_steps,
        metadata=stored.metadata,
        resumed=Resumed(
            plan_id=folder.name,
            stored=stored,
            only_failed=bool(flags.get("only_failed")),
            on_this_backend=bool(flags.get("on_this_backend")),
        ),
        max_seconds=seconds_of(given.max_time),
        dask=dask_of(given, stored.config.workflow),
        workers=workers_of(given, settings.backend),
        yes=bool(flags.get("yes")),
        rater=rater_of(flags.get("rater"), stored.plan),
    )


def _is_in(plan: object, out: object) -> bool:
    """Return whether a plan's folder is in the folder that `--out` names."""
    return bool(plan and out) and Path(str(plan)).resolve().parent == Path(str(out)).resolve()


def _read_file(path: object) -> RunFile:
    return options_from_file(read_table(Path(str(path))), str(path)) if path else RunFile()
