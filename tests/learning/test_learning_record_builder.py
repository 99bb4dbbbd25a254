from __future__ import annotations

import json
from datetime import UTC, datetime

import attrs
import pytest

from stablenew.backends.fake import FAKE_CAPABILITIES
from stablenew.learning.learning_record_builder import build_learning_record
from stablenew.pipeline.results import (
    Outcome,
    PipelineRunResult,
    StageOutput,
    StageResult,
)
from stablenew.pipeline.stage_plan import plan_stages
from tests.support import config

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


def output(stage: str, number: int, **settings: object) -> StageOutput:
    return StageOutput(
        stage=stage,
        image_id=f"{stage}_{number}",
        path=f"run-1/{stage}_{number}.png",
        width=64,
        height=48,
        sha256="ab" * 32,
        settings={"width": 1, "seed": 1, **settings},
        ignored_words=("flurb",) if number == 1 else (),
    )


@pytest.fixture
def result() -> PipelineRunResult:
    asked = config(upscale={})
    used = {
        "model": "used",
        "sampler_name": "Heun",
        "scheduler": "Karras",
        "steps": 9,
        "cfg_scale": 3,
    }
    stages = [("txt2img", used), ("upscale", {**used, "upscaler_1": "Lanczos", "vae": None})]
    return PipelineRunResult(
        run_id="run-1",
        plan_id="plan-1",
        outcome=Outcome.SUCCEEDED,
        stage_plan=plan_stages(asked, FAKE_CAPABILITIES),
        stage_results=tuple(
            StageResult(
                stage=stage,
                outcome=Outcome.SUCCEEDED,
                started_at=AT,
                finished_at=AT,
                duration=1.5,
                images_requested=1,
                outputs=(output(stage, 1, **settings),),
            )
            for stage, settings in stages
        ),
        metadata={
            "run_type": "learning",
            "stage": "txt2img",
            "variable_name": "cfg_scale",
            "variable_value": 3,
            "plan_steps": 4,
            "prompt_pack_id": "heroes",
            "prompt_id": "heroes#2",
        },
        config=asked,
        started_at=AT,
        finished_at=AT,
    )


def test_the_primary_fields_are_what_was_really_used(result: PipelineRunResult) -> None:
    record = build_learning_record(result)
    assert record.primary_model == "used"
    assert record.primary_sampler == "Heun"
    assert record.primary_scheduler == "Karras"
    assert (record.primary_steps, record.primary_cfg_scale) == (9, 3)


def test_the_record_says_which_plan_prompt_and_value_it_belongs_to(
    result: PipelineRunResult,
) -> None:
    record = build_learning_record(result)
    assert (record.run_id, record.plan_id) == ("run-1", "plan-1")
    assert (record.prompt_pack_id, record.prompt_id) == ("heroes", "heroes#2")
    assert record.variant_configs == ({"txt2img.cfg_scale": 3},)
    assert (record.randomizer_mode, record.randomizer_plan_size) == ("sweep", 4)
    assert record.metadata["variable_value"] == 3
    assert record.timestamp == "2026-11-20T12:00:00+00:00"


def test_each_stage_has_an_event_and_each_picture_an_output(result: PipelineRunResult) -> None:
    record = build_learning_record(result)
    assert record.stage_plan == ("txt2img", "upscale")
    assert record.stage_events[0] == {
        "stage": "txt2img",
        "status": "succeeded",
        "started_at": "2026-11-20T12:00:00+00:00",
        "finished_at": "2026-11-20T12:00:00+00:00",
        "duration_s": 1.5,
        "images": 1,
    }
    first, second = record.outputs
    assert (first["image_id"], first["width"], first["height"]) == ("txt2img_1", 64, 48)
    assert first["sha256"] == "ab" * 32
    assert first["ignored_words"] == ["flurb"]
    assert second["stage"] == "upscale"
    assert "vae" not in second


def test_defaults_are_recorded_as_resolved(result: PipelineRunResult) -> None:
    record = build_learning_record(result)
    txt2img = record.base_config["txt2img"]
    assert isinstance(txt2img, dict)
    assert txt2img["steps"] == 20


def test_building_is_deterministic_and_gives_one_line_of_json(result: PipelineRunResult) -> None:
    one, two = build_learning_record(result), build_learning_record(result)
    assert one == two
    assert one.to_json() == two.to_json()
    assert json.loads(one.to_json())["run_id"] == "run-1"


def test_a_single_run_has_no_variant(result: PipelineRunResult) -> None:
    single = attrs.evolve(result, metadata={"run_type": "single"}, plan_id=None)
    record = build_learning_record(single)
    assert record.variant_configs == ()
    assert (record.randomizer_mode, record.randomizer_plan_size) == ("", 1)


def test_a_run_without_pictures_falls_back_to_what_was_planned(result: PipelineRunResult) -> None:
    bare = attrs.evolve(result, stage_results=(), outputs=())
    assert build_learning_record(bare).primary_model == "fake-model"
