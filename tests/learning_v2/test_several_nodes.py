"""A plan on several backends at once: what each does, what one that dies costs, what is kept."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from stablenew._clock import Clock
from stablenew.app import App, open_app
from stablenew.backends.base import Backend, Capabilities, Picture, ReportProgress, StageRequest
from stablenew.backends.fake import FAKE_CAPABILITIES, Behaviour, FakeBackend
from stablenew.config.settings import Settings
from stablenew.errors import BackendUnavailableError, ConfigError
from stablenew.events.bus import EventBus
from stablenew.learning.learning_adapter import prepare_learning_run
from stablenew.learning.learning_events import (
    NodeReturned,
    NodesAwaited,
    NodeSetAside,
    PlanFinished,
    PlanPaused,
    StepFinished,
    StepMoved,
    StepStarted,
)
from stablenew.learning.learning_execution import LearningExecutionRunner
from stablenew.learning.learning_plan import LearningPlan
from stablenew.learning.nodes import OneNode
from stablenew.pipeline.results import Outcome, PipelineRunResult
from stablenew.pipeline.run_request import RunRequest
from stablenew.pipeline.stage_events import StageFinished
from tests.support import Listener, config, pass_time, rounds, ticking_clock


@attrs.define(eq=False)
class Server(FakeBackend):
    """A backend that can go away, with a name of its own.

    Attributes:
        dies_at: The calls that it goes away in.
        away: Whether nobody answers.
        comes_back: Whether it is back as soon as it is looked for.
    """

    url: str
    behaviour: Behaviour | Callable[[StageRequest, int], Behaviour] = Behaviour()
    dies_at: Sequence[int] = ()
    told: Capabilities = FAKE_CAPABILITIES
    away: bool = False
    comes_back: bool = True

    def __attrs_post_init__(self) -> None:
        super().__init__(self.behaviour, capabilities=self.told)

    async def capabilities(self) -> Capabilities:
        if self.away and not self.comes_back:
            raise BackendUnavailableError("nobody answers")
        self.away = False
        return await super().capabilities()

    async def run_stage(self, request: StageRequest, report: ReportProgress) -> Sequence[Picture]:
        self.away = self.away or len(self.calls) + 1 in self.dies_at
        if self.away:
            self.calls.append(request)
            await report(0.5)
            raise BackendUnavailableError(f"{self.url} is gone", retryable=True)
        return await super().run_stage(request, report)


def plan(steps: int = 8, **more: Any) -> LearningPlan:
    return LearningPlan(
        target_variable="txt2img.cfg_scale", sweep_values=range(1, steps + 1), **more
    )


SLOW = Behaviour(delay=0.004)
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


@asynccontextmanager
async def opened(
    runs: Path, *backends: Backend, clock: Clock = Clock(), **more: Any
) -> AsyncIterator[tuple[App, Listener]]:
    settings = Settings(out=runs, learning_enabled=True, **more)
    bus = EventBus(strict=True)
    async with open_app(settings, backends=backends, bus=bus, clock=clock) as app:
        yield app, Listener(bus)


def pictures(runs: Path, plan_id: str = "p") -> dict[str, bytes]:
    return {
        path.relative_to(runs).as_posix(): path.read_bytes()
        for path in sorted(runs.glob(f"{plan_id}-*/*.png"))
    }


def records(runs: Path) -> list[tuple[Any, ...]]:
    """Return what the records say that is not of the moment, in the order of their runs."""
    found = []
    for line in (runs / "learning_records.jsonl").read_text().splitlines():
        record = json.loads(line)
        outputs = [(each["path"], each["sha256"], each["seed"]) for each in record["outputs"]]
        kept = ("base_config", "variant_configs", "metadata", "stage_plan", "primary_model")
        found.append((record["run_id"], outputs, *(record[name] for name in kept)))
    return sorted(found, key=lambda each: each[0])


async def undisturbed(runs: Path, steps: int = 8) -> None:
    async with opened(runs, Server("one")) as (app, _):
        assert (await app.learning.run_learning_plan(plan(steps), config(), plan_id="p")).success
        await app.reports.drained()


async def test_steps_are_shared_and_results_are_in_the_plans_order(tmp_path: Path) -> None:
    servers = [Server(url, SLOW) for url in "abc"]
    async with opened(tmp_path / "runs", *servers) as (app, heard):
        result = await app.learning.run_learning_plan(plan(12), config(), plan_id="p")
    assert [each.step.index for each in result.step_results] == list(range(12))
    assert result.success
    assert all(len(server.calls) >= 2 for server in servers)
    assert max(server.most_running for server in servers) == 1
    nodes = {event.index: event.node for event in heard.of(StepFinished)}
    made = {call.request_id.split("-")[1]: s.url for s in servers for call in s.calls}
    assert nodes == {int(number) - 1: node for number, node in made.items()}
    metadata = json.loads((tmp_path / "runs/p-00001/run_metadata.json").read_text())
    assert metadata["node"] == nodes[0]


async def test_several_leave_the_same_pictures_and_records_as_one(tmp_path: Path) -> None:
    await undisturbed(tmp_path / "one")
    async with opened(tmp_path / "several", *(Server(url, SLOW) for url in "abc")) as (app, _):
        await app.learning.run_learning_plan(plan(), config(), plan_id="p")
        await app.reports.drained()
    sheets = [(tmp_path / n / "p/contact_sheet.png").read_bytes() for n in ("one", "several")]
    assert sheets[0] == sheets[1]
    assert pictures(tmp_path / "several") == pictures(tmp_path / "one")
    assert records(tmp_path / "several") == records(tmp_path / "one")


async def test_a_pool_of_one_leaves_the_same_bytes_as_one_backend(tmp_path: Path) -> None:
    still = attrs.evolve(ticking_clock(), now=lambda: NOON, monotonic=lambda: 0.0)
    for name in ("one", "pool"):
        server = FakeBackend()
        how: dict[str, Any] = {"backend": server} if name == "one" else {"backends": [server]}
        settings = Settings(out=tmp_path / name, learning_enabled=True)
        async with open_app(settings, clock=still, **how) as app:
            await app.learning.run_learning_plan(plan(2), config(), plan_id="p")
    one, pool = (
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file() and path.name[0] != "." and path.name != "report_data.js"
        }
        for name in ("one", "pool")
    )
    assert one.keys() == pool.keys()
    seconds = re.compile(rb'"seconds": ?[0-9.e-]+')  # how long the picture took, by the real clock
    for path in one:
        assert seconds.sub(b"", one[path]) == seconds.sub(b"", pool[path]), path
    assert b'"node"' not in one[Path("p-00001/run_metadata.json")]


async def test_a_node_that_lacks_a_model_gets_no_step_that_needs_it(tmp_path: Path) -> None:
    less = attrs.evolve(FAKE_CAPABILITIES, models=("fake-model",))
    servers = [Server("a", SLOW), Server("less", SLOW, told=less)]
    models = LearningPlan(
        axes=[
            *plan(4).axes,
            *LearningPlan(
                target_variable="txt2img.model", sweep_values=["fake-model", "other-model"]
            ).axes,
        ]
    )
    async with opened(tmp_path / "runs", *servers) as (app, _):
        assert (await app.learning.run_learning_plan(models, config())).success
    assert {call.settings["model"] for call in servers[1].calls} == {"fake-model"}
    assert Counter(call.settings["model"] for call in servers[0].calls)["other-model"] == 4


async def test_what_nobody_has_is_an_error_before_the_start(tmp_path: Path) -> None:
    model = attrs.evolve(FAKE_CAPABILITIES, models=("other-model",), samplers=("Euler",))
    sampler = attrs.evolve(FAKE_CAPABILITIES, models=("fake-model",))
    servers = [Server("a", told=model), Server("b", told=sampler)]
    async with opened(tmp_path / "runs", *servers) as (app, heard):
        with pytest.raises(ConfigError, match="Heun"):
            await app.learning.run_learning_plan(plan(2), config(txt2img={"sampler_name": "Heun"}))
        both: dict[str, object] = {"sampler_name": "DPM++ 2M", "model": "other-model"}
        with pytest.raises(ConfigError, match="none of them has all that is asked for"):
            await app.learning.run_learning_plan(plan(2), config(txt2img=both))
    assert heard.events == []


async def test_a_node_that_dies_costs_the_picture_in_the_making_alone(tmp_path: Path) -> None:
    await undisturbed(tmp_path / "one")
    runs = tmp_path / "several"
    servers = [Server("a", SLOW), Server("b", SLOW, dies_at=[2], comes_back=False)]
    async with opened(runs, *servers) as (app, heard):
        result = await app.learning.run_learning_plan(plan(), config(), plan_id="p")
    assert result.success
    assert pictures(runs) == pictures(tmp_path / "one")
    assert records(runs) == records(tmp_path / "one")
    (moved,) = heard.of(StepMoved)
    assert (moved.node, moved.error and moved.error.kind) == ("b", "BackendUnavailableError")
    again = [event.node for event in heard.of(StepStarted) if event.index == moved.index]
    assert again == ["b", "a"]
    assert [e.node for e in heard.of(StepFinished) if e.index == moved.index] == ["a"]
    assert sum(len(server.calls) for server in servers) == 9


async def test_a_node_that_is_back_gets_steps_again(tmp_path: Path) -> None:
    def then(request: StageRequest, call: int) -> Behaviour:
        if servers[1].away:
            pass_time(1.0)
        return SLOW

    servers = [Server("a", then), Server("b", SLOW, dies_at=[2])]
    async with opened(tmp_path / "runs", *servers) as (app, heard):
        assert (await app.learning.run_learning_plan(plan(16), config())).success
    assert [event.node for event in heard.of(NodeReturned)] == ["b"]
    assert len(servers[1].calls) > 2


async def test_a_step_that_takes_three_nodes_with_it_has_failed(tmp_path: Path) -> None:
    class Poisoned(Server):
        async def run_stage(
            self, request: StageRequest, report: ReportProgress
        ) -> Sequence[Picture]:
            if request.settings["cfg_scale"] == 2:
                self.away = True
            return await super().run_stage(request, report)

    servers = [Poisoned(url, SLOW) for url in "abcd"]
    async with opened(tmp_path / "runs", *servers) as (app, heard):
        result = await app.learning.run_learning_plan(plan(), config())
    assert [each.step.value for each in result.step_results if not each.outcome.good] == [2]
    assert result.summary["succeeded"] == 7
    assert [event.value for event in heard.of(StepMoved)] == [2, 2]


async def test_a_node_that_fails_while_others_succeed_is_set_aside_and_told(
    tmp_path: Path,
) -> None:
    bad = Server("bad", Behaviour(delay=0.004, error=BackendUnavailableError("out of memory")))
    bad.behaviour = Behaviour(error=RuntimeError("out of memory"))
    bad.__attrs_post_init__()
    async with opened(tmp_path / "runs", Server("a", SLOW), bad) as (app, heard):
        result = await app.learning.run_learning_plan(plan(30), config())
    assert [event.node for event in heard.of(NodeSetAside)] == ["bad"]
    assert len(bad.calls) < 8
    assert result.summary["failed"] == len(bad.calls)
    assert result.summary["not_run"] == 0


async def test_while_nobody_is_there_the_plan_waits(tmp_path: Path) -> None:
    servers = [Server(url, SLOW, dies_at=[2]) for url in "ab"]
    async with opened(tmp_path / "runs", *servers, wait_for_server=0.2) as (app, heard):
        result = await app.learning.run_learning_plan(plan(), config())
    assert result.success
    assert heard.of(NodesAwaited)


async def test_a_plan_whose_nodes_stay_away_ends_and_goes_on_later(tmp_path: Path) -> None:
    await undisturbed(tmp_path / "one")
    runs = tmp_path / "several"
    servers = [Server(url, SLOW, dies_at=[2], comes_back=False) for url in "ab"]
    async with opened(runs, *servers, wait_for_server=0.05) as (app, heard):
        result = await app.learning.run_learning_plan(plan(), config(), plan_id="p")
    assert result.outcome is Outcome.FAILED
    assert "no server was there for 0.05 s" in str(result.error)
    assert len(heard.of(StepMoved)) == 2
    starts, ends = heard.of(StepStarted), heard.of(StepFinished)
    assert {event.index for event in starts} == {event.index for event in ends}
    assert len(ends) == len({event.index for event in ends})
    async with opened(runs, *(Server(url) for url in "ab")) as (app, _):
        assert (await app.learning.resume_plan("p")).success
    assert pictures(runs) == pictures(tmp_path / "one")
    assert records(runs) == records(tmp_path / "one")


async def test_a_cancel_interrupts_every_nodes_job_with_a_receipt_each(tmp_path: Path) -> None:
    servers = [Server(url, Behaviour(hang=True)) for url in "abc"]
    async with opened(tmp_path / "runs", *servers) as (app, heard):
        async with anyio.create_task_group() as group:
            group.start_soon(app.learning.run_learning_plan, plan(), config())
            while not all(server.calls for server in servers):
                await anyio.sleep(0.001)
            app.learning.cancel_plan()
    result = app.learning.last_result
    assert result is not None
    assert result.outcome is Outcome.CANCELLED
    assert [each.outcome for each in result.step_results] == [Outcome.CANCELLED] * 3
    assert all(server.interrupts == [server.calls[0].request_id] for server in servers)
    receipts = [event.result.receipt for event in heard.of(StageFinished)]
    assert all(receipt and receipt.confirmed for receipt in receipts)
    assert heard.of(PlanFinished)


async def test_of_several_steps_under_way_none_is_blamed_for_a_kill(tmp_path: Path) -> None:
    def noted(request: StageRequest, call: int) -> Behaviour:
        blamed.append((tmp_path / "runs/.under_way/p").read_bytes())
        return SLOW

    for count in (1, 2):
        blamed: list[bytes] = []
        servers = [Server(url, noted) for url in "ab"[:count]]
        async with opened(tmp_path / "runs", *servers, reuse=False) as (app, _):
            await app.learning.run_learning_plan(plan(6), config(), plan_id="p")
        shutil.rmtree(tmp_path / "runs")
        assert blamed == [b"%d\n" % n for n in range(6)] if count == 1 else b"" in blamed[1:]


async def test_one_of_several_steps_can_be_cancelled(tmp_path: Path) -> None:
    def hangs(request: StageRequest, call: int) -> Behaviour:
        return Behaviour(hang=request.settings["cfg_scale"] == 2)

    servers = [Server(url, hangs) for url in "ab"]
    async with opened(tmp_path / "runs", *servers) as (app, _):
        async with anyio.create_task_group() as group:
            group.start_soon(app.learning.run_learning_plan, plan(4), config())
            while sum(len(server.calls) for server in servers) < 4:
                await anyio.sleep(0.001)
            app.learning.cancel_step(0)  # it is done: nothing happens
            app.learning.cancel_step(1)
    result = app.learning.last_result
    assert result is not None
    ended = [each.outcome for each in result.step_results]
    assert [str(each) for each in ended] == ["succeeded", "cancelled", "succeeded", "succeeded"]


async def test_a_pause_lets_all_steps_end_and_is_told_once(tmp_path: Path) -> None:
    servers = [Server(url, SLOW) for url in "abc"]
    async with opened(tmp_path / "runs", *servers) as (app, heard):
        async with anyio.create_task_group() as group:
            group.start_soon(app.learning.run_learning_plan, plan(9), config())
            while not all(server.calls for server in servers):
                await anyio.sleep(0.001)
            app.learning.pause()
            while not heard.of(PlanPaused):
                await anyio.sleep(0.001)
            assert heard.names().count("StepStarted") == heard.names().count("StepFinished")
            calls = sum(len(server.calls) for server in servers)
            await anyio.sleep(0.02)
            assert sum(len(server.calls) for server in servers) == calls
            app.learning.resume()
    assert heard.names().count("PlanPaused") == heard.names().count("PlanResumed") == 1
    assert app.learning.last_result is not None
    assert app.learning.last_result.success


async def test_a_pause_is_told_also_where_the_last_to_end_has_no_next_step(tmp_path: Path) -> None:
    gate = anyio.Event()

    class Gated(Server):
        async def run_stage(
            self, request: StageRequest, report: ReportProgress
        ) -> Sequence[Picture]:
            if request.settings["cfg_scale"] == 2:
                await gate.wait()
            return await super().run_stage(request, report)

    servers = [Gated(url) for url in "ab"]
    async with opened(tmp_path / "runs", *servers) as (app, heard):
        async with anyio.create_task_group() as group:
            group.start_soon(app.learning.run_learning_plan, plan(3), config())
            while not heard.of(StepStarted):
                await anyio.sleep(0.001)
            app.learning.pause()
            while len(heard.of(StepFinished)) < 1:
                await anyio.sleep(0.001)
            gate.set()
            while not heard.of(PlanPaused):
                await anyio.sleep(0.001)
            app.learning.resume()
    assert app.learning.last_result is not None
    assert app.learning.last_result.success


async def test_whoever_has_nothing_to_do_takes_the_step_of_one_that_dies(tmp_path: Path) -> None:
    class Late(Server):
        async def run_stage(
            self, request: StageRequest, report: ReportProgress
        ) -> Sequence[Picture]:
            while len(servers[0].calls) < 1:
                await anyio.sleep(0.001)
            await anyio.sleep(0.02)
            return await super().run_stage(request, report)

    servers = [Server("a"), Late("b", dies_at=[1], comes_back=False)]
    async with opened(tmp_path / "runs", *servers) as (app, heard):
        result = await app.learning.run_learning_plan(plan(2), config())
    assert result.success
    assert [event.node for event in heard.of(StepFinished)] == ["a", "a"]


async def test_a_node_that_was_set_aside_stays_so_in_what_an_exploration_adds() -> None:
    class Nodes(OneNode):
        names = ("a", "bad")
        several = True

    class Twice:
        rounds = 0
        over = had_enough = False

        def stop(self) -> None:
            raise AssertionError

        def take(self, result: object, outputs: object) -> None:
            pass

        async def rate_all(self) -> None:
            pass

        async def next_cells(self, tell: object) -> Sequence[int]:
            self.rounds += 1
            return range(20, 28) if self.rounds == 1 else ()

    async def run(request: RunRequest) -> PipelineRunResult:
        ran.append((request.node, request.run_id))
        await anyio.sleep(0.001)
        if request.node == "bad":
            raise RuntimeError("out of memory")
        return PipelineRunResult(run_id=request.run_id, outcome=Outcome.SUCCEEDED)

    ran: list[tuple[str | None, str]] = []
    what = LearningPlan(
        target_variable="txt2img.cfg_scale", sweep_values=range(1, 21), bounds=(1, 200)
    )
    context = prepare_learning_run(what, config(), plan_id="p")
    await LearningExecutionRunner(run, nodes=Nodes()).run(context, Twice())
    assert len([node for node, _ in ran if node == "bad"]) == 3
    assert {node for node, run_id in ran if run_id > "p-00020"} == {"a"}


async def test_each_of_several_steps_has_its_own_deadline(tmp_path: Path) -> None:
    def hangs(request: StageRequest, call: int) -> Behaviour:
        return Behaviour(hang=request.settings["cfg_scale"] == 2)

    servers = [Server(url, hangs) for url in "ab"]
    async with opened(tmp_path / "runs", *servers, step_timeout=0.3) as (app, _):
        result = await app.learning.run_learning_plan(plan(6), config())
    ended = {each.step.value: each.outcome for each in result.step_results}
    assert ended.pop(2) is Outcome.TIMED_OUT
    assert set(ended.values()) == {Outcome.SUCCEEDED}


async def test_servers_of_several_kinds_are_refused_unless_they_are_wanted(tmp_path: Path) -> None:
    other = attrs.evolve(FAKE_CAPABILITIES, backend="other")
    for mix in (False, True):
        servers = [Server("a"), Server("b", told=other)]
        async with opened(tmp_path / "runs", *servers, mix_servers=mix) as (app, _):
            if mix:
                assert (await app.learning.run_learning_plan(plan(4), config())).success
            else:
                with pytest.raises(ConfigError, match="a is fake, b is other: their pictures"):
                    await app.learning.run_learning_plan(plan(4), config())


async def test_servers_of_several_versions_are_told_and_resumed(tmp_path: Path) -> None:
    newer = attrs.evolve(FAKE_CAPABILITIES, version="2")
    async with opened(tmp_path / "runs", Server("a"), Server("b", told=newer)) as (app, _):
        await app.learning.run_learning_plan(plan(4), config(), plan_id="p")
        assert app.pool.notes == ("the servers differ: a fake 1, b fake 2; so may their pictures",)
    servers = [Server("b", told=newer), Server("a")]
    async with opened(tmp_path / "runs", *servers) as (app, _):
        result = await app.learning.resume_plan("p")
    assert result.summary["reused"] == 4
    assert not any(server.calls for server in servers)


async def test_servers_that_draw_on_several_gpus_are_told_once(tmp_path: Path) -> None:
    cards = (("a", "RTX 3090"), ("b", "RTX 4090"), ("c", "RTX 3090"), ("d", ""))
    servers = [Server(url, told=attrs.evolve(FAKE_CAPABILITIES, gpu=gpu)) for url, gpu in cards]
    async with opened(tmp_path / "runs", *servers) as (app, _):
        await app.learning.run_learning_plan(plan(4), config(), plan_id="p")
        await app.learning.run_learning_plan(plan(4), config(), plan_id="q")
        assert app.pool.notes == (
            "the servers draw on several GPUs (a: RTX 3090, b: RTX 4090, c: RTX 3090):"
            " their pictures may differ in their last bits",
        )
    other = attrs.evolve(FAKE_CAPABILITIES, backend="other", gpu="a GPU of 24 GB")
    alike = [servers[0], *servers[2:], Server("e", told=other)]
    async with opened(tmp_path / "runs", *alike, mix_servers=True) as (app, _):
        await app.pipeline.capabilities()
        assert not any("GPU" in note for note in app.pool.notes)


async def test_a_server_that_does_not_answer_at_first_is_named_or_left_out(tmp_path: Path) -> None:
    for skip in (False, True):
        servers = [Server("a"), Server("http://gone", away=True, comes_back=False)]
        async with opened(tmp_path / "runs", *servers, skip_unreachable=skip) as (app, _):
            if skip:
                assert (await app.learning.run_learning_plan(plan(2), config())).success
                assert app.pool.notes == ("left out: http://gone: nobody answers",)
            else:
                with pytest.raises(BackendUnavailableError, match="http://gone"):
                    await app.learning.run_learning_plan(plan(2), config())


async def test_a_single_run_goes_to_a_node_that_has_what_it_needs(tmp_path: Path) -> None:
    less = attrs.evolve(FAKE_CAPABILITIES, models=("fake-model",))
    servers = [Server("less", told=less), Server("a")]
    async with opened(tmp_path / "runs", *servers) as (app, _):
        run = await app.pipeline.run_pipeline(config(txt2img={"model": "other-model"}))
    assert run.success
    assert [len(server.calls) for server in servers] == [0, 1]


async def test_whatever_dies_when_no_step_is_lost_or_recorded_twice(tmp_path: Path) -> None:
    await undisturbed(tmp_path / "one", 12)
    for seed in range(rounds(4, 60)):
        runs = tmp_path / str(seed)
        dies = [(seed * 7 + number * 3) % 5 + 1 for number in range(3)]
        servers = [Server(url, SLOW, dies_at=[at]) for url, at in zip("abc", dies, strict=True)]
        async with opened(runs, *servers, wait_for_server=0.2) as (app, _):
            result = await app.learning.run_learning_plan(plan(12), config(), plan_id="p")
        assert result.success, result.summary
        assert pictures(runs) == pictures(tmp_path / "one")
        assert records(runs) == records(tmp_path / "one")
