"""What every test runs under: asyncio, in debug mode where it is thorough, and a guard."""

from __future__ import annotations

import functools
import gc
import inspect
import signal
import traceback
from asyncio import constants
from pathlib import Path

import anyio
import pytest
from hypothesis import settings

from tests.support import ASYNCIO, BOTH, THOROUGH, rounds

GUARD = rounds(60, 600)


def pytest_configure() -> None:
    """Take SIGINT, and let what tests start take it, where who started us ignores it.

    A shell does for what a script puts in the background (`make test &`), and Python then leaves
    it so. SIGHUP stays as it is: `nohup make test` is to outlive its terminal.
    """
    # Whatever has an example is slow once in a while, on a busy machine.
    settings.register_profile("ours", deadline=None, max_examples=rounds(30, 100))
    settings.load_profile("ours")
    gc.disable()  # nothing that a collection makes is garbage
    if not THOROUGH:
        _without_stacks()
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _without_stacks() -> None:
    """Let asyncio's debug mode take no stack of each future and callback: a third of all our time.

    What it checks it checks as before; what is missing is where a thing was made, in the message.
    """
    constants.DEBUG_STACK_DEPTH = 0  # type: ignore[misc]
    traceback.extract_stack.__defaults__ = (None, 0)  # what the futures in C call


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run coroutines on asyncio, and on trio too where a module says `BOTH_LOOPS = True`."""
    if "anyio_backend" in metafunc.fixturenames:
        loops = BOTH if getattr(metafunc.module, "BOTH_LOOPS", False) else [ASYNCIO]
        metafunc.parametrize("anyio_backend", loops, ids=[name for name, _ in loops], indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let no test wait for ever: a coroutine is given up after `GUARD` seconds.

    What waits for servers and processes comes first, or several workers end by waiting for one.
    """
    items.sort(key=lambda item: not item.nodeid.startswith(("tests/faults/", "tests/webui/")))
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.obj = _guarded(item.obj)


def pytest_collection_finish() -> None:
    """Look for garbage in what tests make, and seldom in all that was imported for them."""
    gc.freeze()
    gc.unfreeze()  # which leaves it in the oldest generation
    gc.enable()


def _guarded(test: object) -> object:
    assert callable(test)

    @functools.wraps(test)
    async def run(*args: object, **kwargs: object) -> None:
        with anyio.fail_after(GUARD):
            await test(*args, **kwargs)

    return run


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The folder of all runs."""
    return tmp_path / "runs"
