"""From what became of a run to its record. Pure: no I/O, no clock, the same in, the same out."""

from __future__ import annotations

from collections.abc import Mapping

from stablenew._arguments import takes
from stablenew._convert import unstructure
from stablenew.learning.learning_record import SCHEMA_VERSION, LearningRecord
from stablenew.pipeline.results import PipelineRunResult, StageOutput, StageResult


@takes(result=PipelineRunResult)
def build_learning_record(result: PipelineRunResult) -> LearningRecord:
    """Build the record of a run.

    Args:
        result: Of a run that succeeded.
    """
    primary = _primary_settings(result)
    tags = dict(result.metadata)
    return LearningRecord(
        run_id=result.run_id,
        plan_id=result.plan_id,
        timestamp=result.finished_at.isoformat(),
        base_config=result.resolved_config,
        variant_configs=_variants(tags),
        randomizer_mode="sweep" if "variable_name" in tags else "",
        randomizer_plan_size=_number(tags.get("plan_steps"), 1),
        primary_model=str(primary.get("model") or ""),
        primary_sampler=str(primary.get("sampler_name") or ""),
        primary_scheduler=str(primary.get("scheduler") or ""),
        primary_steps=_number(primary.get("steps"), 0),
        primary_cfg_scale=_fraction(primary.get("cfg_scale")),
        metadata=_table(unstructure(tags)),
        stage_plan=result.stage_plan.names,
        stage_events=tuple(_stage_event(stage) for stage in result.stage_results),
        outputs=tuple(_output(output) for output in result.outputs),
        schema_version=SCHEMA_VERSION,
        prompt_pack_id=_text(tags.get("prompt_pack_id")),
        prompt_id=_text(tags.get("prompt_id")),
        backend=result.stage_plan.backend,
        backend_version=result.stage_plan.version,
    )


def _primary_settings(result: PipelineRunResult) -> Mapping[str, object]:
    """Return what the first picture was really made with, or else what was planned."""
    if result.outputs:
        return result.outputs[0].settings
    stages = result.stage_plan.stages
    return stages[0].settings if stages else {}


def _variants(tags: Mapping[str, object]) -> tuple[Mapping[str, object], ...]:
    if isinstance(varied := tags.get("varied"), Mapping):
        return (dict(varied),)
    if "variable_name" not in tags:
        return ()
    varied = {f"{tags.get('stage')}.{tags['variable_name']}": tags.get("variable_value")}
    if "y_variable" in tags:
        varied[str(tags["y_variable"])] = tags.get("y_value")
    return (varied,)


def _stage_event(stage: StageResult) -> dict[str, object]:
    return {
        "stage": stage.stage,
        "status": str(stage.outcome),
        "started_at": stage.started_at.isoformat(),
        "finished_at": stage.finished_at.isoformat(),
        "duration_s": stage.duration,
        "images": len(stage.outputs),
    }


def _output(output: StageOutput) -> dict[str, object]:
    settings = {name: value for name, value in output.settings.items() if value is not None}
    words = {"ignored_words": list(output.ignored_words)} if output.ignored_words else {}
    if output.warnings:
        words["warnings"] = list(output.warnings)
    blank = {"blank": True} if output.blank else {}
    pixels = {"pixels": output.pixels} if output.pixels else {}
    again = {"reused_from": output.reused_from} if output.reused_from else {}
    return {
        **settings,
        **words,
        **again,
        **blank,
        **pixels,
        "stage": output.stage,
        "image_id": output.image_id,
        "path": output.path,
        "width": output.width,
        "height": output.height,
        "sha256": output.sha256,
    }


def _table(value: object) -> Mapping[str, object]:
    assert isinstance(value, Mapping)
    return value


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _number(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) else otherwise


def _fraction(value: object) -> float:
    return value if isinstance(value, int | float) else 0.0
