"""The advice for all settings together, as lines for a person and as plain data."""

from __future__ import annotations

from collections.abc import Iterator

from stablenew.advice.joint_advice import JointAdvice, words_of


def answer_lines(joint: JointAdvice) -> Iterator[str]:
    """Yield one answer: these settings together, how good, how sure, what else is known."""
    width = max(len(path) for path in joint.settings)
    yield "together:"
    for path, value in joint.settings.items():
        yield f"  {path.ljust(width)}  {value}"
    said = f"{joint.ratings} ratings" + (f", {joint.choices} choices" if joint.choices else "")
    if joint.mean is None:
        yield f"{said}: {joint.why}"
        return
    took = "" if joint.seconds is None else f", about {joint.seconds:.2g} s a picture"
    yield f"quality {joint.mean:.1f} (90 %: {joint.low:.1f}–{joint.high:.1f}){took}"
    yield f"{said}: {joint.why}" if joint.enough else joint.why
    yield from words_of(joint)


def plain_advice(joint: JointAdvice) -> dict[str, object]:
    """Return the advice as data for a line of JSON."""
    cheaper, pair = joint.cheaper, joint.pair
    return {
        "together": dict(joint.settings),
        "mean": joint.mean,
        "low": joint.low,
        "high": joint.high,
        "sure": joint.sure,
        "enough": joint.enough,
        "expected_regret": joint.expected_regret,
        "expected_gain": joint.expected_gain,
        "why": joint.why,
        "ratings": joint.ratings,
        "choices": joint.choices,
        "matters": dict(joint.matters),
        "seconds": joint.seconds,
        "cheaper": None
        if cheaper is None
        else {
            "settings": dict(cheaper.settings),
            "loss": cheaper.loss,
            "seconds": cheaper.seconds,
            "share": cheaper.share,
        },
        "pair": None
        if pair is None
        else {"first": pair.first, "second": pair.second, "words": pair.words},
        "curves": {
            path: [
                {"value": each.value, "mean": each.mean, "low": each.low, "high": each.high}
                for each in points
            ]
            for path, points in joint.curves.items()
        },
    }
