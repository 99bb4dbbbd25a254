"""Settings that changed nothing: steps that differ by one of them and made the same picture.

A server that takes another sampler than it was told, and says that it took that one, shows itself
by its pixels. Pictures are held against each other under one seed and one prompt alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from operator import itemgetter

import attrs

from stablenew.config.pipeline_config import Setting
from stablenew.learning.axis import label_of, without_stage
from stablenew.pipeline.results import StageOutput


@attrs.frozen(kw_only=True)
class SamePictures:
    """Values of a setting that made one and the same picture.

    Attributes:
        paths: The setting's; several, where they changed together.
        values: Those, in words.
        pictures: How many pictures that was seen with.
    """

    paths: tuple[str, ...]
    values: tuple[str, ...]
    pictures: int = 1

    def __str__(self) -> str:
        *others, last = self.values
        are = f"{', '.join(others)} and {last} are the same picture"
        often = f" ({self.pictures} times)" if self.pictures > 1 else ""
        names = " with ".join(map(without_stage, self.paths))
        return f"{names} changes nothing here: {are}{often}"


Varied = Mapping[str, Setting]


@attrs.define(eq=False)
class SameFinder:
    """Finds them among pictures that come one by one, in whatever order."""

    _groups: dict[Hashable, dict[Hashable, tuple[int, Varied]]] = attrs.field(factory=dict)

    def add(self, varied: Varied, outputs: Iterable[StageOutput], index: int) -> None:
        """Add the finished pictures of a step, with what sets it apart."""
        for output in outputs:
            if not output.blank:
                self.add_picture(varied, output.pixels, conditions_of(output.settings), index)

    def add_picture(self, varied: Varied, pixels: str, under: Hashable, index: int = 0) -> None:
        """Add a picture.

        Args:
            varied: What sets it apart.
            pixels: The digest of its pixels; "" where there is none.
            under: What it was made under.
            index: Of its step: values are told in the order of these, else as they came.
        """
        if pixels:
            group = self._groups.setdefault((pixels, under), {})
            key = tuple(sorted((p, label_of(v)) for p, v in varied.items()))
            if key not in group or index < group[key][0]:
                group[key] = index, varied

    @property
    def found(self) -> tuple[SamePictures, ...]:
        """What was found so far, what was seen most often first."""
        counts: Counter[_Alike] = Counter()
        first = itemgetter(0)
        groups = [sorted(each.values(), key=first) for each in self._groups.values()]
        for group in sorted(groups, key=lambda group: group[0][0]):
            if len(group) > 1:
                counts.update(_alike([varied for _, varied in group]))
        return tuple(
            SamePictures(paths=paths, values=values, pictures=count)
            for (paths, values), count in counts.most_common()
        )


def conditions_of(settings: Mapping[str, object]) -> Hashable:
    """Return what pictures have to share, to be held against each other: seed and prompts."""
    return tuple(str(settings.get(name)) for name in ("seed", "prompt", "negative_prompt"))


_Alike = tuple[tuple[str, ...], tuple[str, ...]]
"""Paths, and their values in words."""


def _alike(group: list[Varied]) -> list[_Alike]:
    """Return each setting by which alone some of a group differ, with their values."""
    found: list[_Alike] = []
    paths = dict.fromkeys(path for varied in group for path in varied)
    for path in paths:
        beside: dict[Hashable, list[str]] = {}
        for varied in group:
            others = tuple(sorted((p, label_of(v)) for p, v in varied.items() if p != path))
            beside.setdefault(others, []).append(label_of(varied.get(path)))
        found += [((path,), tuple(each)) for each in beside.values() if len(each) > 1]
    if found:
        return found
    differ = [path for path in paths if len({label_of(each.get(path)) for each in group}) > 1]
    values = (", ".join(label_of(each.get(path)) for path in differ) for each in group)
    return [(tuple(differ), tuple(values))]
