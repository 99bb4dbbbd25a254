"""Real servers and clusters killed while a plan runs on them: `scripts/kill_pool.py`."""

from __future__ import annotations

from pathlib import Path

import kill_cluster
import kill_pool

from tests.support import THOROUGH, rounds


async def test_whichever_server_or_program_is_killed_when_all_is_as_undisturbed(
    tmp_path: Path,
) -> None:
    wrong = await kill_pool.rounds(rounds(1, 100), 3, tmp_path, clients=THOROUGH)
    assert wrong == 0
    assert kill_pool.moved, "no server was killed while it made a picture"


if THOROUGH:  # each round starts processes for seconds

    async def test_whatever_of_a_cluster_is_killed_when_all_is_as_undisturbed(
        tmp_path: Path,
    ) -> None:
        wrong = await kill_cluster.cluster_rounds(len(kill_cluster.KILLS), 11, tmp_path)
        assert wrong == 0
        assert kill_cluster.moved, "no worker was killed while it made a picture"
