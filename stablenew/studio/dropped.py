"""A file that was dropped onto the page: what it is, by what is in it; everything here blocks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stablenew.backends.comfyui.picture_chunks import SIGNATURE
from stablenew.backends.comfyui.workflows.api_format import is_api_format
from stablenew.backends.comfyui.workflows.ui_graph import is_ui_format
from stablenew.errors import ConfigError
from stablenew.studio.answers import NotNowError, TooLargeError
from stablenew.studio.jobs import job_of_plan
from stablenew.studio.plan_files import (
    is_plan,
    is_stored_plan,
    job_of_table,
    read_table,
    stored_plan_of,
)
from stablenew.studio.uploads import MOST_PACK, Uploads

_PICTURES = (".png", ".jpg", ".jpeg", ".webp")  # what is called so and is none is told so
_WRAPPED_IN = ("prompt", "workflow", "output")


def taken(uploads: Uploads, name: str, data: bytes) -> dict[str, Any]:
    """Take a file, and say as `kind` what it is: `image`, `workflow`, `plan` or `pack`.

    Raises:
        ConfigError: It is none of them; nothing is kept.
        NotNowError: It cannot be kept.
        TooLargeError: It is larger than its kind may be.
    """
    if data.startswith((SIGNATURE, b"\xff\xd8\xff", b"RIFF")) or name.lower().endswith(_PICTURES):
        image = {"kind": "image", **uploads.add_image(name, data)}
        return {**image, **_workflow_of(uploads, name, data)}
    table = _table_of(name, data)
    if table is not None and is_stored_plan(table):
        return _of_stored(uploads, table)
    if table is not None and _is_workflow(table):
        return {"kind": "workflow", **uploads.add_workflow(name, data)}
    if table is not None and (is_plan(table) or name.lower().endswith(".toml")):
        return {"kind": "plan", **job_of_table(table)}
    if len(data) > MOST_PACK:
        raise TooLargeError(f"a pack of {len(data):,} bytes, expected at most {MOST_PACK:,}")
    return {"kind": "pack", **uploads.add_pack(name, data)}


def _table_of(name: str, data: bytes) -> Mapping[str, object] | None:
    """Return the table that a file holds; None where it holds something else.

    Raises:
        ConfigError: It is to be a plan file, and cannot be read.
    """
    text = data.decode("utf-8-sig", errors="replace")
    if name.lower().endswith(".toml"):
        return read_table(text, name)
    if not text.lstrip().startswith("{"):
        return None
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        if name.lower().endswith(".json"):
            raise ConfigError(f"not JSON: {error}") from None
        return None
    return table if isinstance(table, Mapping) else None


def _is_workflow(table: Mapping[str, object]) -> bool:
    inner = next((table[key] for key in _WRAPPED_IN if isinstance(table.get(key), Mapping)), None)
    tables = [table, *([inner] if isinstance(inner, Mapping) else [])]
    return any(is_ui_format(each) or is_api_format(each) for each in tables)


def _workflow_of(uploads: Uploads, name: str, data: bytes) -> dict[str, object]:
    """Return the workflow that a picture carries, kept as well; nothing where it has none."""
    try:
        return {"workflow": uploads.add_workflow(name, data)["workflow"]}
    except (ConfigError, NotNowError):
        return {}


def _of_stored(uploads: Uploads, table: Mapping[str, object]) -> dict[str, Any]:
    """Return the job of a `plan.json`, its workflow kept beside the others."""
    stored = stored_plan_of(table)
    job = job_of_plan(stored)
    if (workflow := stored.config.workflow) is not None:
        kept = uploads.add_workflow(f"{Path(stored.plan_id).name}.json", workflow.graph.encode())
        job["workflow"] = kept["workflow"]
    return {"kind": "plan", "job": job, "errors": []}
