"""asyncio's own cancel: held back while something must be done, and given again."""

from __future__ import annotations

import asyncio
import threading

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from stablenew._cancelling import insist, leak_of, leave_to_owner
from stablenew.errors import LeakedCancelError


async def test_what_is_insisted_on_is_done_and_the_cancel_comes_after_it() -> None:
    began: list[int] = []
    done = anyio.Event()
    after = False

    async def work() -> str:
        began.append(1)
        await done.wait()
        return "done"

    async def insisting() -> None:
        nonlocal after
        with anyio.move_on_after(10, shield=True):
            assert await insist(work) == "done"
        after = True
        await asyncio.sleep(0)
        pytest.fail("the cancel was lost")

    task = asyncio.create_task(insisting())
    await asyncio.sleep(0)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    done.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert after
    assert len(began) == 4


async def test_the_shield_gives_it_up() -> None:
    with anyio.fail_after(30), anyio.move_on_after(0.05, shield=True) as scope:
        await insist(anyio.sleep_forever)
    assert scope.cancelled_caught


async def test_a_cancel_that_is_given_again_counts_once_for_a_timeout() -> None:
    loop = asyncio.get_running_loop()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            with anyio.move_on_after(10, shield=True):
                until = loop.time() + 0.05
                await insist(lambda: asyncio.sleep(until - loop.time()))
            await asyncio.sleep(1)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_task_that_is_left_to_its_owner_is_not_among_all_tasks() -> None:
    told = asyncio.Event()

    async def work() -> None:
        leave_to_owner()
        await told.wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    assert task not in asyncio.all_tasks()
    told.set()
    await task


async def test_what_leaks_a_cancel_is_not_insisted_on() -> None:
    async def leak() -> None:
        raise asyncio.CancelledError

    with pytest.raises(LeakedCancelError):
        await insist(leak)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_what_leaks_cancels_while_the_task_is_cancelled_does_not_hang_it() -> None:
    leaks = 0

    async def leak() -> None:
        nonlocal leaks
        leaks += 1
        raise asyncio.CancelledError

    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.move_on_after(10, shield=True), pytest.raises(LeakedCancelError):
                await insist(leak)
    assert leaks == 2


async def test_a_cancel_that_a_thread_hears_of_first_is_no_leak() -> None:
    looks = threading.Event()

    def look() -> None:
        while True:
            anyio.from_thread.check_cancelled()
            looks.set()

    async def cancel_while_it_looks() -> None:
        await anyio.to_thread.run_sync(looks.wait)
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel_while_it_looks)
        try:
            await anyio.to_thread.run_sync(look)
        except anyio.get_cancelled_exc_class() as error:
            raise leak_of("the thread", error) from error
    assert tasks.cancel_scope.cancelled_caught
