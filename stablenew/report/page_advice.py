"""The advice on a plan's page: what its ratings say of all settings together, with a plot."""

from __future__ import annotations

from pathlib import Path

from stablenew.advice.joint_advice import words_of
from stablenew.advice.recommend_jointly import FEWEST, recommend_jointly
from stablenew.errors import StableNewError
from stablenew.learning.axis import label_of
from stablenew.learning.feedback_reader import ReportProblem
from stablenew.report.advice_plot import plot_advice
from stablenew.storage import files

ADVICE_PLOT = "advice.png"


def page_advice(
    folder: Path, ratings: int, *, written: str, report: ReportProblem | None = None
) -> dict[str, object] | None:
    """Return the advice as the page has it, and write its plot; None where too little is rated.

    Args:
        folder: The plan's.
        ratings: How many of its pictures are rated; the records are not read for a few.
        written: When: a browser keeps no older plot then.
        report: Told of what cannot be read.

    Raises:
        OSError: The disk said no.
    """
    if ratings < FEWEST:
        return None
    try:
        joint = recommend_jointly(folder.parent, plan_id=folder.name, report=report)
    except StableNewError:  # the page is of the pictures first
        return None
    if joint is None:
        return None
    files.write_whole(folder / ADVICE_PLOT, plot_advice(joint))
    quality = [] if joint.mean is None else [
        f"quality {joint.mean:.1f} (90 %: {joint.low:.1f}–{joint.high:.1f})"
    ]  # fmt: skip
    return {
        "settings": [[path, label_of(value)] for path, value in joint.settings.items()],
        "lines": [*quality, joint.why, *words_of(joint)],
        "plot": f"{ADVICE_PLOT}?{written}",
    }
