"""The app in a thread of its own, for GUIs that have no asyncio loop: plain Tk, QtAsyncio, games.

    host = ThreadHost(Settings(out=Path("runs")))
    host.start()
    host.subscribe(StageProgress, lambda event: bar.set(event.fraction))
    host.run_learning_plan(plan, config, done=lambda outcome: show(outcome))
    …
    def pump():                      # in the GUI's thread, a few times a second
        host.pump()
        root.after(50, pump)
    …
    host.close()

Every method is called from the GUI's thread, and returns at once but `start` and `close`. Handlers
and `done` are called in the GUI's thread as well: by `pump`, or by the function that `call_back`
names.
"""

from __future__ import annotations

import asyncio
import logging
import queue
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, overload

import attrs

from stablenew._app_thread import AppThread
from stablenew.app import App
from stablenew.backends.base import Backend
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.config.settings import Settings
from stablenew.controller.activity import State
from stablenew.controller.interruption import Interruption
from stablenew.events.bus import Kind
from stablenew.events.event import Event
from stablenew.learning.learning_execution import Rate
from stablenew.learning.learning_plan import LearningPlan
from stablenew.learning.learning_result import LearningExecutionResult
from stablenew.pipeline.results import PipelineRunResult

logger = logging.getLogger(__name__)

T = TypeVar("T")
E = TypeVar("E", bound=Event)
A = TypeVar("A", bound=Event)
B = TypeVar("B", bound=Event)
C = TypeVar("C", bound=Event)

Call = Callable[[], None]


@attrs.frozen(kw_only=True)
class Ended(Generic[T]):
    """How something ended that was asked of a host.

    Attributes:
        result: What it returned; None where it raised.
        error: What it raised; None where it did not.
    """

    result: T | None = None
    error: BaseException | None = None


class ThreadHost:
    """Hosts an app in a thread with a loop of its own.

    Args:
        settings: As for `open_app`.
        backend: In place of the one that the settings name.
        backends: Several of them, which share each plan.
        call_back: Has a function called in the GUI's thread, such as a Qt signal's `emit`. It is
            called from another thread; Tk's `after` must not be: leave this out, and call `pump`.
    """

    def __init__(
        self,
        settings: Settings = Settings(),
        *,
        backend: Backend | None = None,
        backends: Sequence[Backend] | None = None,
        call_back: Callable[[Call], object] | None = None,
    ) -> None:
        self._thread = AppThread(settings, backend, backends)
        self._waiting: queue.SimpleQueue[Call] = queue.SimpleQueue()
        self._call_back = call_back or self._waiting.put
        self._runs: list[Future[Any]] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def state(self) -> State:
        """What is going on now; what was asked of this host counts before its loop begins it."""
        state = self._thread.app.pipeline.state
        asked = any(not run.done() for run in self._runs)
        return State.RUNNING if asked and state is not State.STOPPING else state

    @property
    def last_result(self) -> LearningExecutionResult | None:
        """What became of the plan that ended last; a snapshot, whatever a modal dialog missed."""
        return self._thread.app.learning.last_result

    @property
    def interrupted(self) -> tuple[Interruption, ...]:
        """What a process was at that was killed, found when the app opened."""
        return self._thread.app.interrupted

    def start(self) -> None:
        """Open the app and return when it is open.

        Raises:
            StableNewError: It is open already, or cannot be opened.
        """
        self._thread.start()

    def close(self) -> None:
        """Cancel what is under way and end the thread; returns when it has ended, within seconds.

        What ended meanwhile is still handed to `done` by a last `pump`.
        """
        self._thread.close()

    def pump(self) -> int:
        """Call what waits to be called in this thread; returns how many there were.

        One that raises is logged, and the next is called.
        """
        called = 0
        while True:
            try:
                call = self._waiting.get_nowait()
            except queue.Empty:
                return called
            try:
                call()
            except Exception:
                logger.exception("%r failed", call)
            called += 1

    @overload
    def subscribe(
        self, kind: tuple[type[A], type[B]], handler: Callable[[A | B], None]
    ) -> Call: ...

    @overload
    def subscribe(
        self, kind: tuple[type[A], type[B], type[C]], handler: Callable[[A | B | C], None]
    ) -> Call: ...

    @overload
    def subscribe(
        self, kind: type[E] | tuple[type[E], ...], handler: Callable[[E], None]
    ) -> Call: ...

    def subscribe(self, kind: Kind, handler: Callable[[E], None]) -> Call:
        """Have `handler` called in the GUI's thread for every event of `kind` from now on.

        Returns:
            What ends that. Once it is called, in the GUI's thread, the handler hears nothing more.
        """
        ended = False

        def hear(event: Event) -> None:
            if not ended:
                handler(event)  # type: ignore[arg-type]  # routed by kind

        async def take(event: Event) -> None:
            self._call_back(lambda: hear(event))

        name = getattr(handler, "__qualname__", "handler")
        app = self._thread.app
        subscription = self._thread.ask(lambda app: app.bus.subscribe(kind, take, name=name))

        def unsubscribe() -> None:
            nonlocal ended
            ended = True
            if self._thread.hosts(app):  # else it ended with the app
                self._thread.tell(lambda _: subscription.close())

        return unsubscribe

    def run_learning_plan(
        self,
        plan: LearningPlan | Mapping[str, object],
        base_config: PipelineConfig | Mapping[str, object],
        metadata: Mapping[str, object] | None = None,
        *,
        max_steps: int | None = None,
        max_seconds: float | None = None,
        plan_id: str | None = None,
        rate: Rate | None = None,
        done: Callable[[Ended[LearningExecutionResult]], None] = lambda _: None,
    ) -> Future[LearningExecutionResult]:
        """Start a plan, as the controller's method does; `done` hears how it ended.

        `rate` is awaited in the app's thread.
        """
        return self._run(
            lambda app: app.learning.run_learning_plan(
                plan,
                base_config,
                metadata,
                max_steps=max_steps,
                max_seconds=max_seconds,
                plan_id=plan_id,
                rate=rate,
            ),
            done,
        )

    def resume_plan(
        self,
        plan_id: str,
        *,
        only_failed: bool = False,
        max_seconds: float | None = None,
        rate: Rate | None = None,
        done: Callable[[Ended[LearningExecutionResult]], None] = lambda _: None,
    ) -> Future[LearningExecutionResult]:
        """Go on with a plan, as the controller's method does; `done` hears how it ended."""
        return self._run(
            lambda app: app.learning.resume_plan(
                plan_id, only_failed=only_failed, max_seconds=max_seconds, rate=rate
            ),
            done,
        )

    def run_pipeline(
        self,
        config: PipelineConfig | Mapping[str, object],
        *,
        images: int = 1,
        metadata: Mapping[str, object] | None = None,
        done: Callable[[Ended[PipelineRunResult]], None] = lambda _: None,
    ) -> Future[PipelineRunResult]:
        """Start a single run; `done` hears how it ended."""
        return self._run(
            lambda app: app.pipeline.run_pipeline(config, images=images, metadata=metadata), done
        )

    def cancel(self) -> None:
        """Cancel what is under way, if anything is; it ends as always, and `done` hears of it."""
        self._thread.tell(lambda app: app.pipeline.cancel())

    def cancel_step(self, index: int | None = None) -> None:
        """Cancel the step under way, or one of several, or all; the plan goes on with the next."""
        self._thread.tell(lambda app: app.learning.cancel_step(index))

    def pause(self) -> None:
        """Let the step under way end, and wait before the next one until `resume`."""
        self._thread.tell(lambda app: app.learning.pause())

    def resume(self) -> None:
        """Go on with a plan that was paused."""
        self._thread.tell(lambda app: app.learning.resume())

    def set_learning(self, enabled: bool) -> None:
        """Turn learning on or off for what is started from now on."""
        self._thread.ask(lambda app: setattr(app.pipeline, "learning_enabled", enabled))

    def submit(
        self,
        work: Callable[[App], Awaitable[T]],
        done: Callable[[Ended[T]], None] = lambda _: None,
    ) -> Future[T]:
        """Have something awaited in the app's loop.

        Args:
            work: Called with the app there.
            done: Called in the GUI's thread with how it ended.
        """
        future = self._thread.submit(work)
        future.add_done_callback(lambda future: self._call_back(lambda: done(_ended(future))))
        return future

    def _run(
        self, work: Callable[[App], Awaitable[T]], done: Callable[[Ended[T]], None]
    ) -> Future[T]:
        future = self.submit(work, done)
        self._runs = [*(run for run in self._runs if not run.done()), future]
        return future


def _ended(future: Future[T]) -> Ended[T]:
    if future.cancelled():
        return Ended(error=asyncio.CancelledError())
    error = future.exception()
    return Ended(error=error) if error is not None else Ended(result=future.result())
