"""What a program and a worker of its own say to each other: numbered frames, each a pickle.

Whoever can write to these pipes can run what he wants in the process that reads: they are between a
process and its child, and nobody else's.
"""

from __future__ import annotations

import copyreg
import io
import pickle
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

import anyio
import attrs

from stablenew._convert import frozen_mapping

_LENGTH = 8

GONE = (
    anyio.EndOfStream,
    anyio.IncompleteRead,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
)
"""What reading or writing raises where the other end has gone away."""


@attrs.frozen
class Frame:
    """One thing that is said.

    Attributes:
        call: The number of the call that it is about.
        kind: `capabilities`, `run_stage`, `interrupt`, `cancel`; or `report`, `result`, `error`.
        value: What the call is given, or what comes of it.
    """

    call: int
    kind: str
    value: object = None


class Receiving(Protocol):
    """Where bytes come from."""

    async def receive_exactly(self, nbytes: int, /) -> bytes:
        """Return so many bytes."""
        ...


def _thawed(mapping: Mapping[str, object]) -> tuple[Callable[..., object], tuple[object, ...]]:
    return frozen_mapping, (dict(mapping),)  # the proxy's class has no name that pickle finds


def encoded(value: object) -> bytes:
    """Return a value of ours as bytes, with the mappings in it that nobody can change."""
    out = io.BytesIO()
    pickler = pickle.Pickler(out, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = {**copyreg.dispatch_table, MappingProxyType: _thawed}
    pickler.dump(value)
    return out.getvalue()


def as_bytes(frame: Frame) -> bytes:
    """Return a frame as it goes over a pipe."""
    data = encoded((frame.call, frame.kind, frame.value))
    return len(data).to_bytes(_LENGTH, "big") + data


async def read_frame(stream: Receiving) -> Frame:
    """Read the next frame.

    Raises:
        EndOfStream: There is none.
        IncompleteRead: The other end went away within it.
    """
    length = int.from_bytes(await stream.receive_exactly(_LENGTH), "big")
    data = await stream.receive_exactly(length)
    if length > 1 << 16:
        return Frame(*await anyio.to_thread.run_sync(pickle.loads, data))
    return Frame(*pickle.loads(data))
