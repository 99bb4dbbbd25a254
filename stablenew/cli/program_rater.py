"""A program that rates pictures in place of a person: it gets a path and prints a number.

An aesthetic scorer of one's own is a few lines: read the picture at `sys.argv[1]`, print 1 to 5.
The last line that it prints counts; a fraction is rounded. A picture that it does not rate (it ends
with an error, prints something else, or takes too long) is unrated; three in a row end the plan.
"""

from __future__ import annotations

import math
import shlex
import shutil
import subprocess
from collections.abc import Sequence

import anyio

from stablenew.cli.printing import say
from stablenew.errors import ConfigError
from stablenew.learning.feedback_reader import Rating
from stablenew.learning.gallery import Shown
from stablenew.learning.learning_plan import LearningPlan

_MOST_FAILED = 3
_PATIENCE = 120.0
_SHOWN = 200
"""Letters of what a program said that are repeated."""


class ProgramRater:
    """Asks a program for one rating after the other.

    Args:
        words: The program and its arguments; the picture's path comes last.
        patience: How many seconds it has for a picture.

    Raises:
        ConfigError: There is no such program.
    """

    def __init__(self, words: Sequence[str], *, patience: float = _PATIENCE) -> None:
        if not words or shutil.which(words[0]) is None:
            given = words[0] if words else ""
            raise ConfigError(f"--rater: given {given!r}, expected a program that can be started")
        self._words = tuple(words)
        self._patience = patience
        self._failed = 0

    @property
    def command(self) -> str:
        """The program and its arguments, as a shell would read them."""
        return shlex.join(self._words)

    async def __call__(self, picture: Shown, /) -> Rating | int | None:
        """Return a picture's rating; one without a number where the program did not rate it.

        Raises:
            ConfigError: It failed three times in a row: with what it said.
        """
        try:
            rating = await self._rating(picture)
        except ValueError as error:
            self._failed += 1
            said = f"--rater: {self._words[0]} {error}"
            if self._failed == _MOST_FAILED:
                raise ConfigError(f"{said}: the third time in a row") from None
            say(f"{said}; the picture is unrated", err=True)
            return Rating(run_id=picture.run_id, image_id=picture.image_id, rating=None)
        self._failed = 0
        return rating

    async def _rating(self, picture: Shown) -> int:
        """Return what the program says.

        Raises:
            ValueError: It says no rating: what it did instead.
        """
        with anyio.move_on_after(self._patience):
            try:
                done = await anyio.run_process(
                    [*self._words, str(picture.path)], stdin=subprocess.DEVNULL, check=False
                )
            except OSError as error:
                raise ValueError(f"cannot be started ({error.strerror})") from error
            printed, complained = (_last_line(each) for each in (done.stdout, done.stderr))
            if done.returncode != 0:
                raise ValueError(f"ended with {done.returncode}: {complained or 'it said nothing'}")
            return _number(printed)
        raise ValueError(f"did not answer in {self._patience:g} s")


def rater_of(text: object, plan: LearningPlan | None) -> ProgramRater | None:
    """Return what asks the program of a command line; None where none is given.

    Raises:
        ConfigError: It is none, or the plan asks for no ratings.
    """
    if text is None:
        return None
    if plan is None or not plan.is_adaptive:
        raise ConfigError("--rater: of what? expected with --explore PATH=LOW..HIGH")
    try:
        words = shlex.split(str(text))
    except ValueError as error:
        raise ConfigError(f"--rater: given {text!r}, expected a command line ({error})") from None
    return ProgramRater(words)


def _last_line(printed: bytes) -> str:
    lines = printed.decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[:_SHOWN]


def _number(printed: str) -> int:
    try:
        number = float(printed)
    except ValueError:
        number = math.nan
    if not 0.5 <= number < 5.5:
        raise ValueError(f"printed {printed!r}, expected a number from 1 to 5")
    return math.floor(number + 0.5)
