"""One plan, or single run, of the queue: as it is run, as the page has it, and as it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import attrs

from stablenew._convert import frozen_mapping, unstructure
from stablenew.backends.base import InterruptReceipt
from stablenew.cli.job import Job
from stablenew.pipeline.durations import Estimate
from stablenew.studio.jobs import servers_of, titled

_TOLD = ("id", "outcome", "error", "summary", "command", "title", "kind", "resumes", "workers")
_ALLOWED = ("mix_servers", "skip_unreachable", "workers")
"""What a job says of its servers that goes with a plan which goes on, too."""


@attrs.frozen(kw_only=True)
class KeptItem:
    """What is kept of an item, for the next start of the studio.

    Attributes:
        asked: What the page asked for: a job, or a plan that goes on.
        began: Whether it was running.
        plan_id: Its folder, once it had one.
    """

    id: str
    asked: Mapping[str, object] = attrs.field(converter=frozen_mapping)
    command: str = ""
    title: str = ""
    kind: str = "plan"
    servers: tuple[str, ...] = ()
    workers: int | None = None
    pictures: int = 0
    step_count: int = 0
    began: bool = False
    plan_id: str | None = None


@attrs.define(eq=False, kw_only=True)
class Item:
    """One plan, or single run, of the queue.

    Attributes:
        asked: What the page asked for.
        job: What to do; None for one of an earlier start, which is read when its turn comes.
        command: The command line that does the same.
        kind: `plan` or `run`.
        servers: The ids of those that it runs on.
        workers: How many processes of the embedded model share it.
        resumes: The plan that goes on.
        state: `interrupted`, `waiting`, `running`, `stopping` or `ended`.
        folder: Its id, once it has begun.
        receipt: What the server said to a cancel.
        awaits: How many pictures wait to be rated, and whether nothing is made until then.
    """

    id: str
    asked: Mapping[str, object]
    job: Job | None = None
    command: str = ""
    title: str = ""
    kind: str = "plan"
    servers: tuple[str, ...] = ()
    workers: int | None = None
    resumes: str | None = None
    state: str = "waiting"
    folder: str | None = None
    outcome: str | None = None
    error: str | None = None
    summary: str | None = None
    receipt: InterruptReceipt | None = None
    pictures: int = 0
    step_count: int = 0
    estimate: Mapping[str, object] | None = None
    awaits: Mapping[str, object] | None = None
    ended: anyio.Event = attrs.field(factory=anyio.Event)

    @classmethod
    def of(cls, id_: str, job: Job, asked: Mapping[str, object], **told: Any) -> Item:
        """Return a new one that waits."""
        return cls(
            id=id_,
            asked=asked,
            job=job,
            title=titled(job),
            kind="run" if job.plan is None else "plan",
            servers=tuple(servers_of(job)),
            workers=job.workers,
            resumes=None if job.resumed is None else job.resumed.plan_id,
            **told,
        )

    @classmethod
    def of_kept(cls, kept: KeptItem) -> Item:
        """Return one of an earlier start; what was running then is interrupted."""
        names = ("id", "asked", "command", "title", "kind", "servers", "workers")
        resumes = kept.asked.get("resume")
        return cls(
            **{name: getattr(kept, name) for name in names},
            resumes=str(resumes) if resumes else None,
            state="interrupted" if kept.began else "waiting",
            folder=kept.plan_id,
            pictures=kept.pictures,
            step_count=kept.step_count,
        )

    @property
    def kept(self) -> KeptItem:
        """What is kept of it."""
        names = ("id", "asked", "command", "title", "kind", "servers", "workers")
        return KeptItem(
            **{name: getattr(self, name) for name in names},
            pictures=self.pictures,
            step_count=self.step_count,
            began=self.state != "waiting",
            plan_id=self.folder,
        )

    @property
    def plain(self) -> dict[str, object]:
        """It as the page has it."""
        return {
            **{name: getattr(self, name) for name in _TOLD},
            "servers": list(self.servers),
            "pictures": self.pictures,
            "step_count": self.step_count,
            "state": self.state,
            "plan_id": self.folder,
            "receipt": unstructure(self.receipt),
            "estimate": self.estimate,
            "awaits": self.awaits,
        }

    def go_on(self) -> None:
        """Have one that was interrupted wait for its turn: its plan goes on, a run begins again."""
        if self.folder is not None and self.kind == "plan" and "resume" not in self.asked:
            job = self.asked.get("job")
            given = job if isinstance(job, Mapping) else {}
            allowed = {name: given[name] for name in _ALLOWED if name in given}
            self.asked = {"resume": self.folder, **allowed}
            self.resumes = self.folder
        self.folder = None if self.kind == "run" else self.folder
        self.state, self.job = "waiting", None


def plain_estimate(estimate: Estimate | None) -> dict[str, object] | None:
    """Return an estimate as data."""
    if estimate is None:
        return None
    return {"seconds": estimate.seconds, "words": str(estimate)}
