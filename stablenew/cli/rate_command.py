"""The command `rate`: picture after picture, a key for each; or the ratings of a page."""

from __future__ import annotations

import random
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import combinations
from pathlib import Path

import anyio.to_thread
import attrs
import msgspec

from stablenew._clock import utc_now
from stablenew.cli.exit_codes import ExitCode
from stablenew.cli.printing import say, show_drawing
from stablenew.cli.terminal import can_draw, draw, leave_key, read_key
from stablenew.errors import ConfigError, RecordError
from stablenew.learning.feedback_manager import (
    check_writable,
    prefer,
    record_feedback,
    withdraw_feedback,
)
from stablenew.learning.feedback_reader import Rating, checked_rating, read_feedback
from stablenew.learning.gallery import Gallery, Shown, open_gallery
from stablenew.learning.learning_execution import Rate, RateAnswer
from stablenew.storage.disk_errors import disk_errors
from stablenew.storage.record_reader import NOT_JSON

_KEYS = "1–5 rate, s skip, u undo, n note, q quit"
_PAIR_KEYS = "1 the left one is better, 2 the right one, s skip, q quit"


def plan_folder(given: str, out: str) -> str:
    """Return a plan's folder, for its path or just its id."""
    return given if Path(given).exists() or "/" in given else str(Path(out, given))


@attrs.frozen(kw_only=True)
class Terminal:
    """What a person sees and presses.

    Attributes:
        key: Returns the next key.
        line: Returns a line of text.
        viewer: Whether pictures are opened in a viewer and not drawn.
    """

    key: Callable[[], str] = read_key
    line: Callable[[str], str] = input
    viewer: bool = False

    async def ask(self) -> str:
        """Return the next key; a cancel does not wait for one."""
        try:
            return await anyio.to_thread.run_sync(self.key, abandon_on_cancel=True)
        finally:
            leave_key()

    async def note(self) -> str | None:
        """Return a line of text, None for an empty one and at the end of the input."""
        try:
            return await anyio.to_thread.run_sync(self.line, "note: ") or None
        except EOFError:
            return None

    def show(self, pictures: list[Shown]) -> None:
        """Draw pictures, or open them, or at least say where they are."""
        paths = [picture.path for picture in pictures]
        if self.viewer:
            for path in paths:
                webbrowser.open(path.as_uri())
        elif can_draw():
            show_drawing(draw(paths))
        for path in paths:
            say(path)


async def rate(
    folder: str, *, again: bool = False, pairs: bool = False, terminal: Terminal = Terminal()
) -> ExitCode:
    """Ask for ratings of a plan's pictures, or for choices between pairs of them.

    Args:
        folder: The plan's.
        again: Whether pictures that were rated are asked about again.
        pairs: Whether to ask which of two is better.
        terminal: Where to ask.

    Raises:
        ConfigError: The folder is no plan.
    """
    gallery = open_gallery(folder, report=_tell)
    runs = sorted({picture.run_id for picture in gallery.pictures})
    await anyio.to_thread.run_sync(check_writable, gallery.base_dir, runs)
    fine = tuple(picture for picture in gallery.pictures if not picture.blank)
    if len(fine) < len(gallery.pictures):
        say(f"left out, for they are one single colour: {len(gallery.pictures) - len(fine)}")
    gallery = attrs.evolve(gallery, pictures=fine)
    if pairs:
        return await _ask_pairs(gallery, terminal)
    rated = read_feedback(gallery.base_dir, run_ids=runs, report=_tell).ratings
    asked = [each for each in gallery.pictures if again or each.key not in rated]
    # Neither in the order of the values nor with them shown: who knows the value rates the value.
    random.Random(gallery.plan_id).shuffle(asked)
    if not asked:
        say(f"all {len(gallery.pictures)} pictures are rated; --again asks once more")
        return ExitCode.SUCCEEDED
    say(_KEYS)
    given = await _ask(gallery, asked, rated, terminal)
    await _show_on_page(gallery)
    say(f"ratings: {given}, of {len(asked)} pictures")
    return ExitCode.SUCCEEDED


async def _ask(
    gallery: Gallery,
    asked: list[Shown],
    before: Mapping[tuple[str, str], Rating],
    terminal: Terminal,
) -> int:
    """Go through the pictures; return how many ratings stand in the end."""
    given: list[int] = []
    index = 0
    note: str | None = None
    shown = -1
    while index < len(asked):
        picture = asked[index]
        if shown != index:
            terminal.show([picture])
            say(f"{index + 1}/{len(asked)}: ", end="", flush=True)
            shown = index
        key = await terminal.ask()
        if key in ("q", "\x1b", ""):
            break
        if key in "12345":
            await record_feedback(*picture.key, int(key), note, base_dir=gallery.base_dir)
            say(f"{key}  {gallery.label(picture)}")
            given.append(index)
            index, note = index + 1, None
        elif key == "s":
            say("skipped")
            index, note = index + 1, None
        elif key == "n":
            note = await terminal.note()
        elif key == "u" and given:
            index, shown = given.pop(), -1
            await _take_back(gallery, asked[index], before.get(asked[index].key))
            say("taken back")
        else:
            say(_KEYS)
    return len(given)


async def _take_back(gallery: Gallery, picture: Shown, earlier: Rating | None) -> None:
    """Undo a rating: the earlier one counts again, if there was one."""
    if earlier is None or earlier.rating is None:
        await withdraw_feedback(*picture.key, base_dir=gallery.base_dir)
        return
    await record_feedback(
        *picture.key,
        earlier.rating,
        earlier.notes,
        base_dir=gallery.base_dir,
        subscores=earlier.subscores,
        tags=earlier.tags,
    )


def asker(
    terminal: Terminal = Terminal(),
    held: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Rate:
    """Return what asks for one rating after the other: a key for each, q for no more.

    Args:
        terminal: Where to ask.
        held: Entered while a question is open, so that nothing else is printed into it.
    """

    async def ask(picture: Shown, /) -> Rating | int | RateAnswer | None:
        with held():
            terminal.show([picture])
            say("1–5 rate, s skip, q quit: ", end="", flush=True)
            while True:
                key = await terminal.ask()
                if key and key in "12345":
                    say(f"{key}  {_values(picture)}")
                    return int(key)
                if key == "s":
                    say("skipped")
                    return Rating(run_id=picture.run_id, image_id=picture.image_id, rating=None)
                if key in ("q", "\x1b", ""):
                    say("enough")
                    return RateAnswer.ENOUGH

    return ask


async def _ask_pairs(gallery: Gallery, terminal: Terminal) -> ExitCode:
    say(_PAIR_KEYS)
    chosen = 0
    runs = sorted({picture.run_id for picture in gallery.pictures})
    choices = read_feedback(gallery.base_dir, run_ids=runs, report=_tell).choices
    compared = {frozenset((choice.winner, choice.loser)) for choice in choices}
    for left, right in _pairs(gallery):
        if frozenset((left.key, right.key)) in compared:
            continue
        terminal.show([left, right])
        key = ""
        while key not in ("1", "2", "s"):
            key = await terminal.ask()
            if key in ("q", "\x1b", ""):
                say(f"choices: {chosen}")
                return ExitCode.SUCCEEDED
        if key == "s":
            continue
        winner, loser = (left, right) if key == "1" else (right, left)
        await prefer(winner.key, loser.key, base_dir=gallery.base_dir)
        chosen += 1
        say(f"{gallery.label(winner)} before {gallery.label(loser)}")
    say(f"choices: {chosen}")
    return ExitCode.SUCCEEDED


def _pairs(gallery: Gallery) -> Iterator[tuple[Shown, Shown]]:
    """Yield pairs that share a seed and differ in a value, in an order and on sides of chance."""
    chance = random.Random(gallery.plan_id)
    seeds: dict[object, list[Shown]] = {}
    for picture in gallery.pictures:
        seeds.setdefault(picture.settings.get("seed"), []).append(picture)
    pairs = [
        pair
        for group in seeds.values()
        for pair in combinations(group, 2)
        if pair[0].varied != pair[1].varied
    ]
    chance.shuffle(pairs)
    for one, other in pairs:
        yield (one, other) if chance.random() < 0.5 else (other, one)


async def rate_from(folder: str, file: str) -> ExitCode:
    """Take the ratings of a file that a report's page has downloaded.

    A rating of an unknown picture, or one that is none, is told and left out; the rest is used.

    Raises:
        ConfigError: No such folder or file, or a file from another plan.
    """
    gallery = open_gallery(folder, report=_tell)
    runs = sorted({picture.run_id for picture in gallery.pictures})
    await anyio.to_thread.run_sync(check_writable, gallery.base_dir, runs)
    ratings = _read_file(Path(file), gallery.plan_id)
    keys = {picture.key for picture in gallery.pictures}
    taken, problems = 0, []
    for number, rating in enumerate(ratings, start=1):
        try:
            key, score, notes = _checked(rating, keys)
        except ConfigError as error:
            problems.append(f"{file}: rating {number}: {error}")
            continue
        await record_feedback(*key, score, notes, base_dir=gallery.base_dir)
        taken += 1
    for problem in problems:
        say(problem, err=True)
    await _show_on_page(gallery)
    left_out = f", left out: {len(problems)}" if problems else ""
    say(f"ratings: {taken}{left_out}")
    return ExitCode.FAILED if problems and not taken else ExitCode.SUCCEEDED


def _read_file(path: Path, plan_id: str) -> list[object]:
    try:
        data = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except NOT_JSON as error:
        raise ConfigError(f"{path}: no ratings file: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("ratings"), list):
        raise ConfigError(f"{path}: no ratings file, expected one that a report's page has saved")
    if data.get("plan_id") != plan_id:
        raise ConfigError(f"{path}: is for the plan {data.get('plan_id')!r}, expected {plan_id!r}")
    return list(data["ratings"])


def _checked(rating: object, keys: set[tuple[str, str]]) -> tuple[tuple[str, str], int, str | None]:
    if not isinstance(rating, dict):
        raise ConfigError(f"given {rating!r}, expected an object")
    key = str(rating.get("run_id")), str(rating.get("image_id"))
    if key not in keys:
        raise ConfigError(f"given {key[0]}/{key[1]}, which is no picture of this plan")
    notes = rating.get("notes")
    return key, checked_rating("rating", rating.get("rating")), str(notes) if notes else None


async def _show_on_page(gallery: Gallery) -> None:
    """Write the plan's page again, with the ratings on it."""
    from stablenew.report.page import PAGE, rebuild_page

    folder = gallery.base_dir / gallery.plan_id
    with disk_errors(folder / PAGE, "the page is not written"):
        await anyio.to_thread.run_sync(partial(rebuild_page, folder, written=utc_now().isoformat()))


def _values(picture: Shown) -> str:
    return ", ".join(f"{path.partition('.')[2]}={value}" for path, value in picture.varied.items())


def _tell(problem: RecordError) -> None:
    say(f"left out: {problem}", err=True)
