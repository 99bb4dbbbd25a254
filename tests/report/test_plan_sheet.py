"""What a plan's events put on its contact sheet."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from stablenew.app import open_app
from stablenew.backends.fake import Behaviour, FakeBackend, fake_picture
from stablenew.config.pipeline_config import Setting
from stablenew.config.settings import Settings
from stablenew.errors import BackendRejectedError
from stablenew.learning.learning_events import PlanExtended, PlanStarted, StepFinished
from stablenew.pipeline.results import Outcome, StageOutput
from stablenew.report import contact_sheet
from stablenew.report.plan_sheet import PlanSheet
from stablenew.report.sheet_layout import SheetAxis, lay_out
from tests.support import config


def started(values: Sequence[Setting], images: int = 1, **others: Any) -> PlanStarted:
    return PlanStarted(
        steps=len(values),
        stage="txt2img",
        variable=others.pop("variable", "cfg_scale"),
        values=tuple(values),
        images=images,
        **others,
    )


def finished(
    value: Setting, y_value: Setting = None, images: int = 1, **settings: Setting
) -> StepFinished:
    made = {"prompt": "a cat", **settings}
    outputs = tuple(
        StageOutput(
            stage="txt2img",
            image_id=f"txt2img_{number}",
            path=f"{value}-{y_value}/{number}.png",
            width=8,
            height=8,
            sha256="",
            settings={"seed": 4 + number, **made},
        )
        for number in range(1, images + 1)
    )
    return StepFinished(
        index=0, steps=1, value=value, y_value=y_value, outcome=Outcome.SUCCEEDED, outputs=outputs
    )


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is drawn, one entry for each sheet."""
    sheets: list[dict[str, Any]] = []

    def draw(layout: object, axes: object, cells: object, **texts: object) -> bytes:
        sheets.append({"layout": layout, "axes": axes, "cells": cells, **texts})
        return b"sheet"

    monkeypatch.setattr(contact_sheet, "draw_contact_sheet", draw)
    return sheets


def test_one_axis_has_its_values_in_order_and_the_seeds_above(
    drawn: list[dict[str, Any]],
) -> None:
    sheet = PlanSheet(started([7, 3], images=2, metadata={"experiment_name": "mine"}))
    sheet.extend(PlanExtended(values=(5.5,), steps=3))
    sheet.steps += [finished(7, images=2), finished(3, images=2), finished(5.5, images=2)]
    assert list(sheet.draw(Path("runs"))) == [("contact_sheet.png", b"sheet")]
    (only,) = drawn
    assert [axis.labels for axis in only["axes"]] == [
        ("cfg_scale 3", "cfg_scale 5.5", "cfg_scale 7")
    ]
    assert only["cells"][(1,)].pictures[1].path == Path("runs/5.5-None/2.png")
    assert only["layout"] == lay_out(only["axes"], 2)
    assert (only["title"], only["subtitle"]) == ("mine: txt2img.cfg_scale", "a cat")
    assert only["pictures"] == ["seed 5", "seed 6"]


def test_a_grid_names_both_axes_and_has_the_first_one_across(drawn: list[dict[str, Any]]) -> None:
    pairs = [(name, steps) for steps in (8, 4) for name in ("Heun", "Euler")]
    sheet = PlanSheet(
        started(
            [name for name, _ in pairs],
            variable="sampler_name",
            y_variable="img2img.steps",
            y_values=tuple(steps for _, steps in pairs),
        )
    )
    sheet.steps += [finished(*pair) for pair in pairs]
    list(sheet.draw(Path()))
    (only,) = drawn
    assert only["title"] == "txt2img.sampler_name × img2img.steps"
    assert only["subtitle"] == "a cat · seed 5"
    assert [axis.labels for axis in only["axes"]] == [
        ("sampler_name Heun", "sampler_name Euler"),
        ("steps 4", "steps 8"),
    ]
    assert only["cells"][1, 0].pictures[0].path == Path("Euler-4/1.png")
    assert only["cells"][0, 1].pictures[0].path == Path("Heun-8/1.png")


def test_settings_of_the_same_name_are_told_apart_by_their_stage(
    drawn: list[dict[str, Any]],
) -> None:
    sheet = PlanSheet(
        started([4, 4], variable="steps", y_variable="img2img.steps", y_values=(4, 8))
    )
    sheet.steps += [finished(4, 4), finished(4, 8)]
    list(sheet.draw(Path()))
    assert [axis.labels[0] for axis in drawn[0]["axes"]] == ["txt2img.steps 4", "img2img.steps 4"]


@pytest.mark.parametrize(
    ("variable", "values", "subtitle", "pictures"),
    [
        ("prompt", ["a", "b"], "seed 5", ["seed 5"]),
        ("prompt", [f"an old fisherman on a boat, {end}" for end in ("by day", "at night")],
         "an old fisherman on a boat, … · seed 5", ["seed 5"]),
        ("seed", [1, 2], "a cat", ["picture 1"]),
    ],
)  # fmt: skip
def test_below_the_title_is_what_the_steps_share(
    drawn: list[dict[str, Any]],
    variable: str,
    values: list[Setting],
    subtitle: str,
    pictures: list[str],
) -> None:
    sheet = PlanSheet(started(values, variable=variable))
    sheet.steps += [finished(value) for value in values]
    list(sheet.draw(Path()))
    assert (drawn[0]["subtitle"], drawn[0]["pictures"]) == (subtitle, pictures)


async def test_a_plan_of_two_settings_leaves_a_grid(runs: Path) -> None:
    backend = FakeBackend(
        lambda request, _: Behaviour(
            error=BackendRejectedError("no") if request.settings["steps"] == 8 else None
        )
    )
    plan = {
        "target_variable": "txt2img.cfg_scale",
        "sweep_values": [7, 3, 5],
        "y_variable": "txt2img.steps",
        "y_values": [4, 8],
    }
    async with open_app(Settings(out=runs), backend=backend) as app:
        result = await app.learning.run_learning_plan(plan, config())
        await app.reports.drained()
    labels = [("cfg_scale 3", "cfg_scale 5", "cfg_scale 7"), ("steps 4", "steps 8")]
    layout = lay_out([SheetAxis(name="", labels=each) for each in labels], 1)
    with Image.open(runs / result.plan_id / "contact_sheet.png") as sheet:
        assert sheet.size == (layout.width, layout.height)
        for call in backend.calls:
            column = ["3", "5", "7"].index(str(call.settings["cfg_scale"]))
            row = ["4", "8"].index(str(call.settings["steps"]))
            x, y = layout.corner((column, row))
            with Image.open(io.BytesIO(fake_picture(call).data)) as picture:
                made = picture.getpixel((0, 0)), picture.getpixel((7, 7))
            shown = (
                sheet.getpixel((x + 9, y + 9)),
                sheet.getpixel((x + layout.cell - 9, y + layout.cell - 9)),
            )
            # What failed has a note in its place.
            assert (shown == made) == (row == 0)
