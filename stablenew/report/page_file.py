"""The file of a plan's page, put together from its modules and its stylesheet.

A browser loads no modules for a page that it opens from disk, so they stand in it one after the
other, without their imports and exports. They share a scope there: no two of them may give the same
name to something.
"""

from __future__ import annotations

import functools
import re
from importlib import resources

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([a-z_]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=const|class|function|async)", re.MULTILINE)

MAIN = "report.js"


@functools.cache
def page_file() -> bytes:
    """Return the page, whole."""
    page = _with(static("report.html"), "style.css", static("style.css"))
    return _with(page, MAIN, modules(MAIN)).encode()


def static(name: str) -> str:
    """Return a file of the page as the package has it."""
    return resources.files("stablenew.report").joinpath("static", name).read_text("utf-8")


def modules(name: str) -> str:
    """Return a module after those that it imports, each once, as one script."""
    found: dict[str, str] = {}
    _add(name, found)
    return "\n".join(found.values())


def _add(name: str, found: dict[str, str]) -> None:
    text = static(name)
    for imported in _IMPORT.findall(text):
        if imported not in found:
            _add(imported, found)
    found[name] = _EXPORT.sub("", _IMPORT.sub("", text))


def _with(page: str, name: str, text: str) -> str:
    return page.replace(f"/* {name} */\n", text)
