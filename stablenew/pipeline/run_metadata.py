"""`run_metadata.json`: what one run was asked and what became of it, beside its pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from stablenew._convert import given, json_line, unstructure
from stablenew.pipeline.results import PipelineRunResult

METADATA_FILE = "run_metadata.json"


def build_run_metadata(result: PipelineRunResult) -> dict[str, object]:
    """Return a run's metadata as plain data; the first six keys are those of older files."""
    tags, image = dict(result.metadata), result.stage_plan.image
    return {
        "run_id": result.run_id,
        "timestamp": result.finished_at.isoformat(),
        "packs": [tags["prompt_pack_id"]] if tags.get("prompt_pack_id") else [],
        "one_click_action": tags.get("one_click_action_id"),
        "config": result.resolved_config,
        "stage_outputs": [given(output) for output in result.outputs],
        "outcome": str(result.outcome),
        "error": unstructure(result.error),
        "plan_id": result.plan_id,
        "backend": result.stage_plan.backend,
        "backend_version": result.stage_plan.version,
        "duration": result.duration,
        "stages": [
            {
                "stage": stage.stage,
                "outcome": str(stage.outcome),
                "duration": stage.duration,
                "receipt": unstructure(stage.receipt),
            }
            for stage in result.stage_results
        ],
        "metadata": tags,
        **({"image": given(image)} if image is not None else {}),
        **({"node": result.node} if result.node is not None else {}),
    }


def encode_metadata(metadata: Mapping[str, object]) -> bytes:
    """Return metadata as indented JSON."""
    return msgspec.json.format(json_line(metadata), indent=2) + b"\n"


def final_outputs(metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the pictures of a run's last stage, as its metadata has them.

    Raises:
        KeyError: It is no run's metadata.
    """
    last = [stage["stage"] for stage in metadata["stages"]][-1:]
    return [each for each in metadata["stage_outputs"] if each["stage"] in last]
