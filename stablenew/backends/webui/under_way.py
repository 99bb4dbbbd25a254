"""A picture that is being made, and what whoever follows it has to know of its end."""

from __future__ import annotations

import logging

import anyio
import anyio.to_thread
import attrs

from stablenew.backends.answers import read_json
from stablenew.backends.base import Picture
from stablenew.backends.picture_header import is_quick
from stablenew.backends.server_client import ServerClient
from stablenew.backends.webui.calls import Call
from stablenew.backends.webui.job import Job
from stablenew.backends.webui.progress import PROGRESS, Snapshot, read_snapshot
from stablenew.backends.webui.reading import read_picture
from stablenew.backends.webui.sdnext.outer_job import look_inside
from stablenew.backends.webui.server import Flavour, Server
from stablenew.errors import BackendError, BackendProtocolError, ungrouped

logger = logging.getLogger(__name__)


async def look_at(client: ServerClient, server: Server) -> Snapshot | None:
    """Return what a server is doing right now; None where it does not tell.

    Raises:
        BackendError: It does not answer.
    """
    if server.flavour is Flavour.SDNEXT:  # whose other answer counts against its limit
        return await look_inside(client)
    return read_snapshot(await client.get(PROGRESS)) if server.progress else None


class Glance:
    """One look at what a server is doing, that somebody else may need as well.

    Attributes:
        written: Set when it has left for the server.
        told: Set when it was answered, or could not be.
        snapshot: What there was to see; None where there was nothing.
    """

    def __init__(self) -> None:
        self.written = anyio.Event()
        self.told = anyio.Event()
        self.snapshot: Snapshot | None = None

    @classmethod
    def of(cls, snapshot: Snapshot | None) -> Glance:
        """Return one that has been taken."""
        glance = cls()
        glance.written.set()
        glance.told.set()
        glance.snapshot = snapshot
        return glance

    async def take(self, client: ServerClient) -> None:
        """Look; no answer is no error."""
        try:
            answer = await client.ask("GET", PROGRESS, tries=1, leaving=self.written.set)
            self.snapshot = read_snapshot(read_json(answer)) if answer.status < 400 else None
        except BackendError as error:
            logger.debug("%s: %s", client.url, error)
        finally:
            self.written.set()
            self.told.set()


@attrs.define(eq=False)
class UnderWay:
    """A picture that is being made, for whatever follows it.

    Attributes:
        ended: Set when it is answered, or nobody waits for it any more.
        well: Whether the answer is good, so that the next may go.
        after: What the server was doing after its end, where that was looked at.
    """

    ended: anyio.Event = attrs.field(factory=anyio.Event)
    well: bool = False
    after: Glance | None = None

    def answered(self, job: Job) -> None:
        """Note that there is an answer."""
        good = job.answer is not None and job.answer.looks_good
        self.well = good and not job.hunted and not job.stopped_by_others
        self.ended.set()

    async def picture(self, client: ServerClient, job: Job, call: Call, server: Server) -> Picture:
        """Return the picture that a job's answer has, once it is known that nobody stopped the job.

        Raises:
            BackendProtocolError: Somebody else has, or the answer is not what was asked for.
        """
        assert job.answer is not None
        after = self.after or Glance()
        with ungrouped():
            async with anyio.create_task_group() as looking:
                if server.progress and self.after is None:
                    looking.start_soon(after.take, client)
                if is_quick(job.answer.body) and call.image is None:
                    made = read_picture(job.answer, call, server)
                else:
                    made = await anyio.to_thread.run_sync(read_picture, job.answer, call, server)
                if server.progress:
                    await after.told.wait()
        seen, names = after.snapshot, {made.timestamp, job.timestamp} - {""}
        stopped = seen is not None and seen.interrupted and seen.timestamp in names
        if stopped or job.stopped_by_others:
            raise BackendProtocolError(
                "somebody else interrupted the job; its picture is half done"
            )
        return attrs.evolve(made.picture, seconds=job.seconds)
