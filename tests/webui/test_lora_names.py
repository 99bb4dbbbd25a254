"""LoRAs are checked by name before the first picture: a server that lacks one says nothing."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablenew.backends.webui.backend import WebUIBackend
from stablenew.backends.webui.prompt_files import (
    Lora,
    read_embeddings,
    read_loras,
    told_by_picture,
)
from stablenew.backends.webui.server import Flavour
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.errors import ConfigError
from stablenew.pipeline.stage_files import lora_names
from stablenew.pipeline.stage_plan import plan_stages
from tests.support import until
from tests.webui.driving import OtherClient, small
from tests.webui.profiles import A1111, SDCPP, SDNEXT
from tests.webui.requests import Refusal
from tests.webui.server import WebUI, serve
from tests.webui.shelf import Shelf


def shelf() -> Shelf:
    return Shelf(
        loras={"film grain": "a" * 64, "Anna_v2": "b" * 64, "x1": "c" * 64, "x2": "d" * 64},
        aliases={"Anna_v2": "anna", "x1": "last", "x2": "last"},
    )


async def problems(webui: WebUI, config: PipelineConfig) -> tuple[str, ...]:
    async with WebUIBackend(webui.url) as backend:
        capabilities = await backend.capabilities()
    try:
        plan_stages(config, capabilities)
    except ConfigError as error:
        return error.problems
    return ()


@pytest.mark.parametrize(
    "tag",
    [
        *("<lora:film grain:0.8>", "<lora:Anna_v2>", "<lora:anna:1:0.5>", "<lyco:x1:te=0.5>"),
        *("<lora:__any__:1>", "<lora:{a|b}:1>", "<lora:$who:1>"),  # another's words for a name
        *("<hypernet:nope:1>", "<3", "lora:nope", "< lora:nope:1>"),
    ],
)
async def test_what_the_server_takes_is_no_problem(tag: str) -> None:
    with serve(A1111, shelf=shelf()) as webui:
        assert await problems(webui, small(txt2img={"prompt": f"a cat {tag}"})) == ()


@pytest.mark.parametrize(
    ("tag", "name", "near"),
    [
        ("<lora:film_grain:0.8>", "film_grain", "did you mean film grain?"),
        ("<lora:Film Grain:0.8>", "Film Grain", "did you mean film grain?"),
        ("<lora:last:1>", "last", "there is "),  # two call themselves so: neither is taken
        ("<lyco:anna_v2:1>", "anna_v2", "did you mean Anna_v2 or anna?"),
        ("<lora::1>", "", "there is "),
    ],
)
async def test_a_name_that_is_not_there_is_an_error_with_the_nearest(
    tag: str, name: str, near: str
) -> None:
    with serve(A1111, shelf=shelf()) as webui:
        (problem,) = await problems(webui, small(txt2img={"prompt": f"a {tag} cat {tag}"}))
    lacks = "but the webui backend (AUTOMATIC1111) has no such LoRA"
    assert problem.startswith(f"txt2img.prompt: given <lora:{name}:…>, {lacks}; {near}")


async def test_every_prompt_is_looked_at_and_only_where_it_counts() -> None:
    tag = "<lora:nope:1>"
    every = {"negative_prompt": tag, "hr_prompt": tag, "hr_negative_prompt": tag}
    with serve(A1111) as webui:
        found = await problems(
            webui,
            small(
                txt2img={**every, "enable_hr": True},
                img2img={"prompt": tag},
                adetailer={"ad_model": "face_yolov8n.pt", "ad_prompt": tag},
            ),
        )
        unused = await problems(webui, small(txt2img={"hr_prompt": tag}))
    assert [problem.partition(":")[0] for problem in found] == [
        *("txt2img.negative_prompt", "txt2img.hr_prompt", "txt2img.hr_negative_prompt"),
        *("img2img.prompt", "adetailer.ad_prompt"),
    ]
    assert all(problem.endswith("there is none") for problem in found)
    assert unused == ()


async def test_where_there_is_no_list_nothing_is_said_and_nothing_waited_for() -> None:
    config = small(txt2img={"prompt": "a cat <lora:nope:1>"})
    with serve(SDCPP, shelf=shelf()) as webui:
        assert await problems(webui, config) == ()
        assert webui.paths("/loras") == []  # there, it is a search of the disk
    refused = {"/sdapi/v1/loras": Refusal(500, "AttributeError", "no module named Lora")}
    with serve(A1111, refused=refused) as webui:
        assert await problems(webui, config) == ()


async def test_a_busy_server_is_not_made_to_look_for_loras() -> None:
    with serve(A1111, shelf=shelf(), step_seconds=0.02) as webui:
        other = OtherClient(webui)
        other.start(steps=60)
        await until(lambda: webui.running)
        async with WebUIBackend(webui.url) as backend, anyio.create_task_group() as tasks:
            tasks.start_soon(backend.capabilities)
            await until(lambda: len(webui.paths("/progress")) > 2)
            assert webui.paths("/refresh-loras") == []
        other.join()
        assert len(webui.paths("/refresh-loras")) == 1


def test_sdnext_takes_folders_too() -> None:
    listed = [Lora(name="v1_2", path="C:\\models\\Lora\\people\\v1.2.safetensors")]
    found = read_loras(listed, Flavour.SDNEXT)
    assert found is not None
    assert {"v1_2", "v1.2", "people/v1.2", "Lora/people/v1.2"} <= set(found)
    assert "people/v1.2" not in (read_loras(listed, Flavour.A1111) or {})


@pytest.mark.parametrize("data", [None, {}, "x", 5, {"loaded": None}, {"loaded": 5}])
def test_lists_that_are_none_tell_nothing(data: object) -> None:
    assert read_loras(data, Flavour.A1111) is None
    assert read_embeddings(data) == ()


def test_embeddings_are_listed_in_two_ways() -> None:
    assert read_embeddings({"loaded": {"foggy": {}}}) == ("foggy",)
    assert read_embeddings({"loaded": ["foggy"]}) == ("foggy",)


def test_pictures_tell_hashes_in_the_words_of_each_server() -> None:
    pairs = {"Lora hashes": "film: 0123456789ab, a b: 23456789abcd", "TI hashes": "foggy: 89ABCDEF"}
    assert told_by_picture(pairs) == {
        "lora:film": "01234567",
        "lora:a b": "23456789",
        "embedding:foggy": "89abcdef",
    }
    pairs = {"LoRA networks": "film, grain", "LoRA hashes": "01234567, 12345678"}
    assert told_by_picture(pairs) == {"lora:film": "01234567", "lora:grain": "12345678"}
    assert told_by_picture({**pairs, "LoRA hashes": "01234567"}) == {}  # of which of the two?


@given(st.text(), st.text())
def test_any_text_is_read(prompt: str, told: str) -> None:
    assert all(isinstance(name, str) for name in lora_names(f"{prompt}<lora:{told}"))
    told_by_picture({"Lora hashes": told, "LoRA networks": prompt, "LoRA hashes": told})


async def test_sdnexts_list_is_held_against_prompts() -> None:
    with serve(SDNEXT, shelf=shelf()) as webui:
        assert await problems(webui, small(txt2img={"prompt": "<lora:people/x1:1>"})) == ()
        assert len(await problems(webui, small(txt2img={"prompt": "<lora:x3:1>"}))) == 1
