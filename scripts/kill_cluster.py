"""Kill a Dask cluster's workers, its scheduler, or the program at moments of chance, and compare.

python scripts/kill_pool.py --dask --kills 40

A scheduler and three workers run as processes of their own, each worker with the embedded model. A
plan runs on them, and something is killed with SIGKILL at some moment and started again: workers,
the scheduler (with which its workers end, as Dask has it), or the program, whose plan is resumed.
"""

from __future__ import annotations

import logging
import random
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import anyio
from dask_processes import Processes, processes
from kill_pool import killed_plan, pictures, problems, start_run

from stablenew.app import App, open_app
from stablenew.backends.dask.cluster import dask_cluster
from stablenew.cli.dask_workers import backend_here
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.config.settings import Settings
from stablenew.errors import BackendUnavailableError, ConfigError
from stablenew.learning.axis import axis_of_values
from stablenew.learning.learning_events import StepMoved
from stablenew.learning.learning_plan import LearningPlan

WORKERS = 3
SCALES = [*range(1, 13)]
CONFIG = PipelineConfig.from_dict({"txt2img": {"prompt": "a cat", "seed": 5, "steps": 8}})
PLAN = LearningPlan(axes=[axis_of_values("txt2img.cfg_scale", SCALES)])
WAIT = 120.0
UNDISTURBED = 2.0
"""Seconds that the plan takes on the three of them, about."""

moved: list[StepMoved] = []
"""Steps that went to another worker, in all rounds."""

slowest_cancel = 0.0
"""Seconds from the call of a cancel to the end of its plan, at the most, in all rounds."""


async def note(event: StepMoved) -> None:
    """Note a step that went to another worker."""
    moved.append(event)


async def run_plan(
    out: Path,
    address: str,
    disturb: Callable[[App], object] | None = None,
    plan_id: str | None = None,
) -> str:
    """Run the plan on a cluster, or resume one there; return what went wrong.

    Args:
        out: The folder of runs.
        address: The scheduler's.
        disturb: An async function that is called beside it.
        plan_id: Of the plan to resume; None for a new one.
    """
    settings = Settings(out=out, learning_enabled=True, wait_for_server=WAIT)
    async with (
        dask_cluster(address, backend_here) as cluster,
        open_app(settings, backends=cluster.backends, joining=cluster.joining) as app,
        anyio.create_task_group() as beside,
    ):
        app.bus.subscribe(StepMoved, note)
        await app.pipeline.capabilities()
        if disturb is not None:
            beside.start_soon(disturb, app)  # type: ignore[arg-type]  # it is async
        if plan_id is None:
            result = await app.learning.run_learning_plan(PLAN, CONFIG, plan_id="p")
        else:
            result = await app.learning.resume_plan(plan_id)
        beside.cancel_scope.cancel()
    if result.success:
        return ""
    errors = [f"{each.step.label}: {each.error}" for each in result.step_results if each.error]
    return f"it did not succeed: {dict(result.summary)}, {result.error}, {errors}"


async def once_there(cluster: Processes) -> None:
    """Wait until a cluster is whole; on a busy machine what starts may give up before."""
    with anyio.fail_after(300):
        while True:
            cluster.start()
            try:
                async with dask_cluster(cluster.address, backend_here) as found:
                    if len(found.backends) == WORKERS:
                        return
            except (BackendUnavailableError, ConfigError):
                pass
            await anyio.sleep(0.1)


async def supervise(cluster: Processes) -> None:
    """Start again what ends, as whoever keeps a cluster up does."""
    while True:
        cluster.start()
        await anyio.sleep(0.2)


async def killing(cluster: Processes, what: str, chance: random.Random) -> str:
    """Kill a part of a cluster after a moment, and have it started again after another one."""
    await anyio.sleep(chance.uniform(0, UNDISTURBED))
    if what == "the scheduler":
        cluster.scheduler.kill()
    else:
        for each in chance.sample([*cluster.workers], chance.choice((1, 1, 2, WORKERS))):
            each.kill()
            await anyio.sleep(0.05)
    await anyio.sleep(chance.uniform(0, 0.5))
    await supervise(cluster)
    return what


def start_program(out: Path, address: str) -> subprocess.Popen[bytes]:
    """Run the plan as a program of its own."""
    words = ["--dask", address, "--prompt", "a cat", "--seed", "5", "--learn", "--json"]
    words += ["--set", "txt2img.steps=8", "--out", str(out)]
    words += ["--sweep", f"txt2img.cfg_scale={','.join(map(str, SCALES))}"]
    return start_run(words)


async def kill_client(out: Path, address: str, moment: float) -> str:
    """Run the plan as a program, kill it after a moment, and go on with it here."""
    plan_id = await killed_plan(start_program(out, address), out, moment)
    return await run_plan(out, address, plan_id=plan_id) if plan_id else ""


async def cancel_while_killing(
    out: Path, cluster: Processes, what: str, chance: random.Random
) -> str:
    """Kill something, cancel the plan right after that, and go on with it."""
    global slowest_cancel

    async def disturb(app: App) -> None:
        global slowest_cancel
        async with anyio.create_task_group() as group:
            group.start_soon(killing, cluster, what, chance)
            await anyio.sleep(chance.uniform(0, 1.5 * UNDISTURBED))
            began = anyio.current_time()
            app.learning.cancel_plan()
            await app.idle()
            slowest_cancel = max(slowest_cancel, anyio.current_time() - began)
            group.cancel_scope.cancel()

    await run_plan(out, cluster.address, disturb)
    await once_there(cluster)
    if not list(out.glob("*/plan.json")):
        return ""
    return await run_plan(out, cluster.address, plan_id="p")


async def one_round(
    out: Path, whole: Path, cluster: Processes, what: str, chance: random.Random
) -> list[str]:
    """Run the plan once with something killed; return what went wrong."""
    await once_there(cluster)
    if what == "the program":
        problem = await kill_client(out, cluster.address, chance.uniform(0, UNDISTURBED))
    elif what.startswith("cancelled"):
        part = what.partition(", ")[2]
        problem = await cancel_while_killing(out, cluster, part, chance)
    else:

        async def disturb(_: App) -> None:
            await killing(cluster, what, chance)

        problem = await run_plan(out, cluster.address, disturb)
    if problem:
        return [problem]
    return problems(out, whole) if list(out.glob("*/plan.json")) else []


KILLS = (
    *("workers", "the scheduler", "workers", "the program", "cancelled, workers", "workers"),
    "cancelled, the scheduler",
)


async def cluster_rounds(kills: int, seed: int, folder: Path) -> int:
    """Kill as often as asked; return how often something was wrong."""
    import distributed  # now, for it gives its loggers their levels

    for name in (distributed.__name__, "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # each loss is told
    chance = random.Random(seed)  # moments, no secrets
    counted: Counter[str] = Counter()
    wrong = 0
    with processes(WORKERS, folder / "dask") as cluster:
        await once_there(cluster)
        whole = folder / "whole"
        assert await run_plan(whole, cluster.address) == ""
        assert len(pictures(whole)) == len(SCALES)
        for number in range(kills):
            what = KILLS[number % len(KILLS)]
            found = await one_round(folder / str(number), whole, cluster, what, chance)
            counted[what] += 1
            wrong += bool(found)
            for problem in found:
                print(f"round {number}, {what} killed: {problem}", flush=True)
    print(f"{kills} rounds (seed {seed}), {wrong} with something wrong; killed: {dict(counted)}")
    print(f"{len(moved)} steps went to another worker; slowest cancel {slowest_cancel:.2f} s")
    return wrong
