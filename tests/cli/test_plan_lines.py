"""Lines that people paste: those of `docs/plans.md`, and some run from words to records."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from pathlib import Path

import pytest

from stablenew import app
from stablenew.backends.embedded.capabilities import EMBEDDED_CAPABILITIES
from stablenew.backends.fake import FakeBackend
from stablenew.config.settings import Settings
from stablenew.learning.learning_record import LearningRecord
from stablenew.learning.learning_record_reader import read_records
from stablenew.run import main
from tests.pictures_to_start_from import write

DOCS = Path(__file__).parents[2] / "docs" / "plans.md"
PROGRAM = "python -m stablenew.run "


class Model(FakeBackend):
    """What the embedded backend has, without its model."""

    def __init__(self, _: Settings) -> None:
        super().__init__(capabilities=EMBEDDED_CAPABILITIES)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(app.BACKENDS, "embedded", Model)
    return tmp_path


def blocks(language: str) -> list[str]:
    """Return the blocks of the page in a language."""
    fences = re.findall(r"^```(.*)\n((?:(?!```).*\n)*)```$", DOCS.read_text(), re.MULTILINE)
    return [block for named, block in fences if named == language]


LINES = [
    line.removeprefix(PROGRAM)
    for block in blocks("")
    for line in block.splitlines()
    if line.startswith(PROGRAM)
]


@pytest.fixture
def files(here: Path) -> None:
    """Write the files of the page: each says its name in its first line."""
    for block in (*blocks("toml"), *blocks("text")):
        path = here / block.partition("\n")[0].removeprefix("# ")
        path.parent.mkdir(exist_ok=True)
        path.write_text(block)
    for name in ("photo.png", "photos/1.png", "photos/2.jpg"):
        write(here / name)


def test_the_page_has_lines_to_paste() -> None:
    assert len(LINES) >= 19
    assert (len(blocks("toml")), len(blocks("text"))) == (4, 2)


@pytest.mark.parametrize("line", LINES)
@pytest.mark.usefixtures("files")
def test_a_line_of_the_page_works_when_it_is_pasted(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*shlex.split(line), "--dry-run"]) == 0, capsys.readouterr().err
    steps = re.match(r"steps: (?:up to )?(\d+), ", capsys.readouterr().out)
    assert steps is not None
    assert int(steps[1]) > 1


def test_the_program_of_the_page_runs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = blocks("python")
    exec(compile(program, "plans.md", "exec"), {})
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 5
    step = re.compile(r"cfg_scale=\d, sampler_name=.*, steps=\d, prompt=.* succeeded")
    assert all(map(step.fullmatch, told))


def records_of(line: str) -> list[LearningRecord]:
    """Run a line, with learning on, and return its records."""
    assert main([*shlex.split(line), "--learn", "--quiet"]) == 0
    return list(read_records(Path("runs/learning_records.jsonl")))


def varied(record: LearningRecord) -> dict[str, object]:
    found = record.metadata["varied"]
    assert isinstance(found, dict)
    return found


@pytest.mark.usefixtures("here")
def test_a_part_of_three_settings_has_each_of_their_choices_equally_often() -> None:
    records = records_of(
        '--prompt "a blue cat" --sweep txt2img.cfg_scale=2,4,6 --sweep txt2img.steps=8,16'
        ' --sweep "txt2img.sampler_name=Euler,Heun" --sample 8'
    )
    assert len(records) == 8
    for path, counts in (
        ("txt2img.cfg_scale", (2, 3)),
        ("txt2img.steps", (4,)),
        ("txt2img.sampler_name", (4,)),
    ):
        assert {*Counter(varied(each)[path] for each in records).values()} <= {*counts}
    for record in records:
        shown = record.outputs[0]
        assert {path.partition(".")[2]: value for path, value in varied(record).items()} == {
            name: shown[name] for name in ("cfg_scale", "steps", "sampler_name")
        }


@pytest.mark.usefixtures("here")
def test_a_step_is_called_by_what_sets_it_apart_and_three_axes_leave_a_sheet_for_each_value(
    capsys: pytest.CaptureFixture[str],
) -> None:
    boat = "portrait photo of an old fisherman on a boat"
    line = (
        f'--sweep "txt2img.prompt={boat} <lora:film:0.2>,{boat} <lora:film:0.6>" --backend fake'
        " --sweep txt2img.steps=4,8 --sweep txt2img.cfg_scale=3,5,7"
    )
    assert main(shlex.split(line)) == 0
    out, err = capsys.readouterr()
    assert "step 1/12  prompt=film 0.2, steps=4, cfg_scale=3  succeeded" in err
    (folder,) = (path.parent for path in Path("runs").glob("*/plan.json"))
    assert f"contact sheet  {folder}/contact_sheet.png\nand 2 more     " in out
    assert f"and 2 more     {folder}/contact_sheet_*.png\n" in out
    assert len([*folder.glob("contact_sheet*.png")]) == 3
    events = [json.loads(each) for each in (folder / "events.jsonl").read_text().splitlines()]
    for kind in ("StepStarted", "StepFinished"):
        places = [event["places"] for event in events if event["type"] == kind]
        assert places == [[n % 2, n // 2 % 2, n // 4] for n in range(12)]


@pytest.mark.usefixtures("here")
def test_every_prompt_of_a_pack_is_a_condition_and_each_record_says_which_it_is_of() -> None:
    records = records_of("--pack tiny --prompts all --sweep txt2img.cfg_scale=1,3,5,8")
    assert len(records) == 32
    by_id = {record.prompt_id: varied(record)["txt2img.prompt"] for record in records}
    assert [*by_id] == [f"tiny#{number}" for number in range(1, 9)]
    assert by_id["tiny#2"] == "a blue cat, in the snow"
    assert {record.prompt_pack_id for record in records} == {"tiny"}
    for record in records:
        assert record.outputs[0]["prompt"] == varied(record)["txt2img.prompt"]
        assert record.metadata["conditions"] == ["txt2img.prompt", "txt2img.negative_prompt"]
        assert record.metadata["variable_name"] == "cfg_scale"


@pytest.mark.usefixtures("here")
def test_words_are_replaced_in_every_combination() -> None:
    records = records_of(
        '--prompt "a red mushroom in a forest" --replace "red=red,blue,green"'
        ' --replace "forest=forest,desert"'
    )
    assert [record.outputs[0]["prompt"] for record in records] == [
        f"a {colour} mushroom in a {place}"
        for place in ("forest", "desert")
        for colour in ("red", "blue", "green")
    ]
    assert varied(records[1]) == {"replace.red": "blue", "replace.forest": "forest"}


@pytest.mark.usefixtures("here")
def test_every_variant_of_a_prompt_is_made_once() -> None:
    records = records_of('--prompt "a {red|blue} {cat|dog}" --variants all')
    assert [record.outputs[0]["prompt"] for record in records] == [
        "a red cat",
        "a red dog",
        "a blue cat",
        "a blue dog",
    ]


@pytest.mark.usefixtures("here")
def test_a_star_is_every_sampler_that_there_is() -> None:
    records = records_of('--prompt "a blue cat" --sweep "txt2img.sampler_name=*"')
    used = [record.outputs[0]["sampler_name"] for record in records]
    assert tuple(used) == EMBEDDED_CAPABILITIES.samplers


@pytest.mark.usefixtures("here")
def test_settings_in_step_are_two_runs() -> None:
    records = records_of(
        '--prompt "a blue cat" --sweep "txt2img.sampler_name=Euler,DPM++ 2M"'
        " --with txt2img.steps=20,12"
    )
    used = [(each.outputs[0]["sampler_name"], each.outputs[0]["steps"]) for each in records]
    assert used == [("Euler", 20), ("DPM++ 2M", 12)]


@pytest.mark.usefixtures("files")
def test_prompts_copied_from_pictures_keep_what_is_not_swept() -> None:
    records = records_of("--pack copied.txt --prompts all --sweep txt2img.steps=8,16")
    names = ("prompt", "steps", "sampler_name", "scheduler", "seed")
    assert [tuple(each.outputs[0][name] for name in names) for each in records] == [
        ("a blue cat, sitting", 8, "Euler a", "Karras", 7),
        ("a blue cat, sitting", 16, "Euler a", "Karras", 7),
        ("a red mushroom", 8, "DPM++ 2M", "Karras", 8),
        ("a red mushroom", 16, "DPM++ 2M", "Karras", 8),
    ]
    assert {"txt2img.seed", "txt2img.prompt"} <= {*as_list(records[0].metadata["conditions"])}


def as_list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


@pytest.mark.usefixtures("files")
def test_variants_are_what_a_plan_compares() -> None:
    records = records_of('--prompt "a __colours__ cat" --wildcards words --variants all')
    assert [each.outputs[0]["prompt"] for each in records] == [
        "a red cat",
        "a blue cat",
        "a light green cat",
        "a dark green cat",
    ]
    assert "conditions" not in records[0].metadata  # they are compared
    assert records[1].metadata["variable_value"] == "a blue cat"


@pytest.mark.usefixtures("files")
def test_presets_are_compared_over_prompts() -> None:
    records = records_of(
        "--presets soft.toml,crisp.toml --pack tiny --prompts 1-5 --images-per-step 4"
    )
    assert len(records) == 10
    first, second = records[:2]
    assert (first.metadata["variable_name"], first.metadata["variable_value"]) == ("preset", "soft")
    assert second.metadata["variable_value"] == "crisp"
    shown = [(each.outputs[0]["cfg_scale"], each.outputs[0]["steps"]) for each in (first, second)]
    assert shown == [(3, 20), (8, 30)]
    assert len(first.outputs) == 4
    assert [each.prompt_id for each in records[::2]] == [f"tiny#{n}" for n in range(1, 6)]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_everything_that_is_wrong_is_told_at_once_before_anything_runs(
    here: Path, capsys: pytest.CaptureFixture[str], dry: list[str]
) -> None:
    (here / "bad.toml").write_text("[txt2img]\nstepz = 3\n")
    (here / "words").mkdir()
    (here / "words" / "colours.txt").write_text("red\n")
    words = (
        '--prompt "a __colour__ cat" --variants all --wildcards words'
        ' --replace "blue=red,green" --replace "dog=cow" --presets bad.toml,none.toml'
        " --sweep txt2img.cfg_scale=3,5 --sweep txt2img.cfg_scale=7,9"
        ' --sweep "txt2img.sampler_name=Euler,Heun" --with txt2img.seed=20,12,8'
        ' --sweep "txt2img.model=xl_*" --sweep txt2img.scheduler=Karrass --sweep txt2img.steps=0'
        " --set txt2img.width=512 --set upscale.stepz=3 --max-time soon"
    )
    assert main([*shlex.split(words), *dry]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    told = [line.removeprefix("stablenew: ") for line in err.splitlines()]
    assert sorted(line.partition(",")[0] for line in told) == sorted(
        [
            "--set upscale.stepz: no such setting",
            "presets: bad.toml: txt2img.stepz: unknown key",
            "presets: none.toml: No such file or directory",
            "txt2img.seed: 3 values in step with the 2 of txt2img.sampler_name; expected as many",
            "--max-time: given 'soon'",
            "txt2img.model: given 'xl_*'",
            "txt2img.cfg_scale: is set by 2 axes (txt2img.cfg_scale",
            "txt2img.steps: given 0",
            "prompt: __colour__: no such wildcard in 'words'",
            "replace.blue: 'blue' is not in the prompt 'a __colour__ cat'",
            "replace.dog: 'dog' is not in the prompt 'a __colour__ cat'",
            "txt2img.scheduler: given 'Karrass'",
            "txt2img.width",
        ]
    )
    assert not (here / "runs").exists()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_a_word_that_a_step_lacks_hides_nothing_though_the_step_is_right_without_it(
    capsys: pytest.CaptureFixture[str], dry: list[str]
) -> None:
    words = '--prompt "a cat" --replace "cat=cat,dog" --replace "cat=cow,bull" --replace "sun=moon"'
    assert main([*shlex.split(words), *dry]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "stablenew: replace.cat: is set by 2 axes (replace.cat, replace.cat), expected one",
        "stablenew: replace.sun: 'sun' is not in the prompt 'a cow'",
        "stablenew: replace.cat: 'cat' is not in the prompt 'a dog'",
        "stablenew: replace.sun: 'sun' is not in the prompt 'a dog'",
        "stablenew: replace.sun: 'sun' is not in the prompt 'a bull'",
    ]


@pytest.mark.usefixtures("here")
def test_what_is_wrong_is_told_also_where_the_backend_does_not_answer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--prompt", "a", "--url", "http://127.0.0.1:1", "--sweep", "txt2img.steps=x"]
    assert main([*words, "--dry-run"]) == 2
    assert "txt2img.steps: given 'x'" in capsys.readouterr().err
    assert main([*words[:-2], "--dry-run"]) == 3
