"""One test or more for each line of the bus's promises."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from typing import ClassVar, assert_type

import anyio
import attrs
import pytest
from anyio.lowlevel import checkpoint

from stablenew.errors import BusClosedError, ReentrantPublishError
from stablenew.events.bus import EventBus
from stablenew.events.event import Event
from stablenew.events.event_stream import EventStream
from stablenew.events.mailbox import Overflow

BOTH_LOOPS = True


@attrs.frozen(kw_only=True)
class Counted(Event):
    number: int = 0


@attrs.frozen(kw_only=True)
class Other(Event):
    pass


@attrs.frozen(kw_only=True)
class Tick(Counted):
    transient: ClassVar[bool] = True


@attrs.frozen(kw_only=True)
class Ended(Counted):
    terminal: ClassVar[bool] = True


class Heard:
    """A subscriber that notes numbers, and can be held up."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.gate = anyio.Event()
        self.at_once = 0
        self.most_at_once = 0

    async def note(self, event: Counted) -> None:
        self.numbers.append(event.number)

    async def held(self, event: Counted) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.gate.wait()
        self.numbers.append(event.number)
        self.at_once -= 1


async def settle() -> None:
    for _ in range(10):
        await checkpoint()


# 1. One task and one mailbox per subscriber.


async def test_a_subscriber_handles_events_in_the_order_they_were_published() -> None:
    heard = Heard()
    async with EventBus(strict=True) as bus:
        bus.subscribe(Counted, heard.note)
        for number in range(500):
            await bus.publish(Counted(number=number))
    assert heard.numbers == list(range(500))


async def test_a_subscriber_handles_one_event_at_a_time() -> None:
    heard = Heard()
    async with EventBus(strict=True) as bus:
        bus.subscribe(Counted, heard.held)
        for number in range(5):
            await bus.publish(Counted(number=number))
        await settle()
        assert heard.most_at_once == 1
        heard.gate.set()
    assert heard.numbers == [0, 1, 2, 3, 4]
    assert heard.most_at_once == 1


async def test_a_slow_subscriber_does_not_hold_up_another() -> None:
    slow, quick = Heard(), Heard()
    async with EventBus(strict=True) as bus:
        bus.subscribe(Counted, slow.held)
        subscription = bus.subscribe(Counted, quick.note)
        for number in range(5):
            await bus.publish(Counted(number=number))
        await subscription.drained()
        assert quick.numbers == [0, 1, 2, 3, 4]
        assert slow.numbers == []
        slow.gate.set()


async def test_each_publishers_order_is_kept_among_several_publishers() -> None:
    heard = Heard()
    async with EventBus(strict=True) as bus:
        bus.subscribe(Counted, heard.note, overflow=Overflow.WAIT, mailbox=2)

        async def publish(base: int) -> None:
            for number in range(50):
                await bus.publish(Counted(number=base + number))

        async with anyio.create_task_group() as publishers:
            for base in (0, 1000, 2000):
                publishers.start_soon(publish, base)
    assert len(heard.numbers) == 150
    for base in (0, 1000, 2000):
        own = [number for number in heard.numbers if base <= number < base + 1000]
        assert own == sorted(own)


# 2. Matching.


async def test_matching_is_by_isinstance_with_tuples_and_the_base_class() -> None:
    counted, both, every = [], [], []
    async with EventBus(strict=True) as bus:

        async def to_counted(event: Event) -> None:
            counted.append(type(event))

        async def to_both(event: Event) -> None:
            both.append(type(event))

        async def to_every(event: Event) -> None:
            every.append(type(event))

        bus.subscribe(Counted, to_counted)
        bus.subscribe((Tick, Other), to_both)
        bus.subscribe(Event, to_every)
        for event in (Counted(), Tick(), Other(), Ended()):
            await bus.publish(event)
    assert counted == [Counted, Tick, Ended]
    assert both == [Tick, Other]
    assert every == [Counted, Tick, Other, Ended]


async def test_a_handler_of_several_kinds_type_checks_and_one_of_too_few_does_not() -> None:
    """What this holds is held by mypy, which checks the tests; an ignore without use fails it."""

    async def of_one(event: Counted) -> None: ...
    async def of_two(event: Tick | Other) -> None: ...
    async def of_three(event: Tick | Other | Ended) -> None: ...
    async def of_all(event: Event) -> None: ...

    async with EventBus(strict=True) as bus:
        bus.subscribe(Tick, of_one)
        bus.subscribe((Tick,), of_one)
        bus.subscribe((Tick, Other), of_two)
        bus.subscribe((Tick, Other, Ended), of_three)
        bus.subscribe((Tick, Other, Ended, Counted), of_all)
        bus.subscribe((Tick, Other), of_one)  # type: ignore[arg-type]
        bus.subscribe(Event, of_one)  # type: ignore[arg-type]
        assert_type(bus.stream(Tick), EventStream[Tick])
        assert_type(bus.stream((Tick, Other)), EventStream[Tick | Other])
        assert_type(bus.stream((Tick, Other, Ended)), EventStream[Tick | Other | Ended])


def test_events_are_frozen_and_keyword_only() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Counted(number=1).number = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        Counted(1)  # type: ignore[call-arg, arg-type]


# 3. A handler that raises.


async def test_a_handlers_exception_is_logged_and_counted_and_the_next_event_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[int] = []

    async def picky(event: Counted) -> None:
        if event.number == 1:
            raise ValueError("not this one")
        heard.append(event.number)

    async with EventBus() as bus:
        subscription = bus.subscribe(Counted, picky, name="picky one")
        for number in range(3):
            await bus.publish(Counted(number=number))
        await subscription.drained()
        assert (subscription.handled, subscription.failed) == (2, 1)
    assert heard == [0, 2]
    record = next(record for record in caplog.records if record.levelno == logging.ERROR)
    assert "picky one" in record.getMessage()
    assert "Counted" in record.getMessage()


async def test_a_strict_bus_raises_a_handlers_exception_at_exit_as_itself() -> None:
    async def broken(event: Counted) -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        async with EventBus(strict=True) as bus:
            bus.subscribe(Counted, broken)
            await bus.publish(Counted())


async def test_a_strict_bus_raises_several_exceptions_as_a_group() -> None:
    async def broken(event: Counted) -> None:
        raise ValueError(event.number)

    with pytest.raises(ExceptionGroup) as caught:
        async with EventBus(strict=True) as bus:
            bus.subscribe(Counted, broken)
            await bus.publish(Counted(number=1))
            await bus.publish(Counted(number=2))
    assert len(caught.value.exceptions) == 2


async def test_an_error_of_the_body_leaves_as_itself() -> None:
    with pytest.raises(ZeroDivisionError):
        async with EventBus(strict=True) as bus:
            bus.subscribe(Counted, Heard().note)
            raise ZeroDivisionError


# 4. Overflow.


async def test_a_full_mailbox_that_waits_holds_the_publisher_and_loses_nothing() -> None:
    heard = Heard()
    published: list[int] = []
    async with EventBus(strict=True) as bus:
        bus.subscribe(Counted, heard.held, overflow=Overflow.WAIT, mailbox=3)

        async def publish() -> None:
            for number in range(10):
                await bus.publish(Counted(number=number))
                published.append(number)

        async with anyio.create_task_group() as publishers:
            publishers.start_soon(publish)
            await settle()
            assert len(published) <= 4
            heard.gate.set()
    assert heard.numbers == list(range(10))


async def test_a_full_mailbox_that_drops_keeps_the_newest_and_counts() -> None:
    heard = Heard()
    async with EventBus(strict=True) as bus:
        subscription = bus.subscribe(Counted, heard.held, mailbox=3)
        await bus.publish(Counted(number=0))
        await settle()  # the first is being handled
        for number in range(1, 10):
            await bus.publish(Counted(number=number))
        assert subscription.dropped == 6
        heard.gate.set()
    assert heard.numbers == [0, 7, 8, 9]


async def test_transient_events_are_dropped_first_and_terminal_ones_last() -> None:
    heard = Heard()
    async with EventBus(strict=True) as bus:
        bus.subscribe(Counted, heard.held, mailbox=3)
        await bus.publish(Counted(number=0))
        await settle()
        await bus.publish(Ended(number=1))
        await bus.publish(Counted(number=2))
        for number in range(3, 8):
            await bus.publish(Tick(number=number))
        await bus.publish(Counted(number=8))
        await bus.publish(Ended(number=9))
        heard.gate.set()
    assert heard.numbers == [0, 1, 8, 9]


async def test_publish_offers_to_all_before_it_waits_for_the_full() -> None:
    full, quick = Heard(), Heard()
    async with EventBus(strict=True) as bus:
        bus.subscribe(Counted, full.held, overflow=Overflow.WAIT, mailbox=1)
        bus.subscribe(Counted, quick.note)

        async def publish() -> None:
            for number in range(4):
                await bus.publish(Counted(number=number))

        async with anyio.create_task_group() as publishers:
            publishers.start_soon(publish)
            await settle()
            assert quick.numbers == [0, 1, 2]  # the third is what the publisher waits with
            full.gate.set()


async def test_a_publisher_that_is_cancelled_while_it_waits_has_lost_nothing() -> None:
    heard = Heard()
    async with EventBus(strict=True) as bus:
        bus.subscribe(Counted, heard.held, overflow=Overflow.WAIT, mailbox=1)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as publishers:

                async def publish() -> None:
                    for number in range(5):
                        await bus.publish(Counted(number=number))

                publishers.start_soon(publish)
                await settle()
                scope.cancel()
        heard.gate.set()
    assert heard.numbers == [0, 1, 2]


# 5. Publishing from a handler.


async def test_publishing_from_a_handler_is_refused() -> None:
    async with EventBus(strict=True) as bus:
        errors: list[BaseException] = []

        async def again(event: Counted) -> None:
            try:
                await bus.publish(Other())
            except ReentrantPublishError as error:
                errors.append(error)

        bus.subscribe(Counted, again)
        await bus.publish(Counted())
        await bus.drain()
        assert "Other" in str(errors[0])


async def test_a_task_that_a_handler_starts_elsewhere_may_publish() -> None:
    heard: list[Event] = []
    async with EventBus(strict=True) as bus, anyio.create_task_group() as elsewhere:

        async def start(event: Counted) -> None:
            elsewhere.start_soon(bus.publish, Other())

        async def note(event: Other) -> None:
            heard.append(event)

        bus.subscribe(Counted, start)
        bus.subscribe(Other, note)
        await bus.publish(Counted())
        await bus.drain()
        await settle()
        await bus.drain()
    assert len(heard) == 1


# 6. Only inside its block.


async def test_publishing_and_subscribing_outside_the_block_are_refused() -> None:
    bus = EventBus()
    with pytest.raises(BusClosedError):
        await bus.publish(Counted())
    async with bus:
        pass
    with pytest.raises(BusClosedError):
        await bus.publish(Counted())
    with pytest.raises(BusClosedError):
        bus.subscribe(Counted, Heard().note)
    with pytest.raises(BusClosedError):
        bus.stream(Counted)


# 7. Leaving the block.


@pytest.mark.parametrize("route", ["end", "error", "cancel"])
async def test_by_whatever_route_the_block_is_left_what_was_accepted_is_handled(route: str) -> None:
    numbers: list[int] = []

    async def slowly(event: Counted) -> None:
        await checkpoint()
        await checkpoint()
        numbers.append(event.number)

    with anyio.CancelScope() as scope:
        try:
            async with EventBus(strict=True) as bus:
                bus.subscribe(Counted, slowly)
                for number in range(20):
                    await bus.publish(Counted(number=number))
                if route == "cancel":
                    scope.cancel()
                    await anyio.Event().wait()
                if route == "error":
                    raise ZeroDivisionError
        except ZeroDivisionError:
            assert route == "error"
    assert scope.cancelled_caught == (route == "cancel")
    assert numbers == list(range(20))


async def test_the_body_stays_cancellable() -> None:
    with anyio.move_on_after(0.01) as scope:
        async with EventBus(strict=True) as bus:
            bus.subscribe(Counted, Heard().note)
            await anyio.Event().wait()
    assert scope.cancelled_caught


async def test_what_is_cut_after_the_grace_is_counted_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard = Heard()
    async with EventBus(grace=0.01) as bus:
        subscription = bus.subscribe(Counted, heard.held, name="stuck")
        for number in range(3):
            await bus.publish(Counted(number=number))
        await settle()
    assert subscription.cut == 3
    assert "stuck was cut with 3 events left" in caplog.text


async def test_the_grace_starts_when_the_block_is_left() -> None:
    numbers: list[int] = []
    release = anyio.Event()

    async def slowly(event: Counted) -> None:
        await release.wait()
        numbers.append(event.number)

    async with EventBus(strict=True, grace=1.0) as bus, anyio.create_task_group() as beside:
        subscription = bus.subscribe(Counted, slowly)
        await bus.publish(Counted(number=1))
        await anyio.sleep(0.05)
        beside.start_soon(_set_later, release)
    assert numbers == [1]
    assert subscription.cut == 0


async def _set_later(event: anyio.Event) -> None:
    await settle()
    event.set()


# 8. Terminal events and drained.


async def test_a_terminal_event_is_published_by_a_task_that_is_cancelled() -> None:
    heard = Heard()
    async with EventBus(strict=True) as bus:
        bus.subscribe(Counted, heard.note, overflow=Overflow.WAIT, mailbox=1)
        with anyio.CancelScope() as scope:
            scope.cancel()
            for number in range(5):
                await bus.publish(Ended(number=number))
    assert heard.numbers == [0, 1, 2, 3, 4]


async def test_a_terminal_event_waits_no_longer_than_the_grace_for_room() -> None:
    heard = Heard()
    async with EventBus(grace=0.05) as bus:
        bus.subscribe(Counted, heard.held, overflow=Overflow.WAIT, mailbox=1)
        with anyio.fail_after(20):
            for number in range(4):
                await bus.publish(Ended(number=number))


async def test_the_grace_for_a_stuck_subscriber_is_paid_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard = Heard()
    async with EventBus(grace=0.2) as bus:
        subscription = bus.subscribe(
            Counted, heard.held, overflow=Overflow.WAIT, mailbox=1, name="held"
        )
        with anyio.fail_after(30):  # 300 times the grace is a minute
            for number in range(300):
                await bus.publish(Ended(number=number))
                await checkpoint()  # where the guard reaches, unlike in the shield
        assert "subscriber held is stuck: 2 events wait for it" in caplog.text
    assert subscription.cut == 300


async def test_a_bus_that_closes_does_not_wait_again_for_a_stuck_subscriber() -> None:
    with anyio.fail_after(30):
        async with EventBus(grace=50.0) as bus:
            subscription = bus.subscribe(Counted, Heard().held)
            await bus.publish(Counted())
            await settle()  # it is being handled
            assert not await subscription.drained_within(0.01)
            assert not await subscription.drained_within(50.0)
    assert subscription.cut == 1


async def test_a_subscriber_that_was_stuck_is_waited_for_when_it_moves_again() -> None:
    first, second = anyio.Event(), anyio.Event()
    handled: list[int] = []

    async def held(event: Counted) -> None:
        await (first if event.number < 3 else second).wait()
        handled.append(event.number)

    async with EventBus(grace=0.05) as bus:
        subscription = bus.subscribe(Counted, held, overflow=Overflow.WAIT, mailbox=1)
        for number in range(3):
            await bus.publish(Ended(number=number))
        first.set()
        await subscription.drained()
        bus._grace = 5.0
        await bus.publish(Ended(number=3))
        await settle()
        await bus.publish(Ended(number=4))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_set_later, second)
            await bus.publish(Ended(number=5))
            assert second.is_set()


async def test_drained_within_waits_whatever_is_cancelled() -> None:
    heard = Heard()
    async with EventBus(strict=True) as bus, anyio.create_task_group() as tasks:
        subscription = bus.subscribe(Counted, heard.held)
        await bus.publish(Counted(number=1))
        with anyio.CancelScope() as scope:
            scope.cancel()
            tasks.start_soon(_set_later, heard.gate)
            assert await subscription.drained_within(5)
    assert heard.numbers == [1]


async def test_drained_means_that_everything_published_so_far_was_handled() -> None:
    heard = Heard()
    async with EventBus(strict=True) as bus:
        subscription = bus.subscribe(Counted, heard.held)
        for number in range(3):
            await bus.publish(Counted(number=number))
        done = anyio.Event()

        async def wait() -> None:
            await subscription.drained()
            done.set()

        async with anyio.create_task_group() as waiting:
            waiting.start_soon(wait)
            await settle()
            assert not done.is_set()
            heard.gate.set()
        assert heard.numbers == [0, 1, 2]


async def test_drained_does_not_wait_for_what_is_published_later() -> None:
    heard = Heard()
    async with EventBus(strict=True) as bus:
        subscription = bus.subscribe(Counted, heard.held)
        await bus.publish(Counted(number=0))
        await settle()
        async with anyio.create_task_group() as waiting:
            waiting.start_soon(subscription.drained)
            await settle()
            await bus.publish(Counted(number=1))
            heard.gate.set()
            await subscription.drained()
        assert 0 in heard.numbers


async def test_drain_waits_for_every_subscriber() -> None:
    first, second = Heard(), Heard()
    async with EventBus(strict=True) as bus:
        bus.subscribe(Counted, first.note)
        bus.subscribe(Counted, second.note)
        await bus.publish(Counted(number=7))
        await bus.drain()
        assert first.numbers == second.numbers == [7]


# 9. Streams.


async def test_a_stream_yields_events_in_order_and_ends_with_the_bus() -> None:
    numbers: list[int] = []

    async with anyio.create_task_group() as tasks:
        async with EventBus(strict=True) as bus:
            stream = bus.stream(Counted)

            async def read() -> None:
                with stream as events:
                    async for event in events:
                        numbers.append(event.number)

            tasks.start_soon(read)
            for number in range(5):
                await bus.publish(Counted(number=number))
    assert numbers == [0, 1, 2, 3, 4]


async def test_a_stream_nobody_reads_holds_nobody_up_and_counts_what_it_dropped() -> None:
    async with EventBus(strict=True) as bus:
        with bus.stream(Counted, mailbox=10) as events:
            for number in range(1_000):
                await bus.publish(Counted(number=number))
            assert events.dropped == 990


async def test_a_stream_that_is_left_early_gets_nothing_more() -> None:
    async with EventBus(strict=True) as bus:
        with bus.stream(Counted, mailbox=5) as events:
            await bus.publish(Counted(number=1))
            assert (await anext(events)).number == 1
        for number in range(10):
            await bus.publish(Counted(number=number))
        assert events.dropped == 0


async def test_a_closed_subscription_handles_what_it_has_and_gets_nothing_more() -> None:
    heard = Heard()
    async with EventBus(strict=True) as bus:
        subscription = bus.subscribe(Counted, heard.note)
        await bus.publish(Counted(number=1))
        subscription.close()
        await bus.publish(Counted(number=2))
    assert heard.numbers == [1]


# 10. Numbers.


async def test_the_bus_numbers_events_without_a_gap_and_goes_on_where_it_is_told_to() -> None:
    sequences: list[int] = []

    async def note(event: Event) -> None:
        sequences.append(event.sequence)

    async with EventBus(strict=True, sequence=41) as bus:
        bus.subscribe(Event, note)
        for _ in range(3):
            await bus.publish(Counted())
        assert bus.sequence == 44
    assert sequences == [42, 43, 44]


async def test_an_event_that_is_published_twice_gets_two_numbers() -> None:
    heard: list[Event] = []

    async def note(event: Event) -> None:
        heard.append(event)

    async with EventBus(strict=True) as bus:
        bus.subscribe(Event, note)
        event = Counted(number=3)
        await bus.publish(event)
        await bus.publish(event)
    assert [event.sequence for event in heard] == [1, 2]


async def test_every_event_has_a_time_and_ids_that_may_be_null() -> None:
    event = Counted()
    assert event.at.utcoffset() is not None
    assert (event.plan_id, event.run_id, event.sequence) == (None, None, 0)


async def test_a_publisher_that_never_stops_lets_others_run() -> None:
    heard = Heard()
    async with EventBus(strict=True) as bus:
        bus.subscribe(Counted, heard.note, mailbox=10_000)
        for number in range(1_000):
            await bus.publish(Counted(number=number))
        assert len(heard.numbers) > 800


# What was once wrong.


async def test_a_kind_that_was_published_before_reaches_who_subscribes_later() -> None:
    heard = Heard()
    async with EventBus(strict=True) as bus:
        await bus.publish(Counted(number=1))
        bus.subscribe(Counted, heard.note)
        await bus.publish(Counted(number=2))
    assert heard.numbers == [2]


async def test_a_closed_subscriber_that_still_handles_is_waited_for_and_cut_like_others() -> None:
    stuck, other = Heard(), Heard()
    with anyio.fail_after(20):
        async with EventBus(grace=0.1) as bus:
            subscription = bus.subscribe(Counted, stuck.held)
            await bus.publish(Counted(number=1))
            await settle()
            subscription.close()
            bus.subscribe(Counted, other.note)
        assert subscription.cut == 1


async def test_drain_waits_for_a_closed_subscriber_that_still_handles() -> None:
    heard = Heard()
    async with EventBus(strict=True) as bus:
        subscription = bus.subscribe(Counted, heard.held)
        await bus.publish(Counted(number=1))
        subscription.close()
        bus.subscribe(Counted, Heard().note)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_set_later, heard.gate)
            await bus.drain()
            assert heard.numbers == [1]


async def test_publish_waits_for_every_full_mailbox() -> None:
    first, second = Heard(), Heard()
    async with EventBus(strict=True) as bus:
        for heard in (first, second):
            bus.subscribe(Counted, heard.held, overflow=Overflow.WAIT, mailbox=1)
        done = anyio.Event()

        async def publish() -> None:
            for number in range(3):
                await bus.publish(Counted(number=number))
            done.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(publish)
            await settle()
            first.gate.set()
            await settle()
            assert not done.is_set()
            second.gate.set()


@pytest.mark.parametrize("how", ["subscription", "stream"])
async def test_a_publisher_that_waits_goes_on_when_the_full_mailbox_is_closed(how: str) -> None:
    held = Heard()
    async with EventBus(grace=0.1) as bus:
        if how == "stream":
            stream = bus.stream(Counted, overflow=Overflow.WAIT, mailbox=1)
            leave = functools.partial(stream.__exit__, None, None, None)
        else:
            waiting = bus.subscribe(Counted, held.held, overflow=Overflow.WAIT, mailbox=1)
            leave = functools.partial(waiting.close)
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:

                async def publish() -> None:
                    for number in range(3):
                        await bus.publish(Counted(number=number))

                tasks.start_soon(publish)
                await settle()
                leave()
        assert not bus._inlets


async def test_what_is_closed_is_forgotten() -> None:
    async with EventBus(strict=True) as bus:
        for _ in range(100):
            bus.subscribe(Counted, Heard().note).close()
            with bus.stream(Counted):
                await bus.publish(Counted())
        await settle()
        assert bus._subscriptions == []
        assert bus._inlets == []


async def test_a_full_mailbox_of_ends_drops_the_progress_that_arrives() -> None:
    heard = Heard()
    async with EventBus(strict=True) as bus:
        subscription = bus.subscribe(Counted, heard.held, mailbox=2)
        await bus.publish(Counted(number=0))
        await settle()
        for number in (1, 2):
            await bus.publish(Ended(number=number))
        await bus.publish(Tick(number=3))
        assert subscription.dropped == 1
        heard.gate.set()
    assert heard.numbers == [0, 1, 2]


async def test_drained_returns_when_its_subscriber_was_cut() -> None:
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            async with EventBus(grace=0.05) as bus:
                subscription = bus.subscribe(Counted, Heard().held)
                await bus.publish(Counted())
                tasks.start_soon(subscription.drained)
                await settle()


async def test_a_handler_cannot_wait_for_handlers() -> None:
    errors: list[BaseException] = []
    async with EventBus(strict=True) as bus:

        async def wait(event: Counted) -> None:
            try:
                await bus.drain()
            except ReentrantPublishError as error:
                errors.append(error)

        bus.subscribe(Counted, wait)
        await bus.publish(Counted())
    assert len(errors) == 1


async def test_a_lenient_bus_keeps_no_failure_alive() -> None:
    async def broken(event: Counted) -> None:
        raise ValueError("broken")

    async with EventBus() as bus:
        bus.subscribe(Counted, broken)
        for _ in range(20):
            await bus.publish(Counted())
        await bus.drain()
        assert bus._failures == []


async def test_a_handler_that_never_awaits_lets_others_run() -> None:
    turns = 0

    async def busy(event: Counted) -> None:
        until = time.monotonic() + 0.003
        while time.monotonic() < until:
            pass

    async def count() -> None:
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    async with EventBus(strict=True) as bus, anyio.create_task_group() as tasks:
        subscription = bus.subscribe(Counted, busy)
        for number in range(20):
            await bus.publish(Counted(number=number))
        tasks.start_soon(count)
        await subscription.drained()
        tasks.cancel_scope.cancel()
    assert turns > 5


async def test_a_cancel_that_leaks_from_a_handler_is_its_failure_and_no_more() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # trio, whose cancels do not leak
        return
    gone = asyncio.ensure_future(asyncio.sleep(10))
    gone.cancel()
    heard: list[Event] = []

    async def take(event: Event) -> None:
        if not heard:
            heard.append(event)
            await gone
        heard.append(event)

    async with EventBus() as bus:
        subscription = bus.subscribe(Event, take)
        await bus.publish(Event())
        await bus.publish(Event())
        await bus.drain()
        reached = True
    assert reached
    assert (subscription.failed, subscription.handled) == (1, 1)
