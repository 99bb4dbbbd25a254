"""The page's file: its modules as one script, which a browser takes from disk."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from stablenew.report.page_file import MAIN, modules, page_file, static

STATIC = Path(str(resources.files("stablenew.report"))) / "static"


def test_the_page_has_everything_that_it_needs_but_its_data() -> None:
    page = page_file().decode()
    assert re.findall(r'src="([^"]*)"', page) == ["report_data.js"]
    assert "href=" not in page
    assert not re.search(r"^(import|export) ", page, re.MULTILINE)
    assert "/* style.css */" not in page


def test_a_module_stands_once_and_after_what_it_imports() -> None:
    text = modules(MAIN)
    for name in ("class Grid ", "class Compare ", "const key =", "function element("):
        assert text.count(name) == 1
        assert text.index(name) < text.index("function setUp()")


def test_no_two_modules_give_something_the_same_name() -> None:
    names = re.findall(
        r"^(?:async )?(?:const|let|class|function\*?) (\w+)", modules(MAIN), re.MULTILINE
    )
    assert len(names) > 20
    assert sorted({*names}) == sorted(names)


def test_modules_are_short_and_end_no_script() -> None:
    for path in STATIC.iterdir():
        text = path.read_text()
        assert len(text.splitlines()) < 300, path
        assert path.suffix == ".html" or "</script" not in text.lower()
    assert static(MAIN) in (STATIC / MAIN).read_text()
