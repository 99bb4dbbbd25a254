"""A fresh interpreter imports what a GUI embeds, and no GUI comes with it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import stablenew

GUI = {"tkinter", "_tkinter", "PySide6", "PyQt6", "PyQt5", "wx", "gi", "kivy", "textual", "toga"}


def imported(code: str) -> set[str]:
    """Return the top-level modules that some code imports in a fresh interpreter."""
    script = f"{code}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


def modules_under(*folders: str) -> list[str]:
    root = Path(stablenew.__file__).parent
    paths = [path for folder in folders for path in sorted((root / folder).glob("**/*.py"))]
    return [
        ".".join(("stablenew", *path.relative_to(root).with_suffix("").parts)).removesuffix(
            ".__init__"
        )
        for path in paths
    ]


def test_the_learning_and_controller_modules_import_no_gui() -> None:
    modules = modules_under("learning", "controller")
    assert len(modules) > 12
    assert not imported("\n".join(f"import {name}" for name in modules)) & GUI


def test_the_whole_package_imports_no_gui_and_nothing_that_is_an_extra() -> None:
    modules = modules_under("")
    extra = {"dask", "distributed"}
    assert not imported("\n".join(f"import {name}" for name in modules)) & (GUI | extra)


def test_the_check_would_notice_a_gui() -> None:
    code = "import sys, types; sys.modules['tkinter'] = types.ModuleType('tkinter')"
    assert imported(code) & GUI == {"tkinter"}


def test_importing_the_package_is_light() -> None:
    heavy = {"numpy", "PIL", "rich", "cattrs", "anyio", "asyncio"}
    assert not imported("import stablenew") & heavy
    assert not imported("import stablenew.run") & heavy
