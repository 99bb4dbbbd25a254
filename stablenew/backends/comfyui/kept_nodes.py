"""Nodes that go along with every prompt, so that the server keeps what they have loaded. Pure.

A server keeps the results of the nodes that its last prompt had, whatever they are linked to. An
upscale that has no checkpoint in it makes the next txt2img load it from disk again.
"""

from __future__ import annotations

from collections.abc import Mapping

from stablenew.backends.comfyui.graph import checkpoints_of, loaders_of

Nodes = Mapping[str, Mapping[str, object]]


class KeptNodes:
    """What the last prompt of each stage has loaded."""

    def __init__(self) -> None:
        self._of_stages: dict[str, Nodes] = {}

    def beside(self, stage: str, nodes: Nodes) -> dict[str, Mapping[str, object]]:
        """Return a stage's nodes with those that others will need again.

        Args:
            stage: The nodes' own.
            nodes: What makes the picture; where it has checkpoints, others are let go.
        """
        checkpoints = checkpoints_of(nodes)
        if checkpoints:
            self._of_stages = {
                name: kept
                for name, kept in self._of_stages.items()
                if checkpoints_of(kept) <= checkpoints
            }
        self._of_stages.pop(stage, None)
        others = [node for kept in self._of_stages.values() for node in kept.items()]
        self._of_stages[stage] = loaders_of(nodes, f"kept {stage} ")
        return {**nodes, **dict(others)}
