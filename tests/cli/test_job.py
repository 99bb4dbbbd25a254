from __future__ import annotations

from pathlib import Path

import pytest

from stablenew.cli.arguments import EXAMPLES, run_parser
from stablenew.cli.job import Job, read_job
from stablenew.errors import ConfigError

FILE = """
prompt = "a blue cat"
seed = 5
out = "from-file"
[txt2img]
steps = 12
[learning]
enabled = true
target_variable = "txt2img.cfg_scale"
sweep_values = [1, 3]
images_per_step = 3
max_steps = 1
experiment_name = "from the file"
"""


def job(*words: str, **environ: str) -> Job:
    return read_job(vars(run_parser().parse_args(words)), environ)


def problems(*words: str, **environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        job(*words, **environ)
    return caught.value.problems


@pytest.fixture
def plan_file(tmp_path: Path) -> str:
    path = tmp_path / "plan.toml"
    path.write_text(FILE)
    return str(path)


def test_defaults_stand_where_nobody_said_anything() -> None:
    found = job("--prompt", "a cat")
    assert found.config.txt2img.prompt == "a cat"
    assert found.settings.out == Path("runs")
    assert found.settings.backend == "embedded"
    assert not found.settings.learning_enabled
    assert found.plan is None
    assert found.images == 1


def test_a_file_has_the_same_words(plan_file: str) -> None:
    found = job(plan_file)
    assert found.config.txt2img.prompt == "a blue cat"
    assert (found.config.txt2img.seed, found.config.txt2img.steps) == (5, 12)
    assert found.plan is not None
    assert (found.plan.path, found.plan.sweep_values) == ("txt2img.cfg_scale", (1, 3))
    assert (found.plan.images_per_step, found.max_steps) == (3, 1)
    assert found.settings.learning_enabled
    assert found.metadata == {"experiment_name": "from the file"}


def test_flags_beat_the_environment_beats_the_file(plan_file: str) -> None:
    environ = {"STABLENEW_OUT": "from-env", "STABLENEW_SEED": "6", "STABLENEW_BACKEND": "fake"}
    found = job(plan_file, "--seed", "7", **environ)
    assert found.config.txt2img.seed == 7
    assert found.settings.out == Path("from-env")
    assert found.settings.backend == "fake"
    assert job(plan_file).settings.out == Path("from-file")


def test_a_flag_can_turn_off_what_the_file_turned_on(plan_file: str) -> None:
    assert not job(plan_file, "--no-learn").settings.learning_enabled
    assert job("--prompt", "a", STABLENEW_LEARN="yes").settings.learning_enabled


def test_a_stronger_sweep_replaces_the_files(plan_file: str) -> None:
    found = job(plan_file, "--sweep", "txt2img.steps=4,8", "--images-per-step", "2")
    assert found.plan is not None
    assert (found.plan.path, found.plan.sweep_values) == ("txt2img.steps", (4, 8))
    assert found.plan.images_per_step == 2


def test_a_setting_on_the_command_line_beats_everything(plan_file: str) -> None:
    found = job(plan_file, "--set", "txt2img.steps=3", "--set", "upscale.enabled=true")
    assert found.config.txt2img.steps == 3
    assert found.config.upscale.enabled


def test_a_packs_prompt_is_taken_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("one\nneg: bad\n\ntwo\n")
    found = job("--pack", str(path))
    assert (found.config.txt2img.prompt, found.config.txt2img.negative_prompt) == ("one", "bad")
    assert found.metadata == {"prompt_pack_id": "mine", "prompt_id": "mine#1"}
    assert job("--pack", str(path), "--prompt-index", "2").config.txt2img.prompt == "two"
    own = job("--pack", str(path), "--negative-prompt", "worse")
    assert own.config.txt2img.negative_prompt == "worse"


def test_an_empty_prompt_on_the_command_line_means_none(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text('pack = "tiny"\n[txt2img]\nnegative_prompt = "bad"\n')
    assert job(str(path)).config.txt2img.negative_prompt == "blurry, dark"
    assert job(str(path), "--negative-prompt", "").config.txt2img.negative_prompt == ""
    assert job(str(path), "--prompt", "").config.txt2img.prompt == ""
    named = job(str(path), "--prompt-index", "4")  # the pack has none for it
    assert named.config.txt2img.negative_prompt == "bad"


def test_a_pack_of_a_plan_file_is_found_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "plans"
    folder.mkdir()
    (folder / "heroes.txt").write_text("a knight")
    path = folder / "plan.toml"
    path.write_text('pack = "heroes"\n')
    monkeypatch.chdir(tmp_path)
    assert job(str(path)).config.txt2img.prompt == "a knight"
    Path("heroes.txt").write_text("mine")
    assert job(str(path)).config.txt2img.prompt == "a knight"
    assert job(str(path), "--pack", "heroes").config.txt2img.prompt == "mine"
    (folder / "heroes.txt").unlink()
    assert job(str(path)).config.txt2img.prompt == "mine"
    Path("heroes.txt").unlink()
    (found,) = problems(str(path))
    assert f"there is no file 'heroes' in {str(folder)!r} or the current folder" in found


def test_a_plan_file_of_another_format_is_refused_by_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "plan.txt"
    path.write_text("a red cat\n")
    assert "plan.txt: not TOML, which a plan file is in: " in problems(str(path))[0]


def test_a_plan_file_may_be_what_windows_calls_unicode(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text("prompt = 'a cat'", encoding="utf-16")
    assert job(str(path)).config.txt2img.prompt == "a cat"


def test_a_packs_own_settings_beat_the_plan_file_and_are_beaten_by_set_and_seed(
    tmp_path: Path,
) -> None:
    copied = tmp_path / "copied.txt"
    copied.write_text("a cat\nSteps: 20, Sampler: Heun, Seed: 5, Size: 512x768, ENSD: 31337\n")
    path = tmp_path / "plan.toml"
    path.write_text('pack = "copied"\n[txt2img]\nsteps = 4\ncfg_scale = 3\n')
    found = job(str(path), "--set", "txt2img.sampler_name=Euler", "--seed", "1")
    txt2img = found.config.txt2img
    assert (txt2img.prompt, txt2img.steps, txt2img.cfg_scale) == ("a cat", 20, 3)
    assert (txt2img.sampler_name, txt2img.seed, txt2img.width) == ("Euler", 1, 512)
    assert found.notes == ("pack copied: left out, for there is no such setting here: ENSD",)


def test_a_pack_of_styles_is_put_around_the_prompt(tmp_path: Path) -> None:
    path = tmp_path / "styles.csv"
    path.write_text("name,prompt,negative_prompt\nFilm,still of {prompt},cartoon\n")
    pack = ("--pack", str(path))
    found = job(*pack, "--prompt", "a cat", "--negative-prompt", "dark").config.txt2img
    assert (found.prompt, found.negative_prompt) == ("still of a cat", "dark, cartoon")
    plan = tmp_path / "plan.toml"
    plan.write_text('prompt = "a dog"\n')
    assert job(str(plan), *pack).config.txt2img.prompt == "still of a dog"
    (problem,) = problems(*pack)
    assert problem == "styles#1 ('Film'): a style to put around a prompt, expected --prompt as well"


def test_a_packs_format_can_be_said(tmp_path: Path) -> None:
    path = tmp_path / "mine.list"
    path.write_text("a cat\n\na dog\n")
    pack = ("--pack", str(path), "--prompt-index", "2")
    assert job(*pack, "--pack-format", "lines").config.txt2img.prompt == "a dog"
    assert "a .list file, expected" in problems(*pack)[0]
    assert problems("--prompt", "a", "--pack-format", "lines") == (
        "pack_format: given lines without a pack",
    )


def test_a_pack_from_standard_input_leaves_nothing_to_wait_for() -> None:
    (problem,) = problems("--pack", "-", "--cancel-on-stdin-close")
    assert problem.startswith("--cancel-on-stdin-close: given with --pack -")


def test_a_file_that_is_not_there_is_named_once() -> None:
    assert problems("nope.toml") == ("nope.toml: No such file or directory",)


def test_a_prompt_of_a_stronger_source_beats_a_pack_of_a_weaker(plan_file: str) -> None:
    assert job(plan_file, "--pack", "tiny").config.txt2img.prompt != "a blue cat"
    found = job("--prompt", "mine", STABLENEW_PACK="tiny")
    assert found.config.txt2img.prompt == "mine"
    assert found.metadata == {}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--seed", "x"), "--seed: given 'x', expected a whole number"),
        (("--seed", "-5"), "--seed: given -5, expected -1 to"),
        (("--prompt-index", "0"), "--prompt-index: given 0"),
        (("--prompt-index", "2"), "prompt_index: given 2 without a pack"),
        (("--step-timeout", "soon"), "--step-timeout: given 'soon', expected a number"),
        (("--step-timeout", "nan"), "--step-timeout: given nan, expected a finite number"),
        (("--images-per-step", "0"), "--images-per-step: given 0"),
        (("--set", "steps=1"), "--set steps: not a setting's path"),
        (("--set", "txt2img.steps"), "--set given 'txt2img.steps', expected PATH=VALUE"),
        (("--sweep", "txt2img.steps=a"), "txt2img.steps: given 'a'"),
        (("--sweep", "txt2img.steps="), "txt2img.steps: given no values"),
        (("--explore", "txt2img.steps=5"), "expected txt2img.steps=LOW..HIGH, or several values"),
        (("--explore", "txt2img.steps=9..5"), "expected a lower and a higher number"),
        (("--explore", "txt2img.scheduler=a..b"), "given 'a..b' alone"),
        (("--explore", "txt2img.prompt=a,b"), "settings are compared under a prompt"),
        (("--explore", "txt2img.steps=5,6..9"), "expected LOW..HIGH alone, or a list of values"),
        (("--explore", "txt2img.steps=5..6"), "which has nothing in between"),
        (("--explore", "txt2img.seed=1..9"), "a seed is luck and no choice"),
        (("--explore", "txt2img.stebs=1..9"), "txt2img.stebs: no such setting"),
        (
            ("--explore", "txt2img.steps=1..9", "--sweep", "txt2img.cfg_scale=1,2"),
            "sweep: given with",
        ),
        (("--prompt", "a", "--max-pictures", "9"), "max_pictures: of what? expected --explore"),
        (("--prompt", "a", "--pack", "tiny"), "both are given"),
        (("--out", "runs\new"), "with a control character; expected a path (in a TOML"),
        (("--pack", "packs\new.txt"), "pack: given 'packs\\new.txt', with a control character"),
        (("plan.yaml",), "plan.yaml: a YAML file, expected a plan file in TOML"),
        (("--out", ""), "--out: given '', expected something"),
        (("--set", "txt2img=3"), "txt2img: a stage, expected one of its settings"),
        (("--sweep", "txt2img.cfg_scale"), "sweep: given 'txt2img.cfg_scale', expected PATH=VALUE"),
        (("--sweep", "txt2img.cfg_scale=1,1e400"), "given '1e400', expected a number"),
        (("--sweep", "txt2img.steps=1:8:0"), "whose step is 0"),
        (("--pack", "nope"), "there is no file 'nope'"),
        (("nope.toml",), "nope.toml: No such file"),
    ],
)
def test_a_wrong_word_gets_one_clear_line(words: tuple[str, ...], expected: str) -> None:
    (found,) = problems(*words)
    assert expected in found


def test_a_stronger_prompt_silences_a_weaker_pack_and_its_index(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text('pack = "tiny"\nprompt_index = 3\n')
    assert job(str(path), "--prompt", "flag").config.txt2img.prompt == "flag"
    assert job(str(path), STABLENEW_PROMPT="env").config.txt2img.prompt == "env"


def test_a_set_of_what_is_varied_is_refused(tmp_path: Path) -> None:
    said = "--set txt2img.steps: given, but an axis varies it; leave one of them out"
    swept = ("--sweep", "txt2img.cfg_scale=5,7", "--with", "txt2img.steps=8,9")
    assert problems("--prompt", "a", *swept, "--set", "txt2img.steps=4") == (said,)
    path = tmp_path / "plan.toml"
    path.write_text('prompt = "a"\n[learning]\ntarget_variable = "steps"\nsweep_values = [8, 9]\n')
    assert problems(str(path), "--set", "txt2img.steps=4") == (said,)


def test_a_flag_and_a_set_that_say_the_same_thing_are_refused() -> None:
    (found,) = problems("--prompt", "a", "--seed", "8", "--set", "txt2img.seed=7")
    assert found == "--seed, --set txt2img.seed: both are given, expected one of them"


def test_text_that_is_no_text_is_refused() -> None:
    (found,) = problems("--prompt", "bad\udcff")
    assert "expected valid Unicode text" in found


def test_wrong_words_of_the_environment_are_named_as_variables() -> None:
    assert problems(STABLENEW_SEED="x", STABLENEW_LEARN="perhaps") == (
        "STABLENEW_SEED: given 'x', expected a whole number",
        "STABLENEW_LEARN: given 'perhaps', expected true or false",
    )


def test_all_problems_of_a_file_are_named_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('promt = "a"\n[txt2img]\nsteps = 0\n[learning]\nsweep_value = 1\n')
    found = problems(str(path))
    assert [line.removeprefix(f"{path}: ").partition(":")[0] for line in found] == [
        "txt2img.steps",
        "learning.sweep_value",
        "promt",
    ]


def test_a_sweep_may_stand_in_the_file_as_it_does_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text('prompt = "a"\nsweep = "txt2img.steps=4:8:2"\nlearn = true\n')
    found = job(str(path))
    assert found.plan is not None
    assert found.plan.sweep_values == (4, 6, 8)


def test_a_plan_file_may_be_json(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text('{"txt2img": {"prompt": "a"}, "learning": {"target_variable": "steps"}}')
    (found,) = problems(str(path))
    assert found.startswith("learning.sweep_values: missing, expected its values")


def test_the_help_names_every_flag_and_the_examples() -> None:
    text = run_parser().format_help()
    assert EXAMPLES in text
    for word in ("--pack", "--sweep", "--json", "--dry-run", "--step-timeout", "--quiet"):
        assert word in text


def test_a_plan_file_explores_in_words_or_in_its_section(tmp_path: Path) -> None:
    words = tmp_path / "words.toml"
    words.write_text(
        'prompt = ["a cat", "a dog"]\n'
        'explore = ["txt2img.cfg_scale=1..12", "txt2img.tiling=true,false"]\n'
        "max_pictures = 30\n"
    )
    section = tmp_path / "section.toml"
    section.write_text(
        'prompt = ["a cat", "a dog"]\n[learning]\nmode = "adaptive"\nmax_pictures = 30\n'
        'axes = [{path = "txt2img.cfg_scale", values = "1..12"},'
        ' {path = "txt2img.tiling", values = [true, false]}]\n'
    )
    plans = [job(str(path)).plan for path in (words, section)]
    assert plans[0] == plans[1]
    assert plans[0] is not None
    assert (plans[0].is_adaptive, plans[0].max_pictures) == (True, 30)
    assert [len(axis.choices) for axis in plans[0].axes] == [23, 2, 2]
    assert [axis.condition for axis in plans[0].axes] == [False, False, True]
