"""The words of the commands beside `run`, and what each of them calls."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Coroutine, Mapping
from functools import partial

from stablenew.cli.arguments import Parser
from stablenew.cli.exit_codes import ExitCode
from stablenew.errors import ConfigError

COMMANDS = ("run", "studio", "rate", "recommend", "dataset")

Work = ExitCode | Coroutine[object, object, ExitCode]
"""What a command is: its exit code, or what is to be awaited for it."""

_USAGE = """\
stablenew run …         run a pipeline once per value of a setting (python -m stablenew.run)
stablenew studio …      all of it in a window of the browser
stablenew rate …        rate the pictures of a plan
stablenew recommend …   which settings to use, and how sure that is
stablenew dataset …     export runs and ratings
`stablenew COMMAND --help` shows the words of each.
"""


def usage() -> str:
    """Return what there is."""
    return _USAGE


def read_command(name: str, words: list[str]) -> Callable[[], Callable[[], Work]]:
    """Return what imports what a command line asks for, and returns it ready to be called.

    Args:
        name: One of `COMMANDS` but `run`.
        words: What follows it.
    """
    parsers: Mapping[str, Callable[[], argparse.ArgumentParser]] = {
        "rate": _rate_parser,
        "recommend": _recommend_parser,
        "dataset": _dataset_parser,
    }
    works: Mapping[str, Callable[[argparse.Namespace], Callable[[], Work]]] = {
        "rate": _rate,
        "recommend": _recommend,
        "dataset": _dataset,
    }
    flags = parsers[name]().parse_args(words)
    return lambda: works[name](flags)


def _parser(name: str, usage: str, description: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=f"stablenew {name}", usage=usage, description=description, allow_abbrev=False
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="show tracebacks")
    return parser


def _add_out(parser: argparse.ArgumentParser) -> None:
    default = os.environ.get("STABLENEW_OUT") or "runs"
    parser.add_argument("--out", metavar="DIR", default=default, help="the folder of all runs")


def _rate_parser() -> argparse.ArgumentParser:
    parser = _parser(
        "rate",
        "stablenew rate runs/PLAN_ID [options]",
        "Look at a plan's pictures one by one and press a key for each: 1–5 rate, s skip, u undo,"
        " n note, q quit. The values are shown only afterwards.",
    )
    parser.add_argument("folder", metavar="runs/PLAN_ID", help="the plan's folder, or its id")
    parser.add_argument("--pairs", action="store_true", help="ask which of two is better")
    parser.add_argument("--again", action="store_true", help="ask about rated pictures as well")
    parser.add_argument("--viewer", action="store_true", help="open pictures, do not draw them")
    parser.add_argument(
        "--from", dest="file", metavar="FILE", help="take the ratings that a report saved"
    )
    _add_out(parser)
    return parser


def _recommend_parser() -> argparse.ArgumentParser:
    parser = _parser(
        "recommend",
        "stablenew recommend [options]",
        "Say which values the ratings recommend, how sure that is, and what to rate or try next.",
    )
    parser.add_argument("--stage", metavar="STAGE", help="for one stage's settings alone")
    parser.add_argument("--prompt", "--for", metavar="TEXT", help="let similar prompts count more")
    parser.add_argument("--model", metavar="NAME", help="for this model")
    parser.add_argument("--plan", metavar="PLAN_ID", help="from one plan's pictures alone")
    parser.add_argument(
        "--subscore", metavar="PART", help="by a part: anatomy, composition, prompt_adherence"
    )
    parser.add_argument(
        "--priors", metavar="FILE.toml", help="what to believe beforehand, over priors.toml"
    )
    parser.add_argument("--json", action="store_true", help="JSON: together, then each setting")
    parser.add_argument(
        "--cheapest",
        action="store_true",
        help="with --as-config: the quickest settings that are as good",
    )
    parser.add_argument(
        "--as-config", metavar="FILE.toml", help="write a config that the next run takes"
    )
    parser.add_argument(
        "--plot",
        metavar="FILE.png",
        help="draw what is believed of each value, and of two settings",
    )
    _add_out(parser)
    return parser


def _dataset_parser() -> argparse.ArgumentParser:
    parser = _parser(
        "dataset",
        "stablenew dataset --to folder|csv DEST [options]",
        "Export runs and ratings: an imagefolder with metadata.jsonl, or a table.",
    )
    parser.add_argument("--to", metavar="folder|csv", help="what to make")
    parser.add_argument("dest", metavar="DEST", help="the folder, or the file")
    _add_out(parser)
    return parser


def _rate(flags: argparse.Namespace) -> Callable[[], Work]:
    from stablenew.cli.rate_command import Terminal, plan_folder, rate, rate_from

    if flags.file is not None and flags.pairs:
        raise ConfigError("--from, --pairs: both are given, expected one of them")
    folder = plan_folder(flags.folder, flags.out)
    if flags.file is not None:
        return partial(rate_from, folder, flags.file)
    terminal = Terminal(viewer=flags.viewer)
    return partial(rate, folder, again=flags.again, pairs=flags.pairs, terminal=terminal)


def _recommend(flags: argparse.Namespace) -> Callable[[], Work]:
    from stablenew.cli.recommend_command import recommend_command

    return partial(
        recommend_command,
        flags.out,
        stage=flags.stage,
        prompt=flags.prompt,
        model=flags.model,
        plan_id=flags.plan,
        as_json=flags.json,
        as_config=flags.as_config,
        cheapest=flags.cheapest,
        plot=flags.plot,
        subscore=flags.subscore,
        priors=flags.priors,
    )


def _dataset(flags: argparse.Namespace) -> Callable[[], Work]:
    from stablenew.cli.dataset_command import dataset_command

    return partial(dataset_command, flags.out, flags.to, flags.dest)
