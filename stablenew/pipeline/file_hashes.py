"""What a backend said of the files that it made pictures with, as long as it is used."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from stablenew.backends.base import Picture
from stablenew.pipeline.stage_files import told_hashes
from stablenew.pipeline.stage_plan import PlannedStage


@attrs.define(eq=False)
class FileHashes:
    """The hashes that were told with pictures.

    Attributes:
        told: By `lora:film`, `model:full`, …
    """

    told: Mapping[str, str] = attrs.field(factory=dict)
    _never_told: frozenset[str] = frozenset()

    def note(self, stage: PlannedStage, picture: Picture) -> None:
        """Take note of what was told with a picture of a stage, and what was not."""
        self.told = {**self.told, **told_hashes(stage.settings, picture)}
        self._never_told |= frozenset(stage.by_name_alone(self.told))

    def all_told(self, stage: PlannedStage) -> bool:
        """Return whether the next picture of a stage tells nothing new, if the last did not."""
        return self._never_told.issuperset(stage.by_name_alone(self.told))
