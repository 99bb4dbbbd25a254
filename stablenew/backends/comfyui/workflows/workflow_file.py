"""Files that hold a workflow: API format, UI format, wrapped in either, or a picture's chunks.

The API format is what `Workflow › Export (API)` writes and what a server takes. The UI format is
what `Save` writes: positions and widgets, which only a server's list of nodes can make sense of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import attrs

from stablenew._arguments import shown
from stablenew._names import checked_path
from stablenew.backends.comfyui.object_info import ObjectInfo
from stablenew.backends.comfyui.picture_chunks import SIGNATURE, texts_of
from stablenew.backends.comfyui.workflows.api_format import is_api_format, read_api_format
from stablenew.backends.comfyui.workflows.ui_conversion import convert
from stablenew.backends.comfyui.workflows.ui_graph import UIGraph, is_ui_format, read_ui_graph
from stablenew.backends.comfyui.workflows.workflow import Workflow
from stablenew.errors import ConfigError

LARGEST = 128 * 1024 * 1024
"""Bytes of a file that are read: a large picture carries its workflow, too."""

_WRAPPED_IN = ("graph", "prompt", "workflow", "output", "config")
"""`plan.json` of a plan's folder has it as `config.workflow.graph`."""

_EXPECTED = (
    "expected a ComfyUI workflow: Workflow › Export (API), Save, or a picture that carries one"
)


@attrs.frozen(kw_only=True)
class WorkflowFile:
    """A workflow as a file has it.

    Attributes:
        name: What to call it in messages.
        api: The workflow, where the file has what a server takes.
        ui: What the file has instead.
    """

    name: str
    api: Workflow | None = None
    ui: UIGraph | None = None

    @property
    def format(self) -> str:
        """Which format the file has."""
        return "API format" if self.api is not None else "UI format"

    def workflow(self, info: ObjectInfo | None) -> Workflow:
        """Return the workflow.

        Args:
            info: The nodes of the server that is to run it; only the API format can do without.

        Raises:
            ConfigError: It cannot be converted: why, and how to export it.
        """
        try:
            if self.api is not None:
                return self.api
            assert self.ui is not None
            return convert(self.ui, info)
        except ConfigError as error:
            raise ConfigError(*(f"{self.name}: {problem}" for problem in error.problems)) from None


def read_workflow_file(path: object) -> WorkflowFile:
    """Read a file that holds a workflow; blocks.

    Raises:
        ConfigError: There is no such file, or no workflow in it.
    """
    file = checked_path("workflow", path)
    try:
        size = file.stat().st_size
        data = file.read_bytes() if size <= LARGEST else b""
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    if size > LARGEST:
        raise ConfigError(f"{path}: {size:,} bytes, expected at most {LARGEST:,}; {_EXPECTED}")
    return read_workflow(data, str(path))


def read_workflow(data: bytes, name: str = "workflow") -> WorkflowFile:
    """Read a file's content.

    Raises:
        ConfigError: There is no workflow in it.
    """
    try:
        if data.startswith(SIGNATURE):
            return _of_picture(data, name)
        return _of_json(_parsed(data), name)
    except ConfigError as error:
        raise ConfigError(*(f"{name}: {problem}" for problem in error.problems)) from None
    except RecursionError:
        raise ConfigError(f"{name}: nested too deeply; {_EXPECTED}") from None


def _of_picture(data: bytes, name: str) -> WorkflowFile:
    """Read what a picture carries: what the server got before what the page showed."""
    texts = texts_of(data)
    found = [texts[each] for each in ("prompt", "workflow") if each in texts]
    if not found:
        carries = ", ".join(sorted(texts)) or "no text"
        raise ConfigError(f"a picture without a workflow (it carries {carries}); {_EXPECTED}")
    for number, text in enumerate(found, start=1):
        try:
            return _of_json(_parsed(text), name)
        except ConfigError:
            if number == len(found):
                raise
    raise AssertionError("unreachable")


def _parsed(data: bytes) -> object:
    """Return JSON as Python reads it, which takes the NaN that ComfyUI writes into pictures."""
    try:
        return json.loads(data)
    except (ValueError, UnicodeDecodeError) as error:
        said = str(error).partition("; ")[0]
        raise ConfigError(f"no JSON ({said}); {_EXPECTED}") from None


def _of_json(data: object, name: str) -> WorkflowFile:
    for _ in range(4):  # {"config": {"workflow": {"graph": …}}}; no file goes deeper
        if not isinstance(data, Mapping):
            raise ConfigError(f"given {shown(data)}; {_EXPECTED}")
        if is_ui_format(data):
            return WorkflowFile(name=name, ui=read_ui_graph(data))
        if is_api_format(data):
            return WorkflowFile(name=name, api=read_api_format(data))
        inner = next((data[key] for key in _WRAPPED_IN if key in data), None)
        data = _parsed(inner.encode()) if isinstance(inner, str) else inner
        if data is None:
            break
    raise ConfigError(f"no nodes in it; {_EXPECTED}")
