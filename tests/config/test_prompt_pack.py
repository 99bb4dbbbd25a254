from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablenew.backends.embedded.model import Model
from stablenew.config.prompt import Prompt, styled
from stablenew.config.prompt_pack import find_prompt_pack, pick_prompt, read_prompt_pack
from stablenew.errors import ConfigError

HEROES = """\
\ufeff<embedding:positives> <embedding:realism>
(masterpiece, best quality) character portrait, natural skin,
young shieldmaiden, cloak clasp
<lora:add-detail-xl:0.7>
neg: <embedding:ac_neg1>
neg: deformed hands, extra digits

# a comment, and a block of its own

second hero
# a comment within
smiling eyes
NEG: blurry
plastic, low quality
"""


def pack(tmp_path: Path, text: str, name: str = "heroes.txt") -> tuple[Prompt, ...]:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_prompt_pack(path)


def test_blocks_comments_and_negatives_are_read_as_people_write_them(tmp_path: Path) -> None:
    first, second = pack(tmp_path, HEROES)
    assert first.positive == (
        "<embedding:positives> <embedding:realism>, (masterpiece, best quality) character"
        " portrait, natural skin, young shieldmaiden, cloak clasp, <lora:add-detail-xl:0.7>"
    )
    assert first.negative == "<embedding:ac_neg1>, deformed hands, extra digits"
    assert (first.pack_id, first.index, second.index) == ("heroes", 1, 2)


def test_the_negative_goes_on_without_its_prefix_until_the_block_ends(tmp_path: Path) -> None:
    second = pack(tmp_path, HEROES)[1]
    assert second.positive == "second hero, smiling eyes"
    assert second.negative == "blurry, plastic, low quality"


def test_a_pack_with_windows_line_ends_and_no_last_newline_is_read(tmp_path: Path) -> None:
    prompts = pack(tmp_path, "one\r\nneg: bad\r\n\r\ntwo")
    assert [(prompt.positive, prompt.negative) for prompt in prompts] == [
        ("one", "bad"),
        ("two", ""),
    ]


def test_international_text_is_kept(tmp_path: Path) -> None:
    (prompt,) = pack(tmp_path, "美丽的日式花园，樱花盛开\nneg: 模糊，低质量")
    assert (prompt.positive, prompt.negative) == ("美丽的日式花园，樱花盛开", "模糊，低质量")


def test_a_tsv_pack_has_a_prompt_a_line(tmp_path: Path) -> None:
    prompts = pack(tmp_path, "a cat\tblurry\n# no\n\na dog\n", "two.tsv")
    assert [(prompt.positive, prompt.negative) for prompt in prompts] == [
        ("a cat", "blurry"),
        ("a dog", ""),
    ]


def test_a_pack_without_blank_lines_and_negatives_has_a_prompt_a_line(tmp_path: Path) -> None:
    prompts = pack(tmp_path, "# mine\na red cat,\na blue dog\r\na green mushroom\n\n")
    assert [prompt.positive for prompt in prompts] == [
        "a red cat",
        "a blue dog",
        "a green mushroom",
    ]
    (one,) = pack(tmp_path, "a red cat\nin the snow\nneg: blurry")
    assert one.positive == "a red cat, in the snow"


def test_a_negative_prompt_is_one_as_the_webui_writes_it(tmp_path: Path) -> None:
    (prompt,) = pack(tmp_path, "1girl, solo\nNegative prompt: lowres,\nbad hands\n")
    assert (prompt.positive, prompt.negative) == ("1girl, solo", "lowres, bad hands")


@pytest.mark.parametrize(("name", "join"), [("p.txt", "\nneg: "), ("p.tsv", "\t")])
def test_only_cr_and_lf_end_a_line(tmp_path: Path, name: str, join: str) -> None:
    odd = "a\u2028red\x0bcat\x85sits\x1cthere"
    first, second = pack(tmp_path, f"{odd}{join}blurry\r\n\r\na dog{join}bad", name)
    assert (first.positive, first.negative) == (odd, "blurry")
    assert (second.positive, second.negative) == ("a dog", "bad")


def test_packs_joined_with_cat_have_no_byte_order_mark(tmp_path: Path) -> None:
    first, second = pack(tmp_path, "\ufeffa red cat\n\n\ufeffa blue dog\nneg: bad\n")
    assert (first.positive, second.positive) == ("a red cat", "a blue dog")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("picture.png", "a", "a .png file, expected a .txt of prompts in blocks"),
        ("p.txt", "a\n\nb\n--steps 20\n", "line 4: no --prompt"),
        ("p.txt", "a\nneg: b\n--prompt c\n", "line 2: 'neg: b' where each line is a prompt"),
        ("p.txt", "a\n\nneg: b\n", "line 3: a negative prompt with no prompt before it"),
        ("p.txt", "a\n\nSteps: 20, Seed: 1\n", "line 3: settings, 'Steps: 20, Seed: 1'"),
        ("p.txt", "a\n,\n", "prompt 2: is empty"),
        ("p.tsv", "a\n\tb\n", "prompt 2: is empty"),
        ("p.json", '["a", ""]', "prompt 2: is empty"),
        ("p.tsv", "a\tb\tc\n", "line 1: more than two columns"),
        ("p.json", "a cat\n\na dog", "not JSON: Expecting value: line 1 column 1"),
        ("p.json", "5", "expected a list of prompts"),
        ("p.yaml", "- a\n- [\n", "line 3: not YAML: "),
        ("p.yaml", "- [a]", "prompt 1: given ['a'], expected text or a table"),
        ("p.csv", "a,b\n1,2\n", "columns a, b, expected name, prompt, negative_prompt"),
        ("p.csv", 'prompt\n"a', "line 1: unexpected end of data"),
        ("p.csv", "prompt\na,b\n", "line 2: more columns than the first row names"),
    ],
)
def test_what_is_no_pack_is_refused_by_what_it_is(
    tmp_path: Path, name: str, text: str, expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        pack(tmp_path, text, name)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{tmp_path / name}: {expected}")
    assert "json" in problem.lower()  # as one of the formats that there are


@pytest.mark.parametrize("text", ["[" * 5_000, "{a: " * 5_000, "&a [*a]"])
@pytest.mark.parametrize("name", ["p.json", "p.yaml"])
def test_what_is_nested_too_deeply_or_in_itself_is_refused(
    tmp_path: Path, name: str, text: str
) -> None:
    with pytest.raises(ConfigError, match=rf"{name}: "):
        pack(tmp_path, text, name)


COPIED = """\
# two pictures of mine
a cat, sitting,
by the sea
Negative prompt: blurry
bad hands
Steps: 25, Sampler: DPM++ 2M Karras, CFG scale: 6.5, Seed: 1234, Size: 512x768, \
Model hash: 0123abcd, Model: dream, Denoising strength: 0.4, Clip skip: 2, Hires upscale: 1.5, \
Hires upscaler: Latent, ENSD: 31337, ADetailer model: face_yolov8n.pt, \
ADetailer inpaint only masked: True, Version: v1.6.0
a dog
Steps: 20, Sampler: Euler a, Schedule type: Automatic, Denoising strength: 0.75, Seed: 5
"""


def test_what_is_copied_from_pictures_keeps_its_settings_and_its_lines(tmp_path: Path) -> None:
    cat, dog = pack(tmp_path, COPIED)
    assert (cat.positive, cat.negative) == ("a cat, sitting,\nby the sea", "blurry\nbad hands")
    assert cat.overrides == {
        "txt2img.enable_hr": True,
        "adetailer.enabled": True,
        "txt2img.steps": 25,
        "txt2img.sampler_name": "DPM++ 2M",
        "txt2img.scheduler": "Karras",
        "txt2img.cfg_scale": 6.5,
        "txt2img.seed": 1234,
        "txt2img.width": 512,
        "txt2img.height": 768,
        "txt2img.model": "dream",
        "txt2img.denoising_strength": 0.4,
        "txt2img.clip_skip": 2,
        "txt2img.hr_scale": 1.5,
        "txt2img.hr_upscaler": "Latent",
        "adetailer.ad_model": "face_yolov8n.pt",
        "adetailer.ad_inpaint_only_masked": True,
    }
    assert cat.left_out == ("ENSD",)
    assert (dog.positive, dog.negative) == ("a dog", "")
    assert dog.overrides["txt2img.scheduler"] == "Automatic"
    assert dog.left_out == ("Denoising strength",)  # of an img2img picture, which needs another


def test_a_wrong_setting_of_a_picture_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        pack(tmp_path, "a\nSteps: 0, CFG scale: high, Seed: 1\n")
    steps, cfg_scale = caught.value.problems
    assert steps.startswith(f"{tmp_path / 'heroes.txt'}: line 2: txt2img.steps: given 0")
    assert "line 2: txt2img.cfg_scale: given 'high', expected a number" in cfg_scale


def test_what_civitai_adds_below_a_picture_is_no_setting(tmp_path: Path) -> None:
    text = (
        'a cat\nSteps: 25, CFG scale: 7, Hashes: {"lora:a": "0f", "model": "1e"}, Clip skip: 2,'
        ' Civitai resources: [{"type":"checkpoint","modelVersionId":12}], Civitai metadata: {}'
    )
    (prompt,) = pack(tmp_path, text)
    assert prompt.left_out == ()
    assert prompt.overrides["txt2img.clip_skip"] == 2


SCRIPT = """\
--prompt "a cat, sitting" --negative_prompt "blurry, bad" --steps 20 --cfg_scale 7 \
--sampler_name "Euler a" --width 512 --seed -1
a plain dog, sitting

--negative_prompt low quality --prompt a big bird --sd_model dream.safetensors --batch_size 4
"""


def test_the_lines_of_the_webuis_script_are_prompts_with_settings(tmp_path: Path) -> None:
    cat, dog, bird = pack(tmp_path, SCRIPT)
    assert (cat.positive, cat.negative) == ("a cat, sitting", "blurry, bad")
    assert cat.overrides == {
        "txt2img.steps": 20,
        "txt2img.cfg_scale": 7,
        "txt2img.sampler_name": "Euler a",
        "txt2img.width": 512,
    }
    assert (dog.positive, dict(dog.overrides)) == ("a plain dog, sitting", {})
    assert (bird.positive, bird.negative) == ("a big bird", "low quality")
    assert bird.overrides == {"txt2img.model": "dream.safetensors"}
    assert bird.left_out == ("--batch_size",)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--prompt a --stepz 5", "--stepz: no such option, did you mean steps"),
        ("--prompt a --steps 5 6", "--steps: given '5 6', expected one value"),
        ("--prompt a --steps --width 5", "--steps: given '', expected one value"),
        ("--prompt a --steps many", "txt2img.steps: given 'many', expected a whole number"),
        ("--prompt a cat's eye", "No closing quotation, expected quotes around a text"),
    ],
)
def test_a_wrong_option_is_told_with_its_line(tmp_path: Path, line: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        pack(tmp_path, f"a dog\n{line}\n")
    assert f"line 2: {expected}" in str(caught.value)


STYLES = """\
\ufeffname,prompt,negative_prompt
None,,
Cinematic,"film still of {prompt}, grainy","cartoon, {prompt}"
Crisp,"sharp, detailed",blurry
Hands,,bad hands
"""


def test_a_style_wraps_a_prompt_as_the_webui_does(tmp_path: Path) -> None:
    film, crisp, hands = pack(tmp_path, STYLES, "styles.csv")
    assert (film.name, film.index, film.style) == ("Cinematic", 1, True)
    cat = styled(film, "a cat", "dark")
    assert (cat.positive, cat.negative) == ("film still of a cat, grainy", "cartoon, dark")
    cat = styled(crisp, "a cat", "dark")
    assert (cat.positive, cat.negative) == ("a cat, sharp, detailed", "dark, blurry")
    assert (styled(hands, "a cat").positive, styled(hands, "a cat").negative) == (
        "a cat",
        "bad hands",
    )
    assert styled(crisp, None).positive == "sharp, detailed"
    assert styled(cat, "a dog") is cat
    with pytest.raises(
        ConfigError, match=r"styles#1 \('Cinematic'\): a style to put around a prompt"
    ):
        styled(film, None)
    with pytest.raises(ConfigError, match=r"styles#3 \('Hands'\): a style to put around a prompt"):
        styled(hands, None)


def test_a_spreadsheet_of_prompts_may_have_settings_and_its_countrys_separator(
    tmp_path: Path,
) -> None:
    (cat,) = pack(tmp_path, 'prompt;steps;cfg_scale\n"a cat;\nsitting";12;\n', "p.csv")
    assert (cat.positive, dict(cat.overrides)) == ("a cat;\nsitting", {"txt2img.steps": 12})
    assert not cat.style
    (old,) = pack(tmp_path, "name,text\nOld,in oils\n", "styles.csv")
    assert old.positive == "in oils"


JSON = """[
    "a cat",
    {"prompt": "a dog", "negative_prompt": "blurry", "steps": 12, "img2img.enabled": true},
    {"prompt": "a bird", "settings": {"cfg_scale": 3.5, "sampler_name": "Heun", "seed": null}}
]"""
YAML = """\
prompts:
  - a cat
  - prompt: a dog
    negative_prompt: blurry
    steps: 12
    img2img.enabled: true
  - prompt: a bird
    settings: {cfg_scale: 3.5, sampler_name: Heun}
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [("p.json", JSON), ("p.txt", f'{{"prompts": {JSON}}}'), ("p.YAML", YAML), ("p.txt", YAML)],
)
def test_lists_of_prompts_are_texts_or_tables_with_settings(
    tmp_path: Path, name: str, text: str
) -> None:
    cat, dog, bird = pack(tmp_path, text, name)
    assert (cat.positive, dict(cat.overrides)) == ("a cat", {})
    assert (dog.positive, dog.negative) == ("a dog", "blurry")
    assert dog.overrides == {"txt2img.steps": 12, "img2img.enabled": True}
    assert bird.overrides == {"txt2img.cfg_scale": 3.5, "txt2img.sampler_name": "Heun"}


def test_a_text_in_yaml_is_what_is_written(tmp_path: Path) -> None:
    no, year, one = pack(tmp_path, "- no\n- 1990\n- (a:1.2), <lora:b:1>\n", "p.yml")
    assert [each.positive for each in (no, year, one)] == ["no", "1990", "(a:1.2), <lora:b:1>"]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("p.json", '["a", 5]', "prompt 2: given 5, expected text or a table"),
        ("p.json", '[{"prompt": 5}]', "prompt 1: prompt: given 5, expected text"),
        (
            "p.json",
            '[{"prompt": "a", "stepz": 5}]',
            "prompt 1: stepz: no such setting, did you mean",
        ),
        ("p.json", '[{"prompt": "a", "steps": 0}]', "prompt 1: txt2img.steps: given 0, expected 1"),
        ("p.json", '[{"steps": 5}]', "prompt 1: no prompt in steps"),
        ("p.json", '[{"prompt": "a", "settings": 5}]', "prompt 1: settings: no such setting"),
        ("p.yaml", "- a cat: sitting\n", "prompt 1: a cat: no such setting"),
    ],
)
def test_a_wrong_entry_of_a_list_is_told_with_its_number(
    tmp_path: Path, name: str, text: str, expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        pack(tmp_path, text, name)
    assert expected in str(caught.value)


def test_a_format_that_is_said_beats_the_ending_and_the_text(tmp_path: Path) -> None:
    path = tmp_path / "prompts.list"
    path.write_text("a cat\n\na dog\na bird\n")
    assert [each.positive for each in read_prompt_pack(path, "lines")] == [
        "a cat",
        "a dog",
        "a bird",
    ]
    assert [each.positive for each in read_prompt_pack(path, "blocks")] == [
        "a cat",
        "a dog, a bird",
    ]
    with pytest.raises(ConfigError, match="pack_format: given 'line', did you mean lines"):
        read_prompt_pack(path, "line")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_byte_order_mark_says_the_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "heroes.txt"
    path.write_bytes("a 猫\r\nneg: bad\r\n".encode(encoding))
    (prompt,) = read_prompt_pack(path)
    assert (prompt.positive, prompt.negative) == ("a 猫", "bad")


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.TextIOWrapper(io.BytesIO(b"a cat\na dog\n"))
    monkeypatch.setattr("sys.stdin", text)
    cat, dog = read_prompt_pack(find_prompt_pack("-"))
    assert (cat.positive, dog.positive, dog.prompt_id) == ("a cat", "a dog", "stdin#2")


@pytest.mark.parametrize("text", ["{red|blue} cat", "[cat|dog] [x:y:0.5]", "(a:1.2), <lora:b:1>"])
def test_the_brackets_of_prompts_are_no_other_format(tmp_path: Path, text: str) -> None:
    (prompt,) = pack(tmp_path, text)
    assert prompt.positive == text


def test_prompts_are_counted_from_one(tmp_path: Path) -> None:
    prompts = pack(tmp_path, HEROES)
    assert pick_prompt(prompts, 2).index == 2
    for index in (0, 3, -1):
        with pytest.raises(ConfigError, match="expected 1 to 2"):
            pick_prompt(prompts, index)


@pytest.mark.parametrize("content", [b"", b"\n\n# nothing\n", b"\xff\xfe\x00", b"\x89PNG\0"])
def test_an_empty_or_binary_pack_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"bad\.txt"):
        read_prompt_pack(path)


def test_a_bare_name_is_looked_up_here_and_then_among_the_packages_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = find_prompt_pack("tiny")
    assert own.parent.name == "packs"
    Path("tiny.txt").write_text("mine")
    assert find_prompt_pack("tiny").read_text() == "mine"
    with pytest.raises(ConfigError, match="did you mean tiny"):
        find_prompt_pack("tinny")
    Path("folder").mkdir()
    with pytest.raises(ConfigError, match="folder"):
        find_prompt_pack("folder")


def test_the_packages_own_pack_says_nothing_that_the_model_does_not_know() -> None:
    tokenizer = Model().tokenizer
    for prompt in read_prompt_pack(find_prompt_pack("tiny")):
        assert tokenizer(prompt.positive).ignored == (), prompt
        assert tokenizer(prompt.negative).ignored == (), prompt


PIECES = (*'a,:#-\n\t{["', "\n\n", "neg:", "Steps: 5, ", "--prompt ")


@given(
    text=st.lists(st.sampled_from(PIECES), max_size=20).map("".join),
    name=st.sampled_from(["p.txt", "p.tsv", "p.csv", "p.json", "p.yaml"]),
)
def test_any_text_is_prompts_or_errors_that_name_the_file(
    tmp_path_factory: pytest.TempPathFactory, text: str, name: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    problems: tuple[str, ...] = ()
    try:
        prompts = pack(folder, text, name)
        assert all(each.positive for each in prompts)
    except ConfigError as error:
        problems = error.problems
    assert all(each.startswith(f"{folder / name}: ") for each in problems)
