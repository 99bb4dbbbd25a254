"""The command `recommend`: a table, lines of JSON, or a config that the next run takes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from stablenew._convert import json_line
from stablenew._names import suggestion
from stablenew.advice.joint_advice import JointAdvice
from stablenew.advice.kept_chains import chains_file
from stablenew.advice.observations import Observations, gather_observations
from stablenew.advice.priors import read_priors
from stablenew.advice.recommend_jointly import FEWEST, advise_all
from stablenew.advice.recommendation import Recommendation, advise
from stablenew.cli.exit_codes import ExitCode
from stablenew.cli.joint_answer import answer_lines, plain_advice
from stablenew.cli.printing import printable, say, say_all, write_json
from stablenew.config.extra_settings import EXTRA, is_extra
from stablenew.config.overrides import override, sets_input
from stablenew.config.pipeline_config import STAGES, PipelineConfig, Setting
from stablenew.errors import ConfigError, OverrideError
from stablenew.learning.dataset_builder import BadLines
from stablenew.storage.files import write_whole


def recommend_command(
    out: str,
    *,
    stage: str | None,
    prompt: str | None,
    model: str | None,
    plan_id: str | None,
    as_json: bool,
    as_config: str | None,
    cheapest: bool = False,
    plot: str | None = None,
    subscore: str | None = None,
    priors: str | None = None,
) -> ExitCode:
    """Print the advice that the ratings under a folder carry: together, then setting by setting.

    Raises:
        ConfigError: No such folder, stage or part, priors that are wrong, or a config file that
            cannot be written.
    """
    _check(out, stage, plan_id)
    if cheapest and as_config is None:
        raise ConfigError("--cheapest: of what? expected with --as-config FILE.toml")
    bad = BadLines()
    prior = read_priors(priors)
    seen = gather_observations(out, plan_id=plan_id, report=bad)
    _check_model(model, seen)
    found = advise(seen, stage=stage, prompt=prompt, model=model)
    joint = advise_all(seen, prior, stage=stage, prompt=prompt, model=model, subscore=subscore,
                       kept=chains_file(out, plan_id, subscore))  # fmt: skip
    _say_left_out(bad)
    _tell(joint, found, as_json=as_json)
    if as_config is not None:
        lines = config_lines(found)
        if joint is not None and joint.mean is not None:
            lines = together_lines(joint, cheapest=cheapest)
        _write("--as-config", as_config, ("\n".join(lines) + "\n").encode())
        say(f"config: {as_config}", err=as_json)
    if plot is not None:
        _plot(joint, plot)
        say(f"plot: {plot}", err=as_json)
    return ExitCode.SUCCEEDED


def _check_model(model: str | None, seen: Observations) -> None:
    """Refuse a model that nobody has rated anything of: the answer would be that of the others."""
    chosen = {key for choice in seen.choices for key in choice}
    said = [each for key, each in seen.pictures.items() if each.rating is not None or key in chosen]
    models = sorted({each.model for each in said if each.model})
    if model is not None and models and model not in models:
        said_of = f"nothing that it made is rated; {suggestion(model, models)}"
        raise ConfigError(f"--model: given {model!r}, {said_of}")


def _check(out: str, stage: str | None, plan_id: str | None) -> None:
    if stage is not None and stage not in STAGES:
        raise ConfigError(f"--stage: given {stage!r}, expected one of {', '.join(STAGES)}")
    if not Path(out).is_dir():
        raise ConfigError(f"--out: given {out!r}, expected the folder of all runs")
    if plan_id is not None and not Path(out, plan_id).is_dir():
        raise ConfigError(f"--plan: given {plan_id!r}, expected the id of a plan in {out!r}")


def _say_left_out(bad: BadLines) -> None:
    for line in bad.named:
        say(f"left out: {line}", err=True)
    if bad.count > len(bad.named):
        say(f"left out: {bad.count - len(bad.named)} more lines", err=True)


def _tell(joint: JointAdvice | None, found: Sequence[Recommendation], *, as_json: bool) -> None:
    if as_json:
        data = [] if joint is None else [plain_advice(joint)]
        for each in (*data, *map(plain_recommendation, found)):
            write_json(json_line(each))
        return
    if joint is not None:
        say_all([*map(printable, answer_lines(joint)), "", "each setting by itself:"])
    say_all(_table(found))


def plain_recommendation(advice: Recommendation) -> dict[str, object]:
    """Return the advice for one setting as data for a line of JSON."""
    return {
        "parameter": advice.parameter,
        "value": advice.value,
        "mean": advice.mean,
        "low": advice.low,
        "high": advice.high,
        "ratings": advice.ratings,
        "choices": advice.choices,
        "enough": advice.enough,
        "why": advice.why,
        "try_next": list(advice.try_next),
        "rate_next": [f"{run_id}/{image_id}" for run_id, image_id in advice.rate_next],
        "values": [
            {
                "value": each.value,
                "mean": each.mean,
                "low": each.low,
                "high": each.high,
                "ratings": each.ratings,
                "probability": each.probability,
            }
            for each in advice.values
        ],
    }


def _table(found: Sequence[Recommendation]) -> Iterator[str]:
    if not found:
        yield "nothing is rated yet: run a sweep with --learn, then `stablenew rate runs/<plan_id>`"
        return
    rows = [("parameter", "value", "quality (90 %)", "ratings", "why")]
    rows += [
        (
            each.parameter,
            ("" if each.enough else "? ") + str(each.value),
            "–" if each.mean is None else f"{each.mean:.1f} ({each.low:.1f}–{each.high:.1f})",
            str(each.ratings) + (f" +{each.choices}" if each.choices else ""),
            each.why,
        )
        for each in found
    ]
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in shown) for column in range(4)]
    for row in shown:
        cells = [cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)]
        yield "  ".join([*cells, row[4]])
    for each in found:
        if each.try_next:
            yield f"{each.parameter}: worth trying next: {', '.join(map(str, each.try_next))}"
        for run_id, image_id in () if each.enough else each.rate_next:
            yield f"{each.parameter}: worth rating next: {run_id}/{image_id}"


def config_lines(found: Sequence[Recommendation]) -> Iterator[str]:
    """Yield a plan file's lines: what the ratings carry, and as comments what they do not."""
    yield "# What the ratings recommend. `stablenew run --prompt … FILE` takes it."
    for stage in STAGES:
        advised = [each for each in found if each.parameter.partition(".")[0] == stage]
        advised = [each for each in advised if fits_setting(each.parameter, each.value)]
        if not advised:
            continue
        yield f"\n[{stage}]"
        if stage != "txt2img" and any(each.enough for each in advised):
            yield "enabled = true"
        for each in advised:
            name = _key(each.parameter.partition(".")[2])
            shown = "" if each.mean is None else f"{each.mean:.1f} of 5, "
            mark = "" if each.enough else "# "
            yield f"{mark}{name} = {_toml(each.value)}  # {shown}{printable(each.why)}"
    yield from _input_lines((each.parameter, _toml(each.value), each.enough) for each in found)


def _key(name: str) -> str:
    """Return what a setting is called in TOML, where dots and numbers would be tables."""
    if not is_extra(name):
        return name
    return f"{EXTRA}.{json.dumps(name.removeprefix(f'{EXTRA}.'), ensure_ascii=False)}"


def together_lines(joint: JointAdvice, *, cheapest: bool) -> Iterator[str]:
    """Yield a plan file's lines: the settings that are advised together, or as good and quicker."""
    yield "# What the ratings recommend. `stablenew run --prompt … FILE` takes it."
    yield from (f"# {printable(line)}" for line in answer_lines(joint))
    chosen = joint.settings
    if cheapest:
        chosen = joint.cheaper.settings if joint.cheaper is not None else chosen
        yield "# These are the quickest that are as good."
    for stage in STAGES:
        own = {path: each for path, each in chosen.items() if path.partition(".")[0] == stage}
        if own:
            yield f"\n[{stage}]"
            yield from ["enabled = true"] if stage != "txt2img" else []
            for path, value in own.items():
                mark = "" if fits_setting(path, value) else "# "
                yield f"{mark}{_key(path.partition('.')[2])} = {_toml(value)}"
    yield from _input_lines((path, _toml(value), True) for path, value in chosen.items())


def _input_lines(values: Iterable[tuple[str, str, bool]]) -> Iterator[str]:
    """Yield the lines of a workflow's inputs; the name of its file is for a person to put there.

    Args:
        values: Paths, each with its value as TOML and whether it is sure enough.
    """
    inputs = [each for each in values if sets_input(each[0])]
    if inputs:
        yield '\n# workflow = "FILE" goes above the first table, or --workflow FILE beside this'
        yield "[inputs]"
    for path, value, enough in inputs:
        yield f"{'' if enough else '# '}{json.dumps(path.partition('.')[2])} = {value}"


def fits_setting(path: str, value: Setting) -> bool:
    """Whether this program has such a setting, and it takes the value; older files have others."""
    try:
        override(PipelineConfig(), path, _whole(value))
    except OverrideError:
        return False
    return path.partition(".")[2] not in ("enabled", "size")


def _toml(value: Setting) -> str:
    value = _whole(value)
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007f")  # all that TOML adds


def _whole(value: Setting) -> Setting:
    """Return 20.0 as 20, which every setting takes."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _plot(joint: JointAdvice | None, file: str) -> None:
    """Draw the advice for all settings together.

    Raises:
        ConfigError: There is none, or it cannot be written.
    """
    if joint is None:
        raise ConfigError(
            f"--plot: nothing to draw: expected {FEWEST} ratings of two settings that were varied"
        )
    from stablenew.report.advice_plot import plot_advice  # pillow: only where it is needed

    _write("--plot", file, plot_advice(joint))


def _write(word: str, file: str, data: bytes) -> None:
    try:
        write_whole(Path(file), data)
    except OSError as error:
        raise ConfigError(
            f"{word}: cannot write to {file!r} ({error.strerror}), expected a file name"
        ) from error
