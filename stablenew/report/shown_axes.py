"""What a plan varies as its page and its sheets show it: names, labels, and the order. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import attrs

from stablenew._convert import is_a_number
from stablenew.config.overrides import IMAGE, LORA, TEXT_EDITS
from stablenew.config.pipeline_config import Setting
from stablenew.learning.axis import Axis, Choice, axis_names
from stablenew.learning.choice_labels import labels_apart, value_labels


@attrs.frozen(kw_only=True)
class ShownAxis:
    """An axis as a person sees it.

    Attributes:
        path: Its name in full, as titles have it.
        name: Its short name, unlike those of the others.
        values: What each choice stands for: its value, or its label.
        texts: Of the choices, whole.
        labels: Of the choices, what sets them apart; no two the same.
        order: The places of the choices in the order in which they are shown: numbers ascend.
        images: Of the choices, the file of the picture that they start from; "" for none.
    """

    path: str
    name: str
    values: tuple[Setting, ...]
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    order: tuple[int, ...]
    images: tuple[str, ...]

    def only(self, places: Collection[int]) -> ShownAxis:
        """Return an axis that shows only some of its choices."""
        return attrs.evolve(self, order=tuple(place for place in self.order if place in places))


def shown_axes(axes: Sequence[Axis]) -> tuple[ShownAxis, ...]:
    """Return the axes of a plan as they are shown."""
    return tuple(map(_shown, axes, axis_names(axes)))


def shown_value(axis: Axis, choice: Choice) -> Setting:
    """Return what a choice stands for: its value where it sets the path of the axis, or its label.

    The label where it sets more than that, for then two may have the same value.
    """
    return choice.overrides[axis.path] if axis.paths == (axis.name,) else choice.label


def _shown(axis: Axis, name: str) -> ShownAxis:
    values = tuple(shown_value(axis, choice) for choice in axis.choices)
    texts = axis.labels
    kind = axis.name.partition(".")[0]
    if kind in TEXT_EDITS and kind != LORA:  # the word, and what it becomes
        labels = labels_apart([f"{name} → {text}" for text in texts])
    else:
        labels = value_labels(name, texts)
    return ShownAxis(
        path=axis.name,
        name=name,
        values=values,
        texts=texts,
        labels=labels,
        order=_order(values),
        images=_images(axis),
    )


def _images(axis: Axis) -> tuple[str, ...]:
    return tuple(str(choice.overrides.get(IMAGE) or "") for choice in axis.choices)


def _order(values: Sequence[Setting]) -> tuple[int, ...]:
    numbers = {place: value for place, value in enumerate(values) if is_a_number(value)}
    if len(numbers) < len(values):
        return tuple(range(len(values)))
    return tuple(sorted(numbers, key=numbers.__getitem__))
