"""What a plan's events put on its contact sheet."""

from __future__ import annotations

import io
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from stablenew.app import open_app
from stablenew.backends.fake import Behaviour, FakeBackend, fake_picture
from stablenew.config.pipeline_config import Setting
from stablenew.config.settings import Settings
from stablenew.errors import BackendRejectedError
from stablenew.learning.axis import (
    Axis,
    axis_in_step,
    axis_of_images,
    axis_of_presets,
    axis_of_prompts,
    axis_of_values,
)
from stablenew.learning.learning_events import PlanStarted, StepFinished
from stablenew.learning.learning_plan import LearningPlan
from stablenew.pipeline.results import Outcome, StageOutput
from stablenew.report import contact_sheet
from stablenew.report.plan_sheet import MOST_SHEETS, PlanSheet
from stablenew.report.sheet_layout import SheetAxis, lay_out
from tests.support import config


def started(*axes: Axis, images: int = 1, **others: Any) -> PlanStarted:
    plan = LearningPlan(axes=axes)
    return PlanStarted(
        steps=plan.count,
        stage=plan.stage,
        variable=plan.target_variable,
        values=(),
        images=images,
        axes=axes,
        **others,
    )


def finished(
    *places: int, value: Setting = None, images: int = 1, **settings: Setting
) -> StepFinished:
    made = {"prompt": "a cat", **settings}
    outputs = tuple(
        StageOutput(
            stage="txt2img",
            image_id=f"txt2img_{number}",
            path=f"{'-'.join(map(str, places or (value,)))}/{number}.png",
            width=8,
            height=8,
            sha256="",
            settings={"seed": 4 + number, **made},
        )
        for number in range(1, images + 1)
    )
    return StepFinished(
        index=0,
        steps=1,
        value=value,
        places=places,
        outcome=Outcome.SUCCEEDED,
        outputs=outputs,
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
    cfg = axis_of_values("txt2img.cfg_scale", [7, 3, 5.5])
    sheet = PlanSheet(started(cfg, images=2, metadata={"experiment_name": "mine"}))
    sheet.steps += [finished(n, images=2) for n in range(3)]
    assert list(sheet.draw(Path("runs"))) == [("contact_sheet.png", b"sheet")]
    (only,) = drawn
    assert [axis.labels for axis in only["axes"]] == [
        ("cfg_scale 3", "cfg_scale 5.5", "cfg_scale 7")
    ]
    assert [only["cells"][n,].pictures[1].path for n in range(3)] == [
        Path("runs/1/2.png"),
        Path("runs/2/2.png"),
        Path("runs/0/2.png"),
    ]
    assert only["layout"] == lay_out(only["axes"], 2)
    assert (only["title"], only["subtitle"]) == ("mine: txt2img.cfg_scale", "a cat")
    assert only["pictures"] == ["seed 5", "seed 6"]


def test_an_exploration_is_one_row_of_what_was_made(drawn: list[dict[str, Any]]) -> None:
    """Of a grid of 1,150 cells two were made: a sheet for each sampler would be all holes."""
    cfg = axis_of_values("txt2img.cfg_scale", range(1, 24))
    prompt, seed = axis_of_prompts(["a cat"]), axis_of_values("txt2img.seed", [4, 5])
    sheet = PlanSheet(started(cfg, NAMES, prompt, seed, mode="adaptive"))
    sheet.steps += [finished(*at) for at in ((9, 1, 0, 0), (2, 0, 0, 0), (9, 0, 0, 0))]
    list(sheet.draw(Path("runs")))
    (only,) = drawn
    assert [axis.labels for axis in only["axes"]] == [
        (
            "cfg_scale 10, sampler_name Euler",
            "cfg_scale 3, sampler_name Heun",
            "cfg_scale 10, sampler_name Heun",
        )
    ]
    assert only["cells"][1,].pictures[0].path == Path("runs/2-0-0-0/1.png")


NAMES = axis_of_values("txt2img.sampler_name", ["Heun", "Euler"])
STEPS = axis_of_values("img2img.steps", [8, 4])


def test_a_grid_names_both_axes_and_has_the_first_one_across(drawn: list[dict[str, Any]]) -> None:
    sheet = PlanSheet(started(NAMES, STEPS, images=2))
    sheet.steps += [finished(*places, images=2) for places in product(range(2), range(2))]
    list(sheet.draw(Path()))
    (only,) = drawn
    assert only["title"] == "txt2img.sampler_name × img2img.steps"
    assert only["subtitle"] == "a cat · seeds 5, 6"
    assert [axis.labels for axis in only["axes"]] == [
        ("sampler_name Heun", "sampler_name Euler"),
        ("steps 4", "steps 8"),
    ]
    assert only["cells"][1, 0].pictures[0].path == Path("1-1/1.png")
    assert only["cells"][0, 1].pictures[0].path == Path("0-0/1.png")


def test_settings_of_the_same_name_are_told_apart_by_their_stage(
    drawn: list[dict[str, Any]],
) -> None:
    sheet = PlanSheet(started(axis_of_values("txt2img.steps", [4]), STEPS))
    sheet.steps += [finished(0, 0), finished(0, 1)]
    list(sheet.draw(Path()))
    assert [axis.labels[0] for axis in drawn[0]["axes"]] == ["txt2img.steps 4", "img2img.steps 4"]


def test_three_axes_are_a_sheet_for_each_value_of_the_third(drawn: list[dict[str, Any]]) -> None:
    cfg = axis_of_values("txt2img.cfg_scale", [9, 3, 5])
    sheet = PlanSheet(started(NAMES, STEPS, cfg))
    sheet.steps += [finished(*places) for places in product(range(2), range(2), range(2))]
    names = [name for name, _ in sheet.draw(Path())]
    assert names == ["contact_sheet.png", "contact_sheet_2.png"]  # cfg_scale 5 has no picture
    assert [each["title"] for each in drawn] == [
        f"txt2img.sampler_name × img2img.steps, cfg_scale {value}" for value in (3, 9)
    ]
    assert [each["cells"][1, 0].pictures[0].path for each in drawn] == [
        Path("1-1-1/1.png"),
        Path("1-1-0/1.png"),
    ]
    assert all(len(each["cells"]) == 4 for each in drawn)


def test_so_many_sheets_are_drawn_and_the_last_says_that_there_would_be_more(
    drawn: list[dict[str, Any]],
) -> None:
    seeds = axis_of_values("txt2img.seed", range(500))
    sheet = PlanSheet(started(NAMES, STEPS, seeds))
    sheet.steps += [finished(0, 0, place) for place in range(500)]
    names = [name for name, _ in sheet.draw(Path())]
    assert (len(names), names[-1]) == (MOST_SHEETS, f"contact_sheet_{MOST_SHEETS}.png")
    assert drawn[-1]["title"].endswith("seed 99 (the last sheet of 500; the page has all)")
    assert "last" not in drawn[-2]["title"]


FISHERMAN = "portrait photo of an old fisherman on a boat"


@pytest.mark.parametrize(
    ("axis", "labels"),
    [
        (axis_of_values("lora.film", [0.6, 0.2]), ("film 0.2", "film 0.6")),
        (
            axis_of_values("txt2img.prompt", [f"{FISHERMAN} <lora:film:{w}>" for w in (0.2, 0.6)]),
            ("film 0.2", "film 0.6"),
        ),
        (axis_of_values("replace.red", ["red", "blue"]), ("red → red", "red → blue")),
        (
            axis_in_step({"txt2img.sampler_name": ["Heun", "Euler"], "txt2img.steps": [8, 16]}),
            ("Heun, steps=8", "Euler, steps=16"),
        ),
        (axis_of_presets({"soft": {"txt2img.steps": 4}, "crisp": {"txt2img.steps": 4}}),
         ("preset soft", "preset crisp")),
        (axis_of_prompts(["a cat", ("a cat", "blurry")]), ("prompt a cat #1", "prompt a cat #2")),
        (axis_of_values("txt2img.prompt", ["<b>&amp;", "<b>\u202e\n &amp;"]),
         ("prompt <b>&amp;", "prompt <b> &amp;")),
    ],
)  # fmt: skip
def test_labels_say_what_differs_and_never_the_same_twice(
    axis: Axis, labels: tuple[str, ...], drawn: list[dict[str, Any]]
) -> None:
    sheet = PlanSheet(started(axis))
    sheet.steps += [finished(place) for place in range(len(axis.choices))]
    list(sheet.draw(Path()))
    assert drawn[0]["axes"][0].labels == labels


def test_what_no_step_had_when_a_plan_was_cut_takes_no_room(drawn: list[dict[str, Any]]) -> None:
    many = axis_of_values("txt2img.steps", list(range(1, 4001)))
    sheet = PlanSheet(started(many, NAMES))
    sheet.steps += [finished(1, 0), finished(0, 0)]
    list(sheet.draw(Path()))
    (only,) = drawn
    assert [axis.labels for axis in only["axes"]] == [
        ("steps 1", "steps 2"),
        ("sampler_name Heun",),
    ]
    assert [only["cells"][n, 0].pictures[0].path for n in (0, 1)] == [
        Path("0-0/1.png"),
        Path("1-0/1.png"),
    ]


@pytest.mark.parametrize(
    ("axis", "prompts", "subtitle", "pictures"),
    [
        (axis_of_prompts(["a", "b"]), ["a", "b"], "seed 5", ["seed 5"]),
        (axis_of_values("replace.night", ["day", "night"]),
         [f"an old fisherman on a boat, at {when}" for when in ("day", "night")],
         "an old fisherman on a boat, at … · seed 5", ["seed 5"]),
        (axis_of_values("txt2img.seed", [1, 2]), ["a cat", "a cat"], "a cat", ["picture 1"]),
    ],
)  # fmt: skip
def test_below_the_title_is_what_the_steps_share(
    drawn: list[dict[str, Any]],
    axis: Axis,
    prompts: list[str],
    subtitle: str,
    pictures: list[str],
) -> None:
    sheet = PlanSheet(started(axis))
    sheet.steps += [finished(place, prompt=prompt) for place, prompt in enumerate(prompts)]
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


def test_a_sheet_knows_what_its_steps_start_from(drawn: list[dict[str, Any]]) -> None:
    axes = axis_of_images(["/b/2.png", "/b/1.png"]), axis_of_values("img2img.steps", [8, 4])
    sheet = PlanSheet(started(*axes))
    sheet.steps.append(finished(1, 0, image="/b/1.png"))
    list(sheet.draw(Path()))
    (made,) = drawn
    assert [axis.images for axis in made["axes"]] == [("/b/1.png",), ("",)]
    assert {place: cell.image for place, cell in made["cells"].items()} == {(0, 0): "/b/1.png"}
