"""Ratings and choices that a person gives in the page: kept at once, and taken back."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio.to_thread
import attrs

from stablenew._convert import frozen_mapping
from stablenew.learning.feedback_manager import (
    prefer,
    record_feedback,
    withdraw_choice,
    withdraw_feedback,
)
from stablenew.learning.feedback_reader import Rating, read_feedback
from stablenew.studio.feed import Say

_UNDONE = 1_000
"""Ratings that can be taken back, the last ones."""

Key = tuple[str, str]


@attrs.frozen(kw_only=True)
class GivenRating:
    """What the page says of a picture; None takes back what was said."""

    run_id: str
    image_id: str
    rating: int | None = None
    notes: str | None = None
    subscores: Mapping[str, int] = attrs.field(factory=dict, converter=frozen_mapping)
    tags: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """The picture's."""
        return self.run_id, self.image_id


@attrs.frozen(kw_only=True)
class GivenChoice:
    """Which of two pictures is better; each a run's id and a picture's."""

    winner: tuple[str, str]
    loser: tuple[str, str]


class Ratings:
    """Keeps what is said of pictures, and what was said before.

    Args:
        out: The folder of all runs.
        say: Tells every tab.
    """

    def __init__(self, out: Path, say: Say) -> None:
        self._out = out
        self._say = say
        self._done: deque[tuple[Key, Rating | None] | GivenChoice] = deque(maxlen=_UNDONE)

    async def rate(self, given: GivenRating) -> dict[str, Any]:
        """Keep a rating, or take one back.

        Raises:
            ConfigError: It is none.
            RecordError: It is not on disk.
        """
        before = await self._before(given.key)
        await self._keep(given)
        self._done.append((given.key, before))
        return {"rating": given.rating, "previous": before.rating if before else None}

    async def choose(self, given: GivenChoice) -> None:
        """Keep a choice.

        Raises:
            ConfigError: It is none.
            RecordError: It is not on disk.
        """
        await prefer(given.winner, given.loser, base_dir=self._out)
        self._done.append(given)
        self._say("chosen", winner=given.winner, loser=given.loser)

    async def undo(self) -> dict[str, Any] | None:
        """Take back the last rating or choice; None where there is none."""
        if not self._done:
            return None
        last = self._done.pop()
        if isinstance(last, GivenChoice):
            await withdraw_choice(last.winner, last.loser, base_dir=self._out)
            pair = {"winner": last.winner, "loser": last.loser}
            self._say("unchosen", **pair)
            return {"kind": "choice", **pair}
        (run_id, image_id), before = last
        again = GivenRating(
            run_id=run_id,
            image_id=image_id,
            rating=before.rating if before else None,
            notes=before.notes if before else None,
            subscores=before.subscores if before else {},
            tags=before.tags if before else (),
        )
        await self._keep(again)
        return {"kind": "rating", "run_id": run_id, "image_id": image_id, "rating": again.rating}

    async def _keep(self, given: GivenRating) -> None:
        if given.rating is None:
            await withdraw_feedback(*given.key, base_dir=self._out)
        else:
            await record_feedback(
                *given.key,
                given.rating,
                given.notes,
                base_dir=self._out,
                subscores=given.subscores,
                tags=given.tags,
            )
        self._say("rated", run_id=given.run_id, image_id=given.image_id, rating=given.rating)

    async def _before(self, key: Key) -> Rating | None:
        """Return the rating that counts now.

        Raises:
            ConfigError: The run's id is none.
        """

        def look() -> Rating | None:
            feedback = read_feedback(self._out, run_ids=[key[0]], report=lambda _: None)
            return feedback.ratings.get(key)

        return await anyio.to_thread.run_sync(look)
