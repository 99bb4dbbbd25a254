"""Kill servers of a pool, or the program itself, at moments of chance, and compare.

python scripts/kill_pool.py --kills 100         (--dask: of a Dask cluster, see kill_cluster.py)

Three WebUIs run as processes of their own: a usual one, a slow one, and one without a model. A plan
runs on them, and one of them or more are killed with SIGKILL at some moment and started again, or
the program is, and its plan resumed. Afterwards the pictures have to be those of an undisturbed run
on one server, byte for byte, with one record per step that says the same, and no temporary file.
Prints what was found; ends with 1 if anything was not so.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import attrs

from stablenew.app import open_app
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.config.settings import Settings
from stablenew.learning.axis import axis_of_values
from stablenew.learning.learning_events import StepMoved
from stablenew.learning.learning_plan import LearningPlan

ROOT = Path(__file__).parents[1]
MODELS = ("randsd15-tiny-a", "randsd15-tiny-b")
KINDS = ((0.01, MODELS), (0.04, MODELS), (0.01, MODELS[:1]))
"""Of each server: the seconds that a sampling step takes, and its models."""

CONFIG = PipelineConfig.from_dict(
    {"txt2img": {"prompt": "a cat", "seed": 5, "steps": 4, "width": 64, "height": 64}}
)
PLAN = LearningPlan(
    axes=[
        axis_of_values("txt2img.cfg_scale", [1, 2, 3, 4, 5]),
        axis_of_values("txt2img.model", MODELS),
    ]
)
STEPS = PLAN.count
WAIT = 30.0
UNDISTURBED = 0.4
"""Seconds that the plan takes on the three of them, about."""


@attrs.define(eq=False)
class PoolServer:
    """A WebUI of the tests as a process of its own; always at the same URL."""

    port: int
    step_seconds: float
    models: Sequence[str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it; it answers a moment later."""
        words = ("--serve", str(self.port), str(self.step_seconds), *self.models)
        self.process = subprocess.Popen([sys.executable, __file__, *words], cwd=ROOT)

    def answers(self) -> bool:
        """Return whether it takes connections."""
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """Kill it as a power cut does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def serve(port: str, step_seconds: str, *models: str) -> None:
    """Be one of the servers."""
    sys.path.insert(0, str(ROOT))
    import uvicorn

    from tests.webui.profiles import A1111
    from tests.webui.server import WebUI

    webui = WebUI(profile=A1111, step_seconds=float(step_seconds), models=models)
    uvicorn.run(webui, port=int(port), log_level="critical", lifespan="off")


@contextmanager
def servers() -> Iterator[list[PoolServer]]:
    """Run the three servers."""
    sockets = [socket.socket() for _ in KINDS]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    pool = [PoolServer(s.getsockname()[1], *kind) for s, kind in zip(sockets, KINDS, strict=True)]
    for each in sockets:
        each.close()
    try:
        for server in pool:
            server.start()
        wait_for(pool)
        yield pool
    finally:
        for server in pool:
            server.kill()


def wait_for(pool: Sequence[PoolServer]) -> None:
    """Wait until all servers answer."""
    while not all(server.answers() for server in pool):
        time.sleep(0.02)


Kill = Callable[[], Coroutine[Any, Any, None]]

moved: list[StepMoved] = []
"""Steps that went to another server, in all rounds."""


async def note(event: StepMoved) -> None:
    """Note a step that went to another server."""
    moved.append(event)


async def run_plan(out: Path, urls: Sequence[str], kills: Sequence[Kill] = ()) -> str:
    """Run the plan, with something that happens beside it; return what went wrong."""
    settings = Settings(
        out=out, backend="webui", urls=urls, learning_enabled=True, wait_for_server=WAIT
    )
    async with open_app(settings) as app, anyio.create_task_group() as beside:
        app.bus.subscribe(StepMoved, note)
        await app.pipeline.capabilities()
        for kill in kills:
            beside.start_soon(kill)
        result = await app.learning.run_learning_plan(PLAN, CONFIG, plan_id="p")
        beside.cancel_scope.cancel()
    return "" if result.success else f"it did not succeed: {dict(result.summary)}, {result.error}"


async def kill_later(server: PoolServer, moment: float, away: float) -> None:
    """Kill a server after a moment, and start it again after another one."""
    await anyio.sleep(moment)
    server.kill()
    with anyio.CancelScope(shield=True):
        await anyio.sleep(away)
        server.start()


def start_program(out: Path, urls: Sequence[str]) -> subprocess.Popen[bytes]:
    """Run the plan as a program of its own."""
    words = [word for url in urls for word in ("--url", url)]
    words += ["--prompt", "a cat", "--seed", "5", "--backend", "webui", "--learn", "--json"]
    words += [*("--set", "txt2img.steps=4", "--set", "txt2img.width=64")]
    words += [*("--set", "txt2img.height=64", "--sweep", "txt2img.cfg_scale=1,2,3,4,5")]
    words += ["--sweep", f"txt2img.model={','.join(MODELS)}", "--out", str(out)]
    return start_run(words)


def start_run(words: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start `stablenew.run` with some words."""
    program = [sys.executable, "-m", "stablenew.run", *words]
    return subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


async def killed_plan(process: subprocess.Popen[bytes], out: Path, moment: float) -> str | None:
    """Kill a program a moment after its first line; return its plan, None where it has none yet."""
    assert process.stdout is not None
    await anyio.to_thread.run_sync(process.stdout.readline)
    await anyio.sleep(moment)
    process.kill()
    process.stdout.close()
    process.wait()
    plans = list(out.glob("*/plan.json"))
    return plans[0].parent.name if plans else None


async def kill_client(out: Path, urls: Sequence[str], moment: float) -> str:
    """Run the plan as a program, kill it after a moment, and go on with it here."""
    plan_id = await killed_plan(start_program(out, urls), out, moment)
    if plan_id is None:
        return ""
    settings = Settings(
        out=out, backend="webui", urls=urls, learning_enabled=True, wait_for_server=WAIT
    )
    async with open_app(settings) as app:
        result = await app.learning.resume_plan(plan_id)
    return "" if result.success else f"it did not succeed: {dict(result.summary)}"


def pictures(out: Path) -> dict[str, bytes]:
    """Return every picture by its step and its own name."""
    return {
        f"{path.parent.name.rpartition('-')[2]}/{path.name}": path.read_bytes()
        for path in out.glob("*-?????/*.png")
    }


def records(out: Path) -> list[tuple[Any, ...]]:
    """Return what the records say, but for what is of the moment, in the order of the steps."""
    found = []
    for line in (out / "learning_records.jsonl").read_text().splitlines():
        record = json.loads(line)
        made = [(each["sha256"], each["seed"], each["model"]) for each in record["outputs"]]
        step = int(record["run_id"].rpartition("-")[2])
        kept = ("variant_configs", "stage_plan", "primary_model", "primary_cfg_scale")
        varied = record["metadata"]["varied"]
        found.append((step, made, varied, *(record[name] for name in kept)))
    return sorted(found, key=lambda each: each[0])


def problems(out: Path, whole: Path) -> list[str]:
    """Return what is not as in an undisturbed run."""
    found = []
    if pictures(out) != pictures(whole):
        found.append("other pictures than those of an undisturbed run")
    if records(out) != records(whole):
        counted = Counter(each[0] for each in records(out))
        found.append(f"other records than those of an undisturbed run: {dict(counted)}")
    temporary = [path.name for path in out.rglob(".*.tmp") if "records" not in path.name]
    return found + ([f"temporary files: {temporary}"] if temporary else [])


async def one_round(
    out: Path, whole: Path, pool: Sequence[PoolServer], chance: random.Random, *, client: bool
) -> tuple[str, list[str]]:
    """Run the plan once with something killed; return what that was, and what went wrong."""
    urls = [server.url for server in pool]
    moment = chance.uniform(0, UNDISTURBED)
    wait_for(pool)
    if client:
        what, problem = "the program", await kill_client(out, urls, moment)
    else:
        chosen = chance.sample(pool, chance.choice((1, 1, 2, 3)))
        kills = [
            partial(kill_later, server, moment + 0.05 * place, chance.uniform(0, 0.5))
            for place, server in enumerate(chosen)
        ]
        what, problem = f"{len(chosen)} of {len(pool)}", await run_plan(out, urls, kills)
    if problem:
        return what, [problem]
    return what, problems(out, whole) if list(out.glob("*/plan.json")) else []


async def rounds(kills: int, seed: int, folder: Path, *, clients: bool = True) -> int:
    """Kill as often as asked; return how often something was wrong."""
    chance = random.Random(seed)  # moments, no secrets
    counted: Counter[str] = Counter()
    wrong = 0
    with servers() as pool:
        whole = folder / "whole"
        assert await run_plan(whole, [pool[0].url]) == ""
        assert len(pictures(whole)) == STEPS
        for number in range(kills):
            client = clients and number % 4 == 3
            out = folder / str(number)
            what, found = await one_round(out, whole, pool, chance, client=client)
            counted[what] += 1
            wrong += bool(found)
            for problem in found:
                print(f"round {number}, {what} killed: {problem}", flush=True)
    print(f"{kills} rounds (seed {seed}), {wrong} with something wrong; killed: {dict(counted)}")
    print(f"{len(moved)} steps went to another server")
    return wrong


def main() -> int:
    """Kill as often as asked; 1 if anything was wrong."""
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--dask", action="store_true", help="of a Dask cluster")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    flags = parser.parse_args()
    run: Callable[..., Coroutine[Any, Any, int]] = rounds
    if flags.dask:
        from kill_cluster import cluster_rounds as run
    with tempfile.TemporaryDirectory() as folder:
        return min(anyio.run(run, flags.kills, flags.seed, Path(folder)), 1)


if __name__ == "__main__":
    sys.exit(main())
