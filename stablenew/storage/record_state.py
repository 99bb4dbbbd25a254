"""What a record file's lock file says between two commits."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping

import attrs

from stablenew.storage import system


class ChangedError(Exception):
    """Somebody else wrote to the live file meanwhile; nothing is lost, start over."""


@attrs.frozen
class Spare:
    """An earlier generation of the file.

    Attributes:
        inode: Which file it is.
        valid: How many of its bytes are those of the live file.
        generation: The higher, the less it lags.
    """

    inode: int
    valid: int
    generation: int


@attrs.frozen
class RecordState:
    """Which file was live, and the spares by their slots; believed only with its checksum."""

    live: tuple[int, ...] = ()
    spares: Mapping[str, Spare] = attrs.field(factory=dict)

    @classmethod
    def read(cls, descriptor: int) -> RecordState:
        """Read the state, an empty one where there is none or it is damaged."""
        checksum, _, body = system.read(descriptor, 4096, 0).partition(b" ")
        if not body or checksum != b"%08x" % zlib.crc32(body):
            return cls()
        plain = json.loads(body)
        spares = {slot: Spare(*numbers) for slot, numbers in plain["spares"].items()}
        return cls(tuple(plain["live"]), spares)

    def write(self, descriptor: int) -> None:
        """Write the state.

        Raises:
            OSError: It is not written; the next append costs a copy.
        """
        spares = {slot: attrs.astuple(spare) for slot, spare in self.spares.items()}
        body = json.dumps({"live": self.live, "spares": spares}).encode()
        system.write_state(descriptor, b"%08x " % zlib.crc32(body) + body)
