"""A workflow in place of the stages: its graph, which output is meant, and what is set in it."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from stablenew._convert import frozen_mapping
from stablenew.config.extra_settings import Scalar

WORKFLOW = "workflow"
"""What the paths of its inputs begin with, and what its stage is called."""


@attrs.frozen(kw_only=True)
class WorkflowConfig:
    """A workflow of ComfyUI's; prompts and seed are those of `txt2img`.

    Attributes:
        graph: Its nodes in API format, as JSON.
        output: The id of the node whose picture is meant; None for the likeliest.
        inputs: What stands in inputs in place of the file's value: `{"3.cfg": 7}`.
    """

    graph: str
    output: str | None = None
    inputs: Mapping[str, Scalar] = attrs.field(factory=dict, converter=frozen_mapping)
