"""The only place that wires things together.

    async with open_app(Settings(out=Path("runs"))) as app:
        result = await app.learning.run_learning_plan(plan, config)

A GUI hosts it in one task of its own loop: `app = await task_group.start(host_app, settings)`.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, asynccontextmanager
from types import NoneType

import anyio
import anyio.to_thread
import attrs
from anyio.abc import TaskGroup, TaskStatus

from stablenew._arguments import shown, takes
from stablenew._cancelling import insist
from stablenew._clock import Clock
from stablenew._names import suggestion
from stablenew.backends.base import Backend
from stablenew.config.settings import Settings
from stablenew.controller.engine import Engine
from stablenew.controller.interruption import Interruption, find_interruptions
from stablenew.controller.learning_execution_controller import LearningExecutionController
from stablenew.controller.pipeline_controller import PipelineController
from stablenew.errors import ConfigError, StableNewError, ungrouped
from stablenew.events.bus import GRACE, EventBus
from stablenew.events.subscription import Subscription
from stablenew.pipeline.backend_border import entered
from stablenew.pipeline.image_store import ImageStore
from stablenew.pipeline.node_pool import Node, NodePool
from stablenew.pipeline.pipeline_runner import PipelineRunner
from stablenew.pipeline.pool_growth import growing
from stablenew.pipeline.stage_sequencer import StageSequencer
from stablenew.report.reporter import Reporter


def _embedded(_: Settings) -> Backend:
    from stablenew.backends.embedded.backend import EmbeddedBackend

    return EmbeddedBackend()


def _webui(settings: Settings) -> Backend:
    from stablenew.backends.webui.backend import WebUIBackend

    return WebUIBackend(settings.url, settings.auth)


def _comfyui(settings: Settings) -> Backend:
    from stablenew.backends.comfyui.backend import ComfyUIBackend

    return ComfyUIBackend(settings.url, settings.auth)


def _server(settings: Settings) -> Backend:
    from stablenew.backends.server_backend import ServerBackend

    return ServerBackend(settings.url, settings.auth)


def _fake(_: Settings) -> Backend:
    from stablenew.backends.fake import FakeBackend

    return FakeBackend()


BACKENDS: Mapping[str, Callable[[Settings], Backend]] = {
    "embedded": _embedded,
    "webui": _webui,
    "comfyui": _comfyui,
    "server": _server,
    "fake": _fake,
}
"""What `--backend` can name."""


@attrs.frozen(kw_only=True, eq=False)
class App:
    """What a host holds on to.

    Attributes:
        bus: Where everything is told.
        backend: What makes the pictures; the first of several.
        pool: Those that there are, each with the pipeline that runs on it.
        pipeline: Single runs.
        learning: Plans.
        reporter: Draws contact sheets.
        reports: The reporter's subscription: `await app.reports.drained()` waits for a sheet.
        tasks: For what a host runs beside, as long as the app is open; cancelled with it.
        interrupted: What a process was at that was killed, found when this app opened.
        closing: Set by the host to end `host_app`.
    """

    settings: Settings
    bus: EventBus
    backend: Backend
    pool: NodePool
    pipeline: PipelineController
    learning: LearningExecutionController
    reporter: Reporter
    reports: Subscription
    tasks: TaskGroup
    interrupted: tuple[Interruption, ...] = ()
    closing: anyio.Event = attrs.field(factory=anyio.Event)

    @property
    def backends(self) -> Sequence[Backend]:
        """What makes the pictures, all of them."""
        return self.pool.backends

    async def idle(self) -> None:
        """Wait until nothing is under way, and what ended is recorded.

        A task that was made before this is called counts: it has begun by then.
        """
        await self.pipeline.idle()


@takes(settings=Settings, bus=(EventBus, NoneType))
@asynccontextmanager
async def open_app(
    settings: Settings = Settings(),
    *,
    backend: Backend | None = None,
    backends: Sequence[Backend] | None = None,
    joining: AsyncIterable[Backend] | None = None,
    clock: Clock = Clock(),
    bus: EventBus | None = None,
) -> AsyncIterator[App]:
    """Open an app in the running asyncio loop; enter and leave it in one task.

    What other tasks still run when it is left is cancelled and waited for.

    Args:
        settings: Where things go, what makes the pictures, how long to wait.
        backend: In place of the one that the settings name.
        backends: Several of them, which share each plan.
        joining: Where more of them come from while the app is open: each takes steps of the plan
            under way. One that is there already is looked for at once, if it went away.
        clock: Where times, ids and seeds come from.
        bus: In place of a bus of its own; not entered yet.

    Raises:
        ConfigError: No such backend.
        StableNewError: The running loop is none that this can live in.
    """
    _check_loop()
    given = [*([] if backend is None else [backend]), *(backends or ())]
    nodes = _named(_checked(given) if given else make_backends(settings))
    reporter = Reporter(settings.out, clock=clock)
    interrupted = await anyio.to_thread.run_sync(
        find_interruptions, settings.out, reporter.conclude
    )
    bus = EventBus() if bus is None else bus
    store = ImageStore(settings.out)
    async with bus, _entered(nodes.values()), _beside() as tasks:
        pool = NodePool(
            [_node(settings, name, each, bus, store, clock) for name, each in nodes.items()],
            mix=settings.mix_servers,
            skip_unreachable=settings.skip_unreachable,
            grows=joining is not None,
        )
        engine = Engine(pool, bus, settings, clock=clock)

        def node(backend: Backend) -> Node:
            return _node(settings, _free_name(backend, pool.names), backend, bus, store, clock)

        async with growing(pool, joining, node):
            try:
                yield App(
                    settings=settings,
                    bus=bus,
                    backend=next(iter(nodes.values())),
                    pool=pool,
                    pipeline=PipelineController(engine),
                    learning=LearningExecutionController(engine),
                    reporter=reporter,
                    reports=reporter.subscribe(bus),
                    tasks=tasks,
                    interrupted=interrupted,
                )
            finally:  # what another task still runs is cancelled, and told while the bus is open
                engine.activity.cancel()
                with anyio.move_on_after(2 * GRACE, shield=True):
                    await insist(engine.activity.ended)


@asynccontextmanager
async def _beside() -> AsyncIterator[TaskGroup]:
    """Give a task group whose tasks are cancelled in the end; one error leaves as itself."""
    with ungrouped():
        async with anyio.create_task_group() as tasks:
            try:
                yield tasks
            finally:
                tasks.cancel_scope.cancel()


async def host_app(
    settings: Settings = Settings(),
    *,
    backend: Backend | None = None,
    backends: Sequence[Backend] | None = None,
    joining: AsyncIterable[Backend] | None = None,
    task_status: TaskStatus[App] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Host an app in one task until it is cancelled or `app.closing` is set.

    `app = await task_group.start(host_app, settings)` returns the app once it is open.
    """
    async with open_app(settings, backend=backend, backends=backends, joining=joining) as app:
        task_status.started(app)
        await app.closing.wait()


def make_backend(settings: Settings) -> Backend:
    """Return a new backend of the kind that the settings name.

    Raises:
        ConfigError: There is no such kind.
    """
    name = settings.backend
    if name not in BACKENDS:
        raise ConfigError(f"backend: given {name!r}, {suggestion(name, BACKENDS)}")
    return BACKENDS[name](settings)


def make_backends(settings: Settings) -> list[Backend]:
    """Return new backends of the kind that the settings name: of several servers one for each.

    Raises:
        ConfigError: There is no such kind.
    """
    return [make_backend(each) for each in settings.servers or (settings,)]


@asynccontextmanager
async def open_pool(
    settings: Settings, backends: Sequence[Backend] | None = None
) -> AsyncIterator[NodePool]:
    """Open what the settings name, to ask it what it can do; nothing can be run on it.

    Args:
        settings: Name the backends.
        backends: In place of those.
    """
    bus, store = EventBus(), ImageStore(settings.out)
    nodes = _named(backends or make_backends(settings))
    async with _entered(nodes.values()):
        yield NodePool(
            [_node(settings, name, each, bus, store, Clock()) for name, each in nodes.items()],
            mix=settings.mix_servers,
            skip_unreachable=settings.skip_unreachable,
        )


def _checked(backends: Sequence[Backend]) -> Sequence[Backend]:
    for backend in backends:
        if not hasattr(type(backend), "run_stage"):
            given = shown(backend)
            raise ConfigError(f"backend: given {given}, expected one with a backend's methods")
    return backends


def _named(backends: Sequence[Backend]) -> dict[str, Backend]:
    """Return backends by what they are called: their server's URL, or their name and a number."""
    nodes: dict[str, Backend] = {}
    for backend in backends:
        nodes[_free_name(backend, nodes)] = backend
    return nodes


def _free_name(backend: Backend, taken: Collection[str]) -> str:
    name = str(getattr(backend, "url", None) or backend.name)
    return name if name not in taken else f"{name} {len(taken) + 1}"


@asynccontextmanager
async def _entered(backends: Iterable[Backend]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for backend in backends:
            await stack.enter_async_context(entered(backend))
        yield


def _node(
    settings: Settings, name: str, backend: Backend, bus: EventBus, store: ImageStore, clock: Clock
) -> Node:
    sequencer = StageSequencer(
        backend,
        bus,
        store,
        clock=clock,
        stall_timeout=settings.stall_timeout,
        reuse=settings.reuse,
        wait_for_backend=settings.wait_for_server,
        node=name,
    )
    return Node(name=name, backend=backend, runner=PipelineRunner(backend, sequencer, clock=clock))


def _check_loop() -> None:
    """Refuse loops that would hang instead of failing."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError as error:
        raise StableNewError("needs a running asyncio loop (trio has no aiofiles)") from error
    if type(loop).__module__.startswith("PySide6.QtAsyncio"):
        raise StableNewError("PySide6.QtAsyncio never fires timeouts; use qasync's loop instead")
