"""The pictures of a plan, and what each is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stablenew.learning.gallery import Gallery, Shown

BOAT = "portrait photo of an old fisherman on a boat"


def shown(**varied: Any) -> Shown:
    paths = {f"txt2img.{name}": value for name, value in varied.items()}
    return Shown(run_id="r", image_id="i", path=Path(), varied=paths, settings={})


def test_a_picture_is_called_by_what_sets_its_run_apart() -> None:
    pictures = [
        shown(prompt=f"{BOAT} <lora:film:{weight}>", steps=steps)
        for weight in (0.2, 0.6)
        for steps in (4, 8.0)
    ]
    gallery = Gallery(plan_id="p", base_dir=Path(), pictures=tuple(pictures))
    assert [gallery.label(each) for each in pictures] == [
        "prompt=film 0.2, steps=4",
        "prompt=film 0.2, steps=8",
        "prompt=film 0.6, steps=4",
        "prompt=film 0.6, steps=8",
    ]


def test_odd_values_of_a_foreign_file_have_names_as_well() -> None:
    pictures = (shown(x=[1]), shown(x={"a": 1}), shown(x=True), shown(x=1), shown(x=None))
    gallery = Gallery(plan_id="p", base_dir=Path(), pictures=pictures)
    labels = [gallery.label(each) for each in pictures]
    assert labels == ["x=[1]", "x={'a': 1}", "x=true", "x=1", "x=None"]
