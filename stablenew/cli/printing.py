"""What a person reads on stdout and stderr: the one place that prints text that is not ours.

Prompts, names and what servers say are data wherever they land: a line stays one line, nothing in
it moves the cursor, colours or turns round what follows, and no encoding of a stream fails.
"""

from __future__ import annotations

import codecs
import sys
import unicodedata
from collections.abc import Iterable
from contextlib import suppress

_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Categories of what is not seen but does something, and of halves of surrogate pairs."""

_JOINERS = "\u200c\u200d"
"""Hidden too, but words of many languages and pictures like 👩‍🚀 need them."""

_LOOKS_LIKE = {"–": "-", "—": "-", "−": "-", "…": "...", "×": "x", "’": "'", "“": '"', "”": '"'}


def printable(text: object) -> str:
    r"""Return text as one line that shows all that is in it.

    Control characters, line breaks, marks of direction and the like become what Python writes for
    them: `\n`, `\x1b`, `\u202e`. Everything else stays as it is, brackets and `:cat:` included.
    """
    line = str(text)
    if line.isascii() and line.isprintable():
        return line
    return "".join(_escape(each) if _hides(each) else each for each in line)


def say(line: object, *, err: bool = False, end: str = "\n", flush: bool = False) -> None:
    """Print one line, made printable.

    Args:
        line: May hold anything.
        err: To stderr.
        end: What ends it, as it is.
        flush: Whether it is to be seen at once.
    """
    print(printable(line), file=sys.stderr if err else sys.stdout, end=end, flush=flush)


def say_all(lines: Iterable[object]) -> None:
    """Print several lines, each made printable."""
    for line in lines:
        say(line)


def show_drawing(drawing: str) -> None:
    """Print what we drew ourselves: its escapes are colours."""
    print(drawing)


def write_json(line: bytes) -> None:
    """Print a line of JSON, which is UTF-8 whatever the stream's encoding is."""
    sys.stdout.flush()
    sys.stdout.buffer.write(line + b"\n")


def take_any_text() -> None:
    r"""Have stdout and stderr take every character, and stdin every byte, whatever they encode.

    A pipe on Windows has cp1252, a file in the C locale ASCII: what they lack is written as
    `\u732b` (a dash as a dash), and the exit code stays that of the work.
    """
    for name, errors in (("stdin", "replace"), ("stdout", _ERRORS), ("stderr", _ERRORS)):
        reconfigure = getattr(getattr(sys, name), "reconfigure", None)
        if reconfigure is not None:  # a StringIO has no encoding
            with suppress(OSError):  # stdin was read from already
                reconfigure(errors=errors)


def _hides(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN and character not in _JOINERS


def _escape(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii")


def _encodable(error: UnicodeError) -> tuple[str, int]:
    """Stand in for what an encoding lacks (an error handler of `codecs`)."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_LOOKS_LIKE.get(each) or _escape(each) for each in missing), error.end


_ERRORS = "stablenew.printing"
codecs.register_error(_ERRORS, _encodable)
