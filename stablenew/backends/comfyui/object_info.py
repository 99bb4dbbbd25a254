"""What nodes a server has and what each takes: `GET /object_info`, read once. Pure.

Enumerations come in two shapes, `[["a", "b"], {…}]` and `["COMBO", {"options": ["a", "b"]}]`, in
one answer. A combo may come without its options, where the page asks the server for them later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import attrs
import msgspec

from stablenew._convert import is_a_number
from stablenew.config.pipeline_config import Setting
from stablenew.errors import BackendProtocolError
from stablenew.storage.record_reader import NOT_JSON

COMBO = "COMBO"
OPENING = "COMFY_DYNAMICCOMBO_V3"
"""A combo each of whose choices has inputs of its own."""

LITERALS = ("INT", "FLOAT", "STRING", "BOOLEAN", COMBO, OPENING)
"""Types whose values stand in a graph; those of every other type are links."""

SEEDS = ("seed", "noise_seed")

_UPLOADS = ("image_upload", "video_upload", "audio_upload", "file_upload", "animated_image_upload")

_NO_OPTIONS: Mapping[str, object] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class NodeInput:
    """One input of a class of nodes.

    Attributes:
        name: As graphs have it.
        kind: `INT`, `FLOAT`, `STRING`, `BOOLEAN`, `COMBO`, or the type of what is linked to it.
        required: Whether a graph without it is refused.
        default: What the page puts in, None where there is nothing.
        low: The least number that the server takes, None where it takes any.
        high: The greatest.
        choices: Of a combo; None where the server does not list them here.
        options: All that the server says of it, `control_after_generate`, `multiline`, …
    """

    name: str
    kind: str
    required: bool
    default: Setting = None
    low: float | None = None
    high: float | None = None
    choices: tuple[Setting, ...] | None = None
    options: Mapping[str, object] = _NO_OPTIONS

    @property
    def literal(self) -> bool:
        """Whether its values stand in a graph."""
        return self.kind in LITERALS

    @property
    def is_seed(self) -> bool:
        """Whether it is a seed; a number that the page changes for each picture may be any."""
        return self.kind == "INT" and (
            self.name in SEEDS or (self.is_changed_by_page and "seed" in self.name.lower())
        )

    @property
    def is_changed_by_page(self) -> bool:
        """Whether the page has a switch beside it, that changes it after each picture."""
        seed = self.kind == "INT" and self.name in SEEDS
        return seed or bool(self.options.get("control_after_generate"))

    @property
    def is_file(self) -> bool:
        """Whether it names a file that was uploaded to the server, a picture most often."""
        return any(self.options.get(name) for name in _UPLOADS)

    @property
    def linked_only(self) -> bool:
        """Whether no value may stand in it, although its type would let one."""
        return not self.literal or bool(self.options.get("forceInput"))

    def opened_by(self, value: object) -> Iterator[NodeInput]:
        """Yield the inputs that a choice of it has: `resize_type.width`."""
        for choice in map(_table, _list(self.options.get("options"))):
            if self.kind == OPENING and choice.get("key") == value:
                for each in _inputs({"input": choice.get("inputs")}):
                    yield attrs.evolve(each, name=f"{self.name}.{each.name}")


@attrs.frozen(kw_only=True)
class NodeClass:
    """A class of nodes that a server has.

    Attributes:
        name: `KSampler`.
        title: What the page calls it.
        inputs: By name, in the order in which the page shows them.
        outputs: The types of what it gives, in the order of their slots.
        output_node: Whether a graph may end in it.
        module: Where it comes from: `nodes`, `comfy_extras.…`, `custom_nodes.…`.
    """

    name: str
    title: str
    inputs: Mapping[str, NodeInput]
    outputs: tuple[str, ...]
    output_node: bool
    module: str

    def inputs_with(self, values: Mapping[str, object]) -> Iterator[NodeInput]:
        """Yield its inputs, each followed by those that its choice has."""
        waiting = list(self.inputs.values())[::-1]
        while waiting:
            each = waiting.pop()
            yield each
            if each.kind == OPENING:
                opened = each.opened_by(values.get(each.name, each.default))
                waiting += list(opened)[::-1]


class ObjectInfo(Mapping[str, NodeClass]):
    """The classes of nodes of a server, by name; each is read when it is first asked for.

    Args:
        raw: The answer of `/object_info`, split at its names.
    """

    def __init__(self, raw: Mapping[str, msgspec.Raw]) -> None:
        self._raw = raw
        self._read: dict[str, NodeClass] = {}

    def __getitem__(self, name: str) -> NodeClass:
        found = self._read.get(name)
        if found is None:
            found = self._read[name] = _node_class(name, self._raw[name])
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._raw

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)

    def choices(self, name: str, field: str) -> tuple[str, ...]:
        """Return the choices of a combo; none where there is no such node, input or list."""
        found = self[name].inputs.get(field) if name in self else None
        return tuple(map(str, (found and found.choices) or ()))


def read_object_info(body: bytes | bytearray) -> ObjectInfo:
    """Read the answer of `/object_info`, which may be many megabytes: blocks, for a thread.

    Raises:
        BackendProtocolError: It is something else.
    """
    try:
        return ObjectInfo(msgspec.json.decode(body, type=dict[str, msgspec.Raw]))
    except NOT_JSON as error:
        raise BackendProtocolError(f"/object_info is no list of nodes: {error}") from error


def _node_class(name: str, raw: msgspec.Raw) -> NodeClass:
    try:
        data = msgspec.json.decode(raw)
    except NOT_JSON as error:
        raise BackendProtocolError(f"/object_info of {name} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise BackendProtocolError(f"/object_info of {name} is no object")
    return NodeClass(
        name=name,
        title=str(data.get("display_name") or name),
        inputs=MappingProxyType({each.name: each for each in _inputs(data)}),
        outputs=tuple(map(str, _list(data.get("output")))),
        output_node=bool(data.get("output_node")),
        module=str(data.get("python_module") or ""),
    )


def _inputs(data: Mapping[str, object]) -> Iterator[NodeInput]:
    groups, orders = _table(data.get("input")), _table(data.get("input_order"))
    for group in ("required", "optional"):
        inputs = _table(groups.get(group))
        ordered = [str(each) for each in _list(orders.get(group)) if each in inputs]
        for name in dict.fromkeys([*ordered, *inputs]):
            yield _input(name, inputs[name], required=group == "required")


def _input(name: str, described: object, *, required: bool) -> NodeInput:
    parts = _list(described)
    kind = parts[0] if parts else ""
    options = _table(parts[1]) if len(parts) > 1 else _NO_OPTIONS
    listed = kind if isinstance(kind, list) else options.get("options")
    choices = None
    if isinstance(kind, list) or kind == COMBO:
        kind = COMBO
        choices = tuple(listed) if isinstance(listed, list) else None
    elif kind == OPENING:
        choices = tuple(str(_table(each).get("key")) for each in _list(listed))
    return NodeInput(
        name=name,
        kind=str(kind),
        required=required,
        default=_default(options, choices),
        low=_number(options.get("min")),
        high=_number(options.get("max")),
        choices=choices,
        options=options,
    )


def _default(options: Mapping[str, object], choices: tuple[Setting, ...] | None) -> Setting:
    """Return what the page puts in: the first of a combo, where nothing else is said."""
    default = options.get("default")
    if isinstance(default, str | int | float | bool):
        return default
    return choices[0] if choices else None


def _number(value: object) -> float | None:
    return value if is_a_number(value) else None


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
