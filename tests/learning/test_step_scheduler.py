from __future__ import annotations

import tracemalloc
from collections.abc import Hashable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_pool import Simulation, counted, large

from stablenew.learning.step_scheduler import NodeState, StepScheduler


def test_one_node_gets_all_steps_in_their_order() -> None:
    costs = [1.0, 5.0, 2.0, 9.0]
    scheduler = StepScheduler(["a"], [0] * 4, cost=costs.__getitem__)
    simulation = Simulation(scheduler=scheduler, nodes=["a"], seconds=lambda _, p: costs[p])
    simulation.run()
    assert list(simulation.made) == [0, 1, 2, 3]


def test_a_node_gets_no_step_that_it_cannot_make() -> None:
    scheduler = StepScheduler(
        ["a", "b"], ["x", "y"] * 10, fits=lambda node, need: (node, need) != ("a", "y")
    )
    simulation = Simulation(scheduler=scheduler, nodes=["a", "b"])
    simulation.run()
    assert len(simulation.made) == 20
    assert not [p for p, node in simulation.made.items() if node == "a" and p % 2]


def test_a_step_goes_where_its_model_is_loaded() -> None:
    switches = 0
    last: dict[str, int] = {}

    def seconds(node: str, place: int) -> float:
        nonlocal switches
        switches += last.get(node) != place % 3
        last[node] = place % 3
        return 1.0

    scheduler = StepScheduler(["a", "b", "c"], [0, 1, 2] * 40, load=lambda need: need)
    Simulation(scheduler=scheduler, nodes=["a", "b", "c"], seconds=seconds).run()
    assert switches == 3


def test_what_a_node_had_loaded_before_counts() -> None:
    scheduler = StepScheduler(["a", "b"], ["x", "y"] * 9, load=lambda need: need)
    scheduler.note_loaded("a", "y")
    assert scheduler.next_step("a", 0) == 1
    assert scheduler.next_step("b", 0) == 0


def test_towards_the_end_the_longest_go_first() -> None:
    costs = [1.0] * 10 + [8.0]
    scheduler = StepScheduler(["a", "b"], [0] * 11, cost=costs.__getitem__)
    simulation = Simulation(
        scheduler=scheduler, nodes=["a", "b"], seconds=lambda _, place: costs[place]
    )
    simulation.run()
    assert simulation.now <= 10  # 9 is what half of all takes; last of all it would be 13


@pytest.mark.parametrize("ahead", [False, True])
def test_a_slow_node_gets_fewer_and_nobody_waits_for_it(ahead: bool) -> None:
    speed = {"a": 1.0, "b": 1.0, "slow": 10.0}
    scheduler = StepScheduler(speed, [0] * 60)
    simulation = Simulation(
        scheduler=scheduler,
        nodes=list(speed),
        seconds=lambda node, _: speed[node],
        ahead=ahead,
    )
    simulation.run()
    made = counted(simulation)
    assert made["slow"] == 2 + ahead  # the next one would be done long after all others
    assert simulation.now <= 30


def test_a_slow_node_takes_the_last_step_where_nobody_else_can() -> None:
    scheduler = StepScheduler(["a", "slow"], [0] * 3, fits=lambda node, _: node == "slow")
    simulation = Simulation(scheduler=scheduler, nodes=["a", "slow"], seconds=lambda *_: 10.0)
    simulation.run()
    assert counted(simulation) == {"slow": 3}


def test_the_step_of_a_node_that_went_away_is_the_next() -> None:
    scheduler = StepScheduler(["a", "b"], [0] * 30)
    assert [scheduler.next_step("a", 0), scheduler.next_step("b", 0)] == [0, 1]
    scheduler.lost("a")
    assert scheduler.pause("a") == 1
    assert scheduler.ended("b", 1, good=True) is False
    assert scheduler.next_step("b", 1) == 0


def test_a_step_that_was_given_back_is_the_next_also_where_others_take_longer() -> None:
    scheduler = StepScheduler(["a", "b"], [1] + [0] * 9, cost=float)
    assert [scheduler.next_step("a", 0), scheduler.next_step("b", 0)] == [0, 1]
    scheduler.ended("b", 1, good=None)
    assert scheduler.next_step("b", 1) == 9
    scheduler.lost("a")
    scheduler.ended("b", 2, good=None)
    assert scheduler.next_step("b", 2) == 0


def test_a_node_that_is_away_is_looked_for_with_growing_pauses_until_it_makes_something() -> None:
    scheduler = StepScheduler(["a", "b"], [0] * 30)
    scheduler.next_step("a", 0)
    scheduler.lost("a")
    pauses = [scheduler.pause("a"), *(scheduler.still_away("a") for _ in range(7))]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    scheduler.returned("a")
    scheduler.next_step("a", 200)
    scheduler.ended("a", 201, good=True)
    scheduler.next_step("a", 202)
    scheduler.lost("a")
    assert scheduler.pause("a") == 1


def test_a_node_that_fails_three_times_while_others_succeed_is_set_aside() -> None:
    scheduler = StepScheduler(["a", "bad"], [0] * 40)
    simulation = Simulation(
        scheduler=scheduler, nodes=["a", "bad"], fails=lambda node, _: node == "bad"
    )
    simulation.run()
    assert simulation.aside == ["bad"]
    assert scheduler.state("bad") is NodeState.ASIDE
    assert counted(simulation) == {"a": 37, "bad": 3}


def test_no_node_is_set_aside_where_all_of_them_fail() -> None:
    simulation = Simulation(
        scheduler=StepScheduler(["a", "b"], [0] * 20), nodes=["a", "b"], fails=lambda *_: True
    )
    simulation.run()
    assert simulation.aside == []
    assert len(simulation.made) == 20


def test_what_is_settled_for_a_busy_node_goes_to_one_that_would_be_done_before() -> None:
    scheduler = StepScheduler(["a", "slow"], [0] * 30)
    for node, seconds in (("a", 1), ("slow", 10)):
        scheduler.next_step(node, 0)
        scheduler.ended(node, seconds, good=True)
    taken = [scheduler.next_step("slow", 10), scheduler.reserve("slow", 10)]
    while scheduler.waiting:
        taken.append(scheduler.next_step("a", 10))
        scheduler.ended("a", 11, good=None)
    assert scheduler.next_step("a", 11) == taken[1]
    scheduler.ended("slow", 12, good=True)
    assert scheduler.next_step("slow", 12) is None


def test_what_is_settled_for_a_busy_node_stays_where_it_is_done_first() -> None:
    scheduler = StepScheduler(["a", "slow"], [0] * 30)
    for node, seconds in (("a", 1), ("slow", 10)):
        scheduler.next_step(node, 0)
        scheduler.ended(node, seconds, good=True)
    scheduler.next_step("a", 10)
    settled = scheduler.reserve("a", 10)
    while scheduler.waiting and scheduler.next_step("slow", 10) is not None:
        scheduler.ended("slow", 11, good=None)
    assert scheduler.next_step("slow", 10) is None
    scheduler.ended("a", 11, good=True)
    assert scheduler.next_step("a", 11) == settled


def test_nothing_is_settled_that_others_would_be_done_with_before_the_node_is_free() -> None:
    scheduler = StepScheduler(["a", "slow"], [0] * 17)
    for node, seconds in (("a", 1), ("slow", 10)):
        scheduler.next_step(node, 0)
        scheduler.ended(node, seconds, good=True)
    scheduler.next_step("slow", 10)
    scheduler.next_step("a", 10)
    assert scheduler.waiting == 13  # for which the other one takes 14 s, and this one 20 for one
    assert scheduler.reserve("slow", 10) is None


def test_what_others_succeeded_with_before_sets_no_node_aside() -> None:
    simulation = Simulation(
        scheduler=StepScheduler(["a", "b"], [0] * 20),
        nodes=["a", "b"],
        fails=lambda _, place: place > 5,
    )
    simulation.run()
    assert simulation.aside == []


def test_a_reserved_step_is_nobody_elses_until_it_is_released() -> None:
    scheduler = StepScheduler(["a", "b"], [0] * 30)
    assert scheduler.next_step("a", 0) == 0
    assert scheduler.reserve("a", 0) == 1
    assert scheduler.next_step("b", 0) == 2
    scheduler.ended("a", 1, good=True)
    assert scheduler.next_step("a", 1) == 1
    assert scheduler.reserve("a", 1) == 3
    scheduler.lost("a")
    scheduler.ended("b", 2, good=True)
    assert [scheduler.next_step("b", 2)] == [1]
    assert scheduler.reserve("b", 2) == 3


@settings(max_examples=60, deadline=None)
@given(
    nodes=st.integers(1, 6),
    needs=st.lists(st.integers(0, 3), max_size=60),
    lacking=st.sets(st.tuples(st.integers(1, 5), st.integers(0, 3))),
    seed=st.randoms(use_true_random=False),
    ahead=st.booleans(),
)
def test_no_step_is_lost_and_none_is_made_twice(
    nodes: int, needs: list[int], lacking: set[tuple[int, int]], seed: object, ahead: bool
) -> None:
    names = [str(number) for number in range(nodes)]  # "0" can make everything, and never fails

    def fits(node: str, need: Hashable) -> bool:
        return (int(node), need) not in lacking

    def unlucky(node: str, place: int) -> bool:
        return node != "0" and seed.random() < 0.3  # type: ignore[attr-defined]

    simulation = Simulation(
        scheduler=StepScheduler(names, needs, fits=fits, load=lambda need: need),
        nodes=names,
        seconds=lambda node, place: seed.uniform(0.5, 2),  # type: ignore[attr-defined]
        dies=unlucky,
        fails=unlucky,
        ahead=ahead,
    )
    simulation.run()
    assert sorted(simulation.made) == list(range(len(needs)))
    assert all(fits(node, needs[place]) for place, node in simulation.made.items())


def test_a_large_pool_loses_no_step_while_nodes_die() -> None:
    simulation = large(40, 4_000)
    simulation.run()
    assert sorted(simulation.made) == list(range(4_000))
    assert simulation.deaths > 0


def test_a_waiting_step_takes_less_than_a_kilobyte() -> None:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        scheduler = StepScheduler(["a"], (place % 3 for place in range(20_000)))
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken / scheduler.waiting < 1024
