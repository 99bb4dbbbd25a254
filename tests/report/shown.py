"""What a plan's page shows, read from its data as the page reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def data_of(folder: Path) -> dict[str, Any]:
    """Return the data of a page as it is written."""
    text = (folder / "report_data.js").read_text()
    data = json.loads(text.removeprefix("window.STABLENEW_REPORT = ").removesuffix(";\n"))
    assert isinstance(data, dict)
    return data


def steps_of(folder: Path) -> list[dict[str, Any]]:
    """Return the steps of a page: each with its values in words, and its pictures' settings."""
    data = data_of(folder)
    for step in data["steps"]:
        axes = zip(data["axes"], step["at"], strict=True)
        step["values"] = {axis["path"]: axis["texts"][place] for axis, place in axes}
        for picture in step["pictures"]:
            places = zip(data["settings"], picture["settings"], strict=False)
            picture["settings"] = {
                name: values[place] for (name, values), place in places if place >= 0
            }
    steps: list[dict[str, Any]] = data["steps"]
    return steps
