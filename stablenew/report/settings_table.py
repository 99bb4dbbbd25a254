"""The settings of many pictures, each different value of them once. Pure.

A page of 10,000 pictures that each name a long prompt and ten settings that they all share would be
ten megabytes, read again every two seconds while a plan runs.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from stablenew.config.pipeline_config import Setting

MISSING = -1
"""The place of a setting that a picture has not."""


@attrs.define(eq=False)
class SettingsTable:
    """Values of settings, by name and place."""

    _values: dict[str, dict[tuple[type, Setting], int]] = attrs.field(factory=dict)

    def places(self, settings: Iterable[tuple[str, Setting]]) -> list[int]:
        """Return the place of each of a picture's settings, in the order of the names so far."""
        given = dict(settings)
        for name in given:
            self._values.setdefault(name, {})
        return [
            # 1, 1.0 and true are the same key and not the same value.
            found.setdefault((type(given[name]), given[name]), len(found))
            if name in given
            else MISSING
            for name, found in self._values.items()
        ]

    def value(self, name: str, places: list[int]) -> Setting:
        """Return a picture's setting; None where it has none of that name."""
        for (each, found), place in zip(self._values.items(), places, strict=False):
            if each == name and place != MISSING:
                return [*found][place][1]
        return None

    def values(self, name: str) -> tuple[Setting, ...]:
        """Return every value of a setting."""
        return tuple(value for _, value in self._values.get(name, ()))

    @property
    def plain(self) -> list[tuple[str, tuple[Setting, ...]]]:
        """Every name with its values."""
        return [(name, self.values(name)) for name in self._values]
