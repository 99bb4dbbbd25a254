"""What tests share: a store in memory, a listener, and the sweep of moments."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import time
import types
from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import anyio
import attrs
import sniffio
import trio
from anyio.lowlevel import checkpoint

from stablenew._clock import Clock
from stablenew.backends.base import InterruptReceipt, Picture, ReportProgress, StageRequest
from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.events.bus import EventBus
from stablenew.events.event import Event
from stablenew.events.mailbox import Overflow
from stablenew.pipeline.picture_index import INDEX_FILE
from stablenew.pipeline.pixel_digest import pixel_digest
from stablenew.pipeline.results import PipelineRunResult, StageOutput
from stablenew.pipeline.run_request import RunRequest

THOROUGH = bool(os.environ.get("STABLENEW_THOROUGH"))
"""Whether every sweep takes all its moments, as `make test-thorough` has it."""

ASYNCIO = ("asyncio", {"debug": THOROUGH})  # which keeps a stack for each call: a third of the time
BOTH = [ASYNCIO, ("trio", {})]

T = TypeVar("T")
E = TypeVar("E", bound=Event)


@attrs.define(eq=False)
class MemoryStore:
    """Keeps pictures in memory, for tests that touch no file."""

    pictures: dict[str, bytes] = attrs.field(factory=dict)
    results: list[PipelineRunResult] = attrs.field(factory=list)
    save_error: OSError | None = None
    conclude_error: Exception | None = None

    async def save(
        self,
        run_id: str,
        stage: str,
        number: int,
        picture: Picture,
        fingerprint: str = "",
        seconds: float | None = None,
    ) -> StageOutput:
        if self.save_error:
            raise self.save_error
        path = f"{run_id}/{stage}_{number}.png"
        assert path not in self.pictures
        self.pictures[path] = picture.data
        return StageOutput(
            stage=stage,
            image_id=f"{stage}_{number}",
            path=path,
            width=picture.width,
            height=picture.height,
            sha256="0" * 64,
            settings=picture.settings,
            ignored_words=picture.ignored_words,
            fingerprint=fingerprint,
            pixels=pixel_digest(picture.data),
        )

    async def reuse(
        self, run_id: str, stage: str, number: int, fingerprint: str
    ) -> StageOutput | None:
        return None

    async def has(self, fingerprint: str) -> bool:
        return False

    async def load(self, output: StageOutput) -> bytes:
        return self.pictures[output.path]

    async def conclude(self, result: PipelineRunResult) -> None:
        if self.conclude_error:
            raise self.conclude_error
        self.results.append(result)


class AheadBackend(FakeBackend):
    """Begins what is announced to it at once, and keeps it until it is asked for or stopped.

    Attributes:
        begun: What was announced, and neither asked for nor stopped.
        log: What was announced, asked for, stopped, in order: `announced run-1-txt2img_2`, …
        act: Called with each of those lines.
    """

    def __init__(
        self, behaviour: Behaviour | Callable[[StageRequest, int], Behaviour] = Behaviour()
    ) -> None:
        super().__init__(behaviour)
        self.begun: dict[str, StageRequest] = {}
        self.log: list[str] = []
        self.act: Callable[[str], None] = lambda _: None

    def _note(self, line: str) -> None:
        self.log.append(line)
        self.act(line)

    async def announce(self, request: StageRequest) -> None:
        assert not self.begun, "one at a time"
        self.begun[request.request_id] = request
        self._note(f"announced {request.request_id}")
        await checkpoint()

    async def run_stage(self, request: StageRequest, report: ReportProgress) -> Sequence[Picture]:
        self._note(f"asked {request.request_id}")
        announced = self.begun.pop(request.request_id, request)
        assert attrs.evolve(announced, previews=request.previews) == request
        return await super().run_stage(request, report)

    async def interrupt(self, request_id: str) -> InterruptReceipt:
        self.begun.pop(request_id, None)
        self._note(f"stopped {request_id}")
        return await super().interrupt(request_id)


class Listener:
    """Hears everything on a bus, in order, and loses nothing."""

    def __init__(self, bus: EventBus) -> None:
        self.events: list[Event] = []
        self._bus = bus
        bus.subscribe(Event, self._take, overflow=Overflow.WAIT, name="listener")

    async def _take(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def names(self, *without: type[Event]) -> list[str]:
        return [type(event).__name__ for event in self.events if not isinstance(event, without)]


def rounds(few: int, all_of_them: int) -> int:
    """Return how often a test goes round: a few times, or as often as it is worth waiting for."""
    return all_of_them if THOROUGH else few


def moments(every: int, first: int = 1) -> Iterator[int]:
    """Yield the moments of a sweep, one of so many; thoroughly, all of them.

    Args:
        every: How many moments each one stands for.
        first: Where to begin, so that the cases of a sweep differ in what they take.
    """
    return itertools.count(1) if THOROUGH else itertools.count(1 + (first - 1) % every, every)


async def until(condition: Callable[[], object], seconds: float = 50) -> None:
    """Wait until something is so that has no event of ours."""
    with anyio.fail_after(seconds):
        while not condition():
            await anyio.sleep(0.005)


def pass_time(seconds: float) -> None:
    """Let the running loop's time jump: what has a deadline by then is late, on a slow machine too.

    For what is to be late alone, while nothing else is: a real deadline would have to be short, and
    the machine may be slower.
    """
    if sniffio.current_async_library() == "trio":
        clock: Any = trio.lowlevel.current_clock()
        object.__setattr__(clock, "offset", clock.offset + seconds)  # frozen for everybody else
        return
    loop = asyncio.get_running_loop()
    before = loop.time
    loop.time = lambda: before() + seconds  # type: ignore[method-assign]


def ticking_clock() -> Clock:
    """Return a clock that moves a second with every look, and ids that count."""
    start = datetime(2026, 11, 20, 12, tzinfo=UTC)
    looks = iter(range(10**9))
    seconds = iter(range(10**9))
    ids = iter(range(10**9))
    return Clock(
        now=lambda: start + timedelta(seconds=next(looks)),
        monotonic=lambda: float(next(seconds)),
        token=lambda: f"{next(ids):06x}",
        draw_seed=lambda: 1234,
    )


def config(**stages: dict[str, object]) -> PipelineConfig:
    """Return a config with a prompt and a seed; a stage that is named is on."""
    txt2img = {"prompt": "a cat", "seed": 1, **stages.pop("txt2img", {})}
    on = {name: {"enabled": True, **settings} for name, settings in stages.items()}
    return PipelineConfig.from_dict({"txt2img": txt2img, **on})


def request(run_id: str = "run-1", *, images: int = 1, **stages: dict[str, object]) -> RunRequest:
    return RunRequest(run_id=run_id, config=config(**stages), images=images)


def open_handles() -> int:
    """Count this process's open file descriptors."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # one call, no objects


def live_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def wait_for_threads(before: set[str], seconds: float = 50) -> None:
    """See that the threads that are there are those of before; they take a moment to end."""
    end = time.monotonic() + seconds
    while not live_threads() <= before:
        assert time.monotonic() < end, live_threads() - before
        time.sleep(0.01)


def leftovers(folder: Path) -> list[str]:
    """Return the temporary files under a folder; a record file's helpers and the index are none."""
    kept = (".lock", ".spare0", ".spare1", INDEX_FILE)
    return [p.name for p in folder.rglob(".*") if p.is_file() and not p.name.endswith(kept)]


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@types.coroutine
def _stepped(
    coroutine: Coroutine[Any, Any, T], suspended: Callable[[int], None]
) -> Generator[Any, Any, T]:
    """Drive a coroutine, telling the number of each suspension before it takes place."""
    number = 0
    step: Callable[[Any], Any] = coroutine.send
    value: Any = None
    while True:
        try:
            waited_for = step(value)
        except StopIteration as stop:
            result: T = stop.value
            return result
        number += 1
        suspended(number)
        try:
            value = yield waited_for
            step = coroutine.send
        except BaseException as error:  # noqa: BLE001  # handed on to the coroutine
            value, step = error, coroutine.throw


async def cancelled_at(
    moment: int, cancel: Callable[[], object], coroutine: Coroutine[Any, Any, T]
) -> tuple[T, bool]:
    """Await a coroutine and call `cancel` at its `moment`-th suspension.

    Returns what it returned, and whether it got that far.
    """
    reached = False

    def suspended(number: int) -> None:
        nonlocal reached
        if number == moment:
            reached = True
            cancel()

    return await _stepped(coroutine, suspended), reached
