"""Several servers: what handing out steps costs, in a simulation on a virtual clock.

Usage: bench_pool.py [--nodes 1000] [--steps 1000000]
"""

from __future__ import annotations

import argparse
import os
import time
import tracemalloc

from simulated_pool import counted, large

from stablenew.learning.step_scheduler import StepScheduler


def simulate(nodes: int, steps: int) -> None:
    """Run a plan on a large pool of which one node in a hundred is away at any time."""
    simulation = large(nodes, steps)
    before = time.perf_counter()
    simulation.run()
    took = time.perf_counter() - before
    each = simulation.scheduling / steps * 1e6
    fewest, *_, most = sorted(counted(simulation).values())
    print(f"{nodes:,} nodes, {steps:,} steps: {steps - len(simulation.made)} lost, none made twice")
    print(
        f"  scheduling: {each:.1f} µs a step (≤ 100), of {took / steps * 1e6:.1f} µs with the clock"
    )
    print(f"  {simulation.deaths:,} times a node went away; steps a node: {fewest} to {most}")


def waiting(steps: int) -> None:
    """Say what a waiting step takes."""
    tracemalloc.start()
    scheduler = StepScheduler(["a", "b"], (place % 3 for place in range(steps)))
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    print(f"  a waiting step takes {taken / scheduler.waiting:.0f} bytes (≤ 1,024)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1_000)
    parser.add_argument("--steps", type=int, default=1_000_000)
    flags = parser.parse_args()
    print(f"load: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    simulate(flags.nodes, flags.steps)
    waiting(flags.steps)


if __name__ == "__main__":
    main()
