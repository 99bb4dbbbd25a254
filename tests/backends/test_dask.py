"""A backend on each worker of a real Dask cluster, whose workers are in this process.

Workers in processes of their own, and kills, are in `tests/faults/test_kill_pool.py` and
`tests/cli/test_dask_words.py`.
"""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute

from stablenew.app import App, open_app
from stablenew.backends.base import Backend
from stablenew.backends.dask import actor, actor_worker, cluster
from stablenew.backends.dask.cluster import DaskCluster, dask_cluster
from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.cli.arguments import run_parser
from stablenew.cli.job import Job, read_job
from stablenew.cli.run_command import dry_run, run_job
from stablenew.config.settings import Settings
from stablenew.errors import BackendUnavailableError, ConfigError
from stablenew.events.bus import EventBus
from stablenew.learning.learning_events import (
    NodeReturned,
    NodesAwaited,
    StepFinished,
    StepMoved,
    StepStarted,
)
from stablenew.pipeline.results import Outcome
from stablenew.pipeline.stage_events import StageFinished
from tests.learning_v2.test_several_nodes import pictures, plan, records
from tests.support import Listener, config, open_handles, until

made: list[FakeBackend] = []
"""What the workers of a test made, in order; they are in this process."""

hanging: set[int] = set()
"""Which of them hang in every call, by their place."""


def fake() -> Backend:
    """Return a backend; runs on a worker."""
    hangs = len(made) in hanging
    made.append(FakeBackend(Behaviour(delay=0.004, hang=hangs)))
    return made[-1]


def nothing() -> Backend:
    raise ConfigError("STABLENEW_URL: given 2, expected one for a worker")


@pytest.fixture(autouse=True)
def quick(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    import dask

    for name in ("_LOOK_EVERY", "_LONGEST_PAUSE"):
        monkeypatch.setattr(cluster, name, 0.05)
    made.clear()
    hanging.clear()
    with dask.config.set({"temporary-directory": str(tmp_path_factory.mktemp("dask"))}):
        yield


class Machines:
    """A scheduler and its workers."""

    def __init__(self) -> None:
        import distributed

        for name in ("distributed", "distributed.client", "distributed.worker"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # each loss is told
        self._dask: Any = distributed
        self.workers: list[Any] = []
        self._port = 0

    async def start(self, *, workers: int = 0) -> None:
        self._scheduler = await self._dask.Scheduler(
            host="127.0.0.1", port=self._port, dashboard_address=":0"
        )
        self._port = self._scheduler.port
        for _ in range(workers):
            await self.add()

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self._port}"

    async def add(self) -> None:
        self.workers.append(
            await self._dask.Worker(
                self.address, nthreads=1, memory_limit=0, dashboard=False, dashboard_address=":0"
            )
        )

    async def lose(self, number: int = 0) -> None:
        """Have a worker go away, with the connections to it, and its actors with it."""
        worker = self.workers.pop(number)
        actors = [*worker.state.actors.values()]
        await worker.close(executor_wait=False, nanny=False)
        for each in actors:
            await each.end()

    async def end(self) -> None:
        while self.workers:
            await self.lose()
        await self._scheduler.close()


@asynccontextmanager
async def machines(workers: int) -> AsyncIterator[Machines]:
    started = Machines()
    await started.start(workers=workers)
    try:
        yield started
    finally:
        await started.end()


@asynccontextmanager
async def opened(
    runs: Path, here: Machines, **more: Any
) -> AsyncIterator[tuple[App, Listener, DaskCluster]]:
    settings, bus = Settings(out=runs, learning_enabled=True, **more), EventBus(strict=True)
    async with AsyncExitStack() as stack:
        found = await stack.enter_async_context(dask_cluster(here.address, fake))
        what = {"backends": found.backends, "joining": found.joining, "bus": bus}
        app = await stack.enter_async_context(open_app(settings, **what))  # type: ignore[arg-type]
        yield app, Listener(bus), found


async def run_plan(app: App) -> None:
    assert (await app.learning.run_learning_plan(plan(), config(), plan_id="p")).success


async def undisturbed(runs: Path) -> None:
    async with open_app(
        Settings(out=runs, learning_enabled=True), backends=[FakeBackend(), FakeBackend()]
    ) as app:
        await run_plan(app)


async def test_two_workers_leave_what_two_backends_do(tmp_path: Path) -> None:
    await undisturbed(tmp_path / "here")
    async with machines(2) as there, opened(tmp_path / "there", there) as (app, heard, _):
        await run_plan(app)
    assert {event.node for event in heard.of(StepFinished)} == {"dask 1", "dask 2"}
    assert [len(each.calls) for each in made] != [8, 0]
    assert pictures(tmp_path / "there") == pictures(tmp_path / "here")
    assert records(tmp_path / "there") == records(tmp_path / "here")


async def test_a_worker_that_joins_takes_steps_and_one_that_comes_takes_a_lost_ones_place(
    tmp_path: Path,
) -> None:
    await undisturbed(tmp_path / "here")
    hanging.add(1)
    async with machines(1) as there, opened(tmp_path / "there", there) as (app, heard, found):
        async with anyio.create_task_group() as group:
            group.start_soon(run_plan, app)
            await until(lambda: heard.of(StepStarted))
            app.learning.pause()
            await there.add()
            await until(lambda: len(app.backends) == 2)
            app.learning.resume()
            await until(lambda: made[1].calls)
            app.learning.pause()
            await there.lose(1)
            await until(lambda: heard.of(StepMoved))
            await there.add()
            await until(lambda: heard.of(NodeReturned))
            app.learning.resume()
        assert len(found.backends) == 2
    assert [event.node for event in heard.of(StepMoved)] == ["dask 2"]
    assert [event.node for event in heard.of(NodeReturned)] == ["dask 2"]
    assert pictures(tmp_path / "there") == pictures(tmp_path / "here")
    assert records(tmp_path / "there") == records(tmp_path / "here")


async def test_a_scheduler_that_starts_again_is_found_and_its_workers_go_on(
    tmp_path: Path,
) -> None:
    await undisturbed(tmp_path / "here")
    hanging.add(0)
    async with machines(1) as there, opened(tmp_path / "there", there) as (app, heard, _):
        async with anyio.create_task_group() as group:
            group.start_soon(run_plan, app)
            await until(lambda: made and made[0].calls)
            await there.end()
            await until(lambda: heard.of(NodesAwaited))
            await there.start(workers=1)
    assert heard.of(NodeReturned)
    assert pictures(tmp_path / "there") == pictures(tmp_path / "here")
    assert records(tmp_path / "there") == records(tmp_path / "here")


@pytest.mark.parametrize("direct", [True, False])
async def test_a_cancel_stops_the_job_on_the_worker_with_a_receipt(
    tmp_path: Path, direct: bool
) -> None:
    hanging.add(0)
    async with machines(1) as there, opened(tmp_path, there) as (app, heard, found):
        found._client.direct_to_workers = direct
        async with anyio.create_task_group() as group:
            group.start_soon(app.learning.run_learning_plan, plan(), config())
            await until(lambda: made and made[0].calls)
            app.learning.cancel_plan()
        (ended,) = heard.of(StageFinished)
        receipt = ended.result.receipt
        assert receipt is not None
        assert (receipt.call, receipt.confirmed) == ("noted", True)
        await until(lambda: not made[0]._running)


async def test_a_cancel_while_nobody_is_there_ends_at_once_and_says_what_is_not_known(
    tmp_path: Path,
) -> None:
    hanging.add(0)
    async with machines(1) as there, opened(tmp_path, there) as (app, heard, found):
        async with anyio.create_task_group() as group:
            group.start_soon(app.learning.run_learning_plan, plan(), config())
            await until(lambda: made and made[0].calls)
            await there.end()
            await until(lambda: heard.of(NodesAwaited))
            app.learning.cancel_plan()
        result = app.learning.last_result
        assert result is not None
        assert result.outcome is Outcome.CANCELLED
        receipt = await found.backends[0].interrupt("p-00001-txt2img_1")
        assert not receipt.confirmed
        assert receipt.detail == "the worker of dask 1 went away"
        await there.start()


class Never:
    """Ends nothing."""

    async def watch(self, cancel: Callable[[], None]) -> None:
        await anyio.sleep_forever()

    def leaving(self, leave: Callable[[], None]) -> AbstractContextManager[None]:
        return nullcontext()


async def test_the_command_line_asks_a_cluster_begins_a_plan_there_and_goes_on_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STABLENEW_BACKEND", "fake")  # the workers'

    def job(*words: str) -> Job:
        given = ["--dask", there.address, *words]
        return read_job(vars(run_parser().parse_args(given)), {})

    async with machines(2) as there:
        plan = ("--prompt", "a", "--sweep", "txt2img.cfg_scale=1,2,3")
        assert await dry_run(job(*plan), None) == 0
        told = capsys.readouterr().out
        assert "steps: 3, pictures: 3, backend calls: 3" in told
        assert "model='fake-model'" in told
        assert list(tmp_path.iterdir()) == []
        assert await run_job(job(*plan), Never()) == 0
        (folder,) = (each.parent for each in tmp_path.glob("runs/*/plan.json"))
        shutil.rmtree(f"{folder}-00002")
        monkeypatch.setenv("STABLENEW_BACKEND", "embedded")
        with pytest.raises(ConfigError, match="the plan began on fake 1, and this is embedded"):
            await run_job(job("--resume", str(folder)), Never())
        monkeypatch.setenv("STABLENEW_BACKEND", "fake")
        assert await run_job(job("--resume", str(folder)), Never()) == 0
    printed = capsys.readouterr()
    assert "3 steps: 1 succeeded, 2 reused" in printed.out
    assert "on dask 1" in printed.err


async def test_a_job_that_nobody_asks_for_any_more_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor, "_ASKED_WITHIN", 0.2)
    serving = actor.BackendActor(lambda: FakeBackend(Behaviour(hang=True)))
    await serving.begin()
    assert await serving.give() == b""  # what a program that was killed does not ask for
    await serving.end()


async def test_a_worker_that_says_nothing_for_too_long_has_gone_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(actor_worker, "_SILENT_FOR", 0.05)

    async def call(function: str, *_: object) -> None:
        await anyio.sleep_forever()

    pipe = actor_worker.ActorPipe(call)
    async with anyio.create_task_group() as group:
        group.start_soon(refused, pipe)
        with pytest.raises(anyio.EndOfStream):
            await pipe.receive()


async def test_a_worker_that_the_scheduler_has_no_more_is_left_whatever_its_connection_says() -> (
    None
):
    async def call(function: str, *_: object) -> None:
        await anyio.sleep_forever()

    pipe = actor_worker.ActorPipe(call)
    found = DaskCluster("tcp://a:1", fake)
    found._bound["dask 1"] = cluster._Binding("tcp://gone:1", pipe)
    async with anyio.create_task_group() as group:
        group.start_soon(refused, pipe)
        await anyio.wait_all_tasks_blocked()
        found._close_gone()
    found.close()


async def test_a_worker_that_did_not_begin_is_tried_after_the_others() -> None:
    found = DaskCluster("tcp://a:1", fake)
    found._present, found._failed = {"a", "b"}, {"a"}
    assert found._free() == "b"
    found._bound["dask 1"] = cluster._Binding("b")
    assert found._free() == "a"
    found._bound["dask 2"] = cluster._Binding("a")
    with pytest.raises(OSError, match="no worker of the cluster is free"):
        found._free()
    found.close()


async def refused(pipe: Any) -> None:
    with pytest.raises(anyio.BrokenResourceError):
        await pipe.send(b"x")


def version_there(name: str, dask_worker: object = None) -> str:
    """Return another version on a worker, which gives itself, and the real one here."""
    return "0.0.1" if dask_worker else version(name)


def none_there(name: str, dask_worker: object = None) -> str:
    if dask_worker:
        raise PackageNotFoundError(name)
    return version(name)


async def test_a_cluster_that_cannot_be_used_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with machines(0) as there:
        with pytest.raises(ConfigError, match=f"^dask: {there.address} has no workers; expected"):
            async with dask_cluster(there.address, fake):
                pass
        await there.add()
        worker = f"^dask: worker {there.workers[0].address} has"
        for told, line in (
            (version_there, rf"{worker} stablenew 0\.0\.1; expected {version('stablenew')}$"),
            (none_there, rf"{worker} no stablenew; expected {version('stablenew')}$"),
        ):
            monkeypatch.setattr(cluster, "version_of", told)
            with pytest.raises(ConfigError, match=line):
                async with dask_cluster(there.address, fake):
                    pass
        monkeypatch.setattr(cluster, "version_of", version)
        async with dask_cluster(there.address, nothing) as found:
            async with open_app(Settings(out=tmp_path), backends=found.backends) as app:
                with pytest.raises(
                    ConfigError, match=rf"{worker[:-4]}: STABLENEW_URL: given 2, exp"
                ):
                    await app.pipeline.capabilities()


async def test_a_worker_of_another_version_that_joins_is_told_and_gets_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with machines(1) as there, dask_cluster(there.address, fake) as found:
        monkeypatch.setattr(cluster, "version_of", version_there)
        await there.add()
        await until(lambda: caplog.messages)
        address = there.workers[1].address
        expected = version("stablenew")
        line = f"worker {address} has stablenew 0.0.1; expected {expected}; it gets no step"
        assert caplog.messages == [line]
        assert len(found.backends) == 1


@pytest.mark.parametrize(
    ("address", "kind", "line"),
    [
        ("nonsense", ConfigError, "^dask: given 'nonsense' .*expected a scheduler's address"),
        ("http://a:1", ConfigError, "^dask: given 'http://a:1' .*expected a scheduler's address"),
        ("tcp://127.0.0.1:99999", ConfigError, "^dask: given 'tcp:.*expected a scheduler's"),
        ("127.0.0.1:1", BackendUnavailableError, "^no Dask scheduler answers at 127.0.0.1:1$"),
        ("tcp://127.0.0.1:1", BackendUnavailableError, "^no Dask scheduler answers at tcp:"),
    ],
)
async def test_an_address_without_a_scheduler_is_one_line(
    address: str, kind: type[Exception], line: str
) -> None:
    with pytest.raises(kind, match=line):
        async with dask_cluster(address, fake):
            pass


async def test_what_listens_and_is_no_scheduler_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster, "_CONNECTS_WITHIN", 0.5)
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        address = f"tcp://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        with pytest.raises(
            BackendUnavailableError, match=f"^no Dask scheduler answers at {address}$"
        ):
            async with dask_cluster(address, fake):
                pass


async def test_without_dask_the_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"dask: is not installed; pip install 'stablenew\[dask"):
        async with dask_cluster("tcp://127.0.0.1:1", fake):
            pass


async def test_a_cluster_that_was_left_leaves_no_socket(tmp_path: Path) -> None:
    async with machines(1) as there:
        handles = 0
        for number in range(4):
            async with opened(tmp_path / str(number), there) as (app, _, _):
                await run_plan(app)
            handles = handles or open_handles()
        await until(lambda: open_handles() <= handles + 4)  # the worker has more of its own
