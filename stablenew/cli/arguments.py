"""The words of the command line; imports nothing heavy, so that `--help` is quick."""

from __future__ import annotations

import argparse
from typing import NoReturn

from stablenew.cli.printing import printable

EXAMPLES = """\
examples (they work as they are):
  python -m stablenew.run --prompt "a red mushroom in a forest" \\
      --sweep txt2img.cfg_scale=1,3,5,8 --images-per-step 2 --learn
  python -m stablenew.run --pack tiny --prompt-index 2 --set img2img.enabled=true \\
      --sweep img2img.denoising_strength=0.2:0.8:0.2
  python -m stablenew.run --prompt "a blue cat" --set upscale.enabled=true
  python -m stablenew.run --prompt "a blue cat" --sweep txt2img.steps=4:20:4 --dry-run
  python -m stablenew.run --prompt "a blue cat" --explore txt2img.cfg_scale=1..12
several things at once, all combinations or some of them (docs/plans.md has each kind):
  python -m stablenew.run --prompt "a blue cat" --sweep txt2img.cfg_scale=2,4,6 \\
      --sweep "txt2img.sampler_name=Euler,DPM++ 2M" --with txt2img.steps=20,12 --sample 4
  python -m stablenew.run --pack tiny --prompts all --sweep txt2img.cfg_scale=1,3,5,8 --learn
  python -m stablenew.run --prompt "a red mushroom" --replace "red=red,blue,green"
with a server of yours (ComfyUI, AUTOMATIC1111 started with --api, Forge, SD.Next, sd-server):
  python -m stablenew.run --url http://127.0.0.1:8188 \\
      --prompt "a blue cat" --sweep txt2img.cfg_scale=3,5,7 --learn
with several servers at once (docs/servers.md):
  python -m stablenew.run --url http://127.0.0.1:7860 --url http://192.168.1.20:7860 \\
      --prompt "a blue cat" --sweep txt2img.cfg_scale=3,5,7
with a workflow of ComfyUI's, any input of any node (docs/workflows.md):
  python -m stablenew.run --workflow flow.json --list
  python -m stablenew.run --workflow flow.json --sweep KSampler.cfg=3,5,7 --learn

a plan file has the same words, and a table for each stage:
  prompt = "a blue cat"
  [txt2img]
  steps = 12
  [learning]
  enabled = true
  target_variable = "txt2img.cfg_scale"
  sweep_values = [1, 3, 5, 8]

flags beat the environment beats the file beats the defaults (what varies is that of the first of
them that has some); the environment has
  STABLENEW_PROMPT, _NEGATIVE_PROMPT, _PACK, _PACK_FORMAT, _PROMPT_INDEX, _PROMPTS, _SEED,
  _COMPARE_PROMPTS, _SWEEP, _REPLACE, _REPLACE_IN, _PRESETS, _SAMPLE, _SKIP, _ORDER, _EXPLORE,
  _MAX_PICTURES, _IMAGES_PER_STEP, _MAX_STEPS, _MAX_TIME, _LEARN, _EXPERIMENT_NAME, _BACKEND,
  _URL (several with commas), _MIX_SERVERS, _SKIP_UNREACHABLE, _WORKERS, _AUTH,
  _WAIT_FOR_SERVER, _OUT, _STEP_TIMEOUT, _STALL_TIMEOUT, _FRESH, _WORKFLOW, _OUTPUT
exit codes: 0 all steps succeeded, 1 some did not or a record was lost, 2 the input is wrong,
            3 the backend cannot be reached, 4 --max-time left steps for later,
            130 and 143 for SIGINT and SIGTERM
"""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line.

    Attributes:
        problem: What was wrong, once something was.
    """

    problem = ""

    def error(self, message: str) -> NoReturn:
        """Say it, and end with 2."""
        self.problem = f"{message} (--help shows what there is)"
        self.exit(2, f"{printable(f'{self.prog}: {self.problem}')}\n")


def run_parser() -> Parser:
    """Return the parser of `stablenew.run`; values stay text until all sources are merged."""
    parser = Parser(
        prog="stablenew.run",
        usage="python -m stablenew.run [PLAN.toml] [options]",
        description="Run a Stable Diffusion pipeline once per value of a setting, and learn"
        " which value is best.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("file", nargs="?", metavar="PLAN.toml", help="a plan file (TOML or JSON)")
    _add_what(parser.add_argument_group("what to run"))
    _add_workflow(parser.add_argument_group("a workflow of ComfyUI"))
    _add_axes(parser.add_argument_group("what to explore"))
    _add_how(parser.add_argument_group("how to run it"))
    return parser


def _add_what(what: argparse._ArgumentGroup) -> None:
    _add_prompts(what)
    what.add_argument(
        "--image",
        metavar="FILE",
        action="extend",
        nargs="+",
        help="start from pictures: files, folders, globs; with txt2img.enabled=false, and img2img,"
        " adetailer or upscale enabled",
    )
    what.add_argument(
        "--set",
        metavar="PATH=VALUE",
        action="append",
        default=[],
        help="a setting: txt2img.steps=12, img2img.enabled=true; repeatable",
    )
    what.add_argument("--seed", metavar="N", help="-1 draws one, and keeps it for all steps (-1)")
    what.add_argument("--images-per-step", metavar="N", help="pictures for each step (1)")
    what.add_argument("--max-steps", metavar="N", help="run the first N steps")
    what.add_argument(
        "--max-time", metavar="TIME", help="take what fits: 90s, 30m, 1h30m; --resume goes on"
    )
    what.add_argument(
        "--learn",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="leave a learning record for each run",
    )
    what.add_argument("--experiment-name", metavar="NAME", help="kept with every record")


def _add_prompts(what: argparse._ArgumentGroup) -> None:
    what.add_argument(
        "--prompt", metavar="TEXT", action="append", help="several are run one after the other"
    )
    what.add_argument("--negative-prompt", metavar="TEXT")
    what.add_argument(
        "--pack",
        metavar="PACK",
        help="a prompt pack: a file, `-` for standard input, or the name `tiny`",
    )
    what.add_argument(
        "--pack-format",
        metavar="FORMAT",
        help="blocks, lines, tsv, csv, json or yaml, where it is not told by the file",
    )
    what.add_argument("--prompt-index", metavar="N", help="which prompt of the pack (1)")
    what.add_argument(
        "--prompts", metavar="WHICH", help="several prompts of the pack: all, 1-5 or 1,3,7"
    )
    what.add_argument(
        "--compare-prompts",
        action="store_true",
        default=None,
        help="ask which prompt is best, and not what is best for all of them",
    )
    _add_variants(what)


def _add_workflow(workflow: argparse._ArgumentGroup) -> None:
    workflow.add_argument(
        "--workflow",
        metavar="FILE",
        help="a file of ComfyUI's: API format, as saved by its page, or a picture of its",
    )
    workflow.add_argument(
        "--output", metavar="NODE", help="the node whose picture is meant: its id, title or class"
    )
    workflow.add_argument(
        "--list", action="store_true", help="show what it is and what can be swept; run nothing"
    )


def _add_variants(what: argparse._ArgumentGroup) -> None:
    what.add_argument(
        "--variants",
        metavar="WHICH",
        help="what {a|b} and __name__ in prompts stand for: all of it, or so many drawn",
    )
    what.add_argument(
        "--wildcards", metavar="DIR", help="where __name__ is looked up: name.txt, name.yaml"
    )


def _add_axes(axes: argparse._ArgumentGroup) -> None:
    def varying(word: str, metavar: str, text: str) -> None:
        """Add a word that makes an axis; all share one list, which keeps their order."""
        axes.add_argument(
            f"--{word}",
            metavar=metavar,
            action="append",
            dest="varying",
            type=lambda text: (word, text),
            help=text,
        )

    varying(
        "sweep",
        "PATH=VALUES",
        "explore a setting: a list 1,3,5, a range 1:9:2 (the stop included), * or a glob of names;"
        " as often as is wanted, also txt2img.size=512x768,768x512 and lora.NAME=0:1:0.25",
    )
    varying("with", "PATH=VALUES", "change this setting in step with that of the --sweep before")
    varying("replace", "WORD=FIRST,SECOND", "explore what stands in a word's place in the prompt")
    axes.add_argument(
        "--replace-in", metavar="WHERE", help="prompt, negative or both (prompt)", default=None
    )
    varying("presets", "FILE,FILE", "explore whole presets: plan files with the stages' tables")
    axes.add_argument(
        "--sample", metavar="N", help="run N steps of all that there are, evenly spread"
    )
    axes.add_argument(
        "--skip",
        metavar="NAME=VALUE,…",
        action="append",
        help="leave the steps out that have all of these: sampler_name=Heun,steps=8; repeatable",
    )
    axes.add_argument(
        "--order",
        metavar="ORDER",
        help="models: load each model once; given: as the axes are given (models)",
    )
    varying(
        "explore",
        "PATH=LOW..HIGH",
        "let ratings choose what to make next, of all that is explored: txt2img.cfg_scale=1..12, or"
        " a list of names or sizes; as often as is wanted",
    )
    axes.add_argument("--max-pictures", metavar="N", help="of an exploration, at the most (24)")
    axes.add_argument(
        "--rater",
        metavar="PROGRAM",
        help="rates what an exploration makes: gets a picture's path, prints 1 to 5",
    )


def _add_servers(how: argparse._ArgumentGroup) -> None:
    how.add_argument(
        "--backend",
        metavar="NAME",
        help="embedded, comfyui, webui, server (finds out which of the two answers), or fake for a"
        " try-out (embedded; server where there is a URL)",
    )
    how.add_argument(
        "--url",
        metavar="URL",
        action="append",
        help="the server's (http://127.0.0.1:7860; of ComfyUI :8188); several share the plan",
    )
    how.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="share it among the workers of a Dask cluster (tcp://host:8786, or local)",
    )
    how.add_argument(
        "--workers", metavar="N", help="share the plan among N processes of the embedded model"
    )
    how.add_argument(
        "--skip-unreachable",
        action="store_true",
        default=None,
        help="of several servers: go on without those that do not answer",
    )
    how.add_argument(
        "--mix-servers",
        action="store_true",
        default=None,
        help="of several servers: take them though their kinds, and so their pictures, differ",
    )
    how.add_argument("--auth", metavar="USER:PASSWORD", help="what the server asks for")
    how.add_argument(
        "--wait-for-server", metavar="SECONDS", help="for one that went away to come back (60)"
    )


def _add_how(how: argparse._ArgumentGroup) -> None:
    _add_servers(how)
    how.add_argument("--out", metavar="DIR", help="the folder of all runs (runs)")
    how.add_argument("--step-timeout", metavar="SECONDS", help="give a step up after that")
    how.add_argument(
        "--stall-timeout", metavar="SECONDS", help="give a stage up without progress (120)"
    )
    how.add_argument(
        "--fresh",
        action="store_true",
        default=None,
        help="make every picture, also those that are there already",
    )
    _add_resume(how)
    how.add_argument(
        "--yes",
        action="store_true",
        help="do not ask before more than 1,000 steps, or an hour (a terminal alone is asked)",
    )
    how.add_argument("--dry-run", action="store_true", help="show the steps, run nothing")
    how.add_argument("--json", action="store_true", help="one JSON object per event on stdout")
    how.add_argument(
        "--events-from",
        metavar="N",
        help="run nothing; print what the plan in the folder runs/PLAN_ID tells, from event N on",
    )
    how.add_argument(
        "--cancel-on-stdin-close",
        action="store_true",
        help="cancel when whoever started this closes its input, or is gone",
    )
    how.add_argument("--quiet", action="store_true", help="print nothing but errors")
    how.add_argument("-v", "--verbose", action="store_true", help="log more, show tracebacks")


def _add_resume(how: argparse._ArgumentGroup) -> None:
    how.add_argument("--resume", metavar="DIR", help="go on with the plan in runs/PLAN_ID")
    how.add_argument(
        "--on-this-backend",
        action="store_true",
        help="with --resume: also where the backend or its model is not the plan's any more",
    )
    how.add_argument(
        "--only-failed",
        action="store_true",
        help="with --resume: run the steps again that failed or timed out, no others",
    )
