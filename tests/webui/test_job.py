"""Whose job is running, decided from what the server shows, look by look."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest

from stablenew.backends.answers import Answer
from stablenew.backends.server_client import ServerClient
from stablenew.backends.webui import job as job_module
from stablenew.backends.webui.calls import Call
from stablenew.backends.webui.holder import Holder
from stablenew.backends.webui.job import Job
from stablenew.backends.webui.progress import Snapshot, read_snapshot
from stablenew.backends.webui.server import Flavour, Server
from stablenew.errors import BackendRejectedError, BackendUnavailableError

BOTH_LOOPS = True
CALL = Call(path="/sdapi/v1/txt2img", content=b"{}", kind="txt2img", settings={}, size=None)
SERVER = Server(flavour=Flavour.A1111)


def shown(timestamp: str = "", *, job: str = "scripts_txt2img", **state: object) -> object:
    """Return what /progress says: idle without a timestamp."""
    busy = bool(timestamp)
    told = {"job": job if busy else "", "job_count": int(busy), "job_timestamp": timestamp, **state}
    return {"progress": 0.5 if busy else 0.0, "eta_relative": 1.0, "state": told}


def snapshot(*args: str, **how: object) -> Snapshot:
    read = read_snapshot(shown(*args, **how))  # type: ignore[arg-type]
    assert read is not None
    return read


class Scripted(ServerClient):
    """Answers looks from a list, and generations when it is told to."""

    def __init__(self, *looks: object) -> None:
        super().__init__("http://scripted")
        self.looks = list(looks)
        self.sent: list[str] = []
        self.answer = anyio.Event()
        self.task: object = None
        self.generated: Callable[[], Answer] = lambda: Answer(
            status=200, content_type="", body=b"{}"
        )

    async def get(self, path: str, *, tries: int = 3) -> object:
        await anyio.lowlevel.checkpoint()
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(look, Exception):
            raise look
        return look

    async def send(self, path: str, content: bytes | None = None) -> object:
        await anyio.lowlevel.checkpoint()
        self.sent.append(path)
        return self.task

    async def generate(
        self,
        path: str,
        content: bytes,
        arriving: Callable[[], None],
        leaving: Callable[[], None] = lambda: None,
    ) -> Answer:
        await self.answer.wait()
        return self.generated()


def make(client: Scripted, before: Snapshot | None, task_id: str | None = None) -> Job:
    return Job(client, SERVER, "r-1", task_id, CALL, before)


async def holders(before: Snapshot | None, *looks: object) -> list[Holder]:
    job = make(Scripted(*looks), before)
    found = []
    for _ in looks:
        await job.look()
        found.append(job.holder)
    return found


async def test_what_begins_on_an_idle_server_is_ours() -> None:
    looks = (shown(), shown("T1"), shown("T1"), shown())
    assert await holders(snapshot(), *looks) == ["nobody", "ours", "ours", "nobody"]


async def test_what_ran_before_is_somebody_elses_and_what_follows_is_unclear() -> None:
    looks = (shown("T1"), shown("T2"), shown("T2"))
    assert await holders(snapshot("T1"), *looks) == ["others", "unclear", "unclear"]


async def test_what_ended_while_we_had_no_answer_was_not_ours_and_makes_the_next_unclear() -> None:
    looks = (shown("T1"), shown("T2"), shown("T1"))
    assert await holders(snapshot(), *looks) == ["ours", "unclear", "others"]


async def test_what_begins_later_than_two_seconds_is_unclear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_module, "_CLEAR_WITHIN", -1.0)
    assert await holders(snapshot(), shown("T1")) == ["unclear"]


async def test_the_trace_of_a_failed_upscale_is_nobodys_however_often_it_is_seen() -> None:
    trace = shown("T0", job="Upscale")
    assert isinstance(trace, dict)
    trace["progress"] = 1.0
    before = read_snapshot(trace)
    assert await holders(before, trace, trace, shown("T1")) == ["nobody", "nobody", "ours"]


def test_an_upscale_under_way_is_no_trace_of_one() -> None:
    assert not snapshot("T1", job="Upscale").leftover


async def test_a_look_that_fails_leaves_nothing_known() -> None:
    gone = BackendUnavailableError("reset", retryable=True)
    looks = (shown("T1"), gone, shown("T1"))
    assert await holders(snapshot(), *looks) == ["ours", "unclear", "ours"]


async def test_a_task_that_the_server_does_not_know_is_nobodys() -> None:
    client = Scripted(shown("T1"))
    job = make(client, snapshot(), "task(1)")
    found = []
    for state in ({"active": True}, {"active": False, "queued": True}, {"active": False}):
        client.task = {"progress": 0.1, **state}
        await job.look()
        found.append(job.holder)
    assert found == ["ours", "others", "nobody"]


async def hunted(client: Scripted, job: Job, seconds: float = 0.35) -> int:
    """Hunt a job for a while; return how often the server was asked to stop it."""
    with anyio.move_on_after(seconds):
        await job.hunt()
    return sum(path == job_module.INTERRUPT for path in client.sent)


async def test_an_interrupt_is_sent_only_after_a_look_that_says_ours() -> None:
    client = Scripted(shown("T1"))
    assert await hunted(client, make(client, snapshot())) >= 1


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (snapshot("T1"), shown("T1")),
        (snapshot("T1"), shown("T2")),
        (snapshot(), shown()),
        (snapshot(), BackendUnavailableError("reset")),
        (snapshot(), BackendRejectedError("500", status=500)),
        (None, shown("T1")),
    ],
)
async def test_nothing_is_interrupted_that_is_not_known_to_be_ours(
    before: Snapshot | None, now: object
) -> None:
    client = Scripted(now)
    assert await hunted(client, make(client, before)) == 0


async def test_what_was_ours_a_moment_ago_is_looked_at_again_first() -> None:
    client = Scripted(shown("T1"), shown("T2"))
    job = make(client, snapshot())
    await job.look()
    assert job.holder == "ours"
    assert await hunted(client, job) == 0


async def test_nothing_is_interrupted_once_the_answer_is_arriving() -> None:
    client = Scripted(shown("T1"))
    job = make(client, snapshot())
    job.arrived = 1
    assert await hunted(client, job) == 0


async def test_an_interrupt_that_the_server_refuses_ends_nothing() -> None:
    class Refusing(Scripted):
        async def send(self, path: str, content: bytes | None = None) -> object:
            await super().send(path, content)
            raise BackendRejectedError("no", status=500)

    client = Refusing(shown("T1"))
    assert await hunted(client, make(client, snapshot())) >= 2


@pytest.mark.parametrize("flag", ["interrupted", "skipped"])
async def test_somebody_elses_interrupt_is_noticed_while_it_runs(flag: str) -> None:
    told = {flag: True}
    job = make(Scripted(shown("T1", job="scripts_txt2img", **told)), snapshot())
    await job.look()
    assert job.stopped_by_others


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_proxy_that_gives_up_leaves_a_job_that_is_stopped_first(status: int) -> None:
    client = Scripted(shown("T1"), shown("T1"), shown("T1"), shown("T1"), shown())
    client.generated = lambda: Answer(status=status, content_type="", body=b"")
    job = make(client, snapshot())
    await job.look()
    client.answer.set()
    await job.run()
    assert job_module.INTERRUPT in client.sent
    assert isinstance(job.error, BackendUnavailableError)
    assert job.gone


async def test_settling_does_not_touch_somebody_elses_job_and_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_module, "_SETTLED_WITHIN", 0.4)
    client = Scripted(shown("T1"))

    def lost() -> Answer:
        raise BackendUnavailableError("reset", retryable=True)

    client.generated = lost
    client.answer.set()
    job = make(client, snapshot("T1"))
    await job.run()
    assert client.sent == []
    assert job.ended.is_set()
    assert not job.gone


async def test_settling_goes_on_when_a_look_fails() -> None:
    reset = BackendUnavailableError("reset", retryable=True)
    client = Scripted(shown("T1"), reset, reset, shown("T1"), shown("T1"), shown())
    client.generated = lambda: Answer(status=504, content_type="", body=b"")
    job = make(client, snapshot())
    await job.look()
    client.answer.set()
    await job.run()
    assert job_module.INTERRUPT in client.sent
    assert job.gone


async def test_whatever_goes_wrong_in_a_request_is_an_error_of_its_job_alone() -> None:
    client = Scripted(shown())

    def broken() -> Answer:
        raise KeyError("a bug")

    client.generated = broken
    client.answer.set()
    job = make(client, snapshot())
    await job.run()
    assert "a bug" in str(job.error)


async def test_a_job_that_the_server_has_forgotten_is_given_up() -> None:
    client = Scripted(shown())
    job = make(client, snapshot())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(job.run)
        await anyio.lowlevel.checkpoint()
        job.forget()
        await job.ended.wait()
    assert isinstance(job.error, BackendUnavailableError)
    assert job.error.retryable
