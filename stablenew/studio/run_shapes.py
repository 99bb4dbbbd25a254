"""What the page is shown of a run's metadata and of a plan's file. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from stablenew.learning.feedback_reader import Rating
from stablenew.studio.pictures import THUMBNAILS

Key = tuple[str, str]


@attrs.frozen(kw_only=True)
class Run:
    """What is known of a run: its metadata, and what was said of its pictures."""

    id: str
    owner: str
    metadata: Mapping[str, Any]
    ratings: Mapping[Key, Rating]
    pictures: tuple[dict[str, Any], ...]


_OURS = frozenset(
    ("run_type", "plan_id", "step_index", "stage", "variable_name", "variable_value", "varied")
)


def tags_of(run: Run) -> dict[str, Any]:
    """Return what a person tagged a run with."""
    tags = run.metadata.get("metadata") or {}
    return {name: value for name, value in tags.items() if name not in _OURS}


def picture_of(
    data: Mapping[str, Any],
    run_id: str,
    owner: str,
    output: Mapping[str, Any],
    ratings: Mapping[Key, Rating],
) -> dict[str, Any]:
    """Return a picture as the page has it."""
    image_id, path = str(output["image_id"]), str(output["path"])
    made_in, _, _ = path.partition("/")
    said = ratings.get((run_id, image_id))
    thumb = f"{THUMBNAILS}/{made_in}/{Path(path).stem}.jpg"
    return {
        "run_id": run_id,
        "image_id": image_id,
        "plan_id": None if owner == run_id else owner,
        "url": f"files/{path}",
        "thumb": thumb,
        "width": output["width"],
        "height": output["height"],
        "varied": (data.get("metadata") or {}).get("varied") or {},
        "settings": output.get("settings") or {},
        "seconds": output.get("seconds") or 0.0,
        "blank": bool(output.get("blank")),
        "reused_from": output.get("reused_from"),
        "warnings": list(output.get("warnings") or ()),
        "rating": said.rating if said else None,
        "notes": said.notes if said else None,
    }


def steps_of(plan: Mapping[str, Any]) -> int:
    """Return how many steps a plan has, at a glance."""
    told = plan["plan"]
    total = 1
    for axis in told.get("axes") or ():
        total *= max(1, len(axis.get("values") or axis.get("choices") or (1,)))
    total = min(total, told.get("sample") or total, plan.get("max_steps") or total)
    return int(len(told["first"]) if told.get("first") else total)


def title_of(plan: Mapping[str, Any] | None, tags: Mapping[str, Any]) -> str:
    """Return what to call a plan: its experiment and what it varies."""
    name = tags.get("experiment_name")
    axes = ((plan or {}).get("plan") or {}).get("axes") or ()
    varied = " × ".join(str(axis.get("path") or axis.get("name") or "") for axis in axes)
    return f"{name}: {varied}" if name and varied else str(name or varied)


def either_of(of_plan: str, plan: Mapping[str, Any] | None, of_run: str, runs: list[Run]) -> Any:
    """Return what a plan's file says, or else the first of its runs."""
    return (plan or {}).get(of_plan) or (runs[0].metadata.get(of_run) if runs else None)
