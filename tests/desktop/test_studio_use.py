"""Use, in a real browser: a picture's settings in four forms, revised, and as a base."""

from __future__ import annotations

import json
import re
import tomllib

from playwright.sync_api import Page

from stablenew.config.infotext import read_infotext
from stablenew.config.infotext_settings import settings_of_infotext
from tests.comfyui.server import serve
from tests.desktop.studio_window import Threaded, choose_server, says, view


def open_picture(threaded: Threaded, page: Page, plan: str, number: int = 2) -> None:
    view(page, "use", f"{plan}-{number:05}", "txt2img_1")
    page.locator("#view.use .used").wait_for()


HINTS = {
    "infotext": "for the prompt field of AUTOMATIC1111",
    "plan": "stablenew run plan.toml",
    "api": "the body of POST",
    "comfyui": "drop the file onto ComfyUI",
}
"""What stands above the text of each form, once it is there."""


def form(page: Page, name: str) -> str:
    page.locator(f"[data-form='{name}']").click()
    says(page, ".used .faint", HINTS[name])
    return page.get_by_label("its settings").input_value()


def test_the_forms_of_use_hold_the_settings_of_the_picture(threaded: Threaded, tab: Page) -> None:
    prompt = 'a cat, (red:1.2)\nin "snow" <lora:x:0.5>'
    txt2img = {"steps": 6, "sampler_name": "Euler a", "width": 256}
    words = "blurry, ugly"
    plan = threaded.make(prompt=prompt, negative_prompt=words, seed=77, txt2img=txt2img)
    open_picture(threaded, tab, plan)
    (call,) = [each for each in threaded.backend.calls if each.settings["cfg_scale"] == 5]
    asked = call.settings
    text = form(tab, "infotext")
    assert text.startswith(f"{prompt}\nNegative prompt: blurry, ugly\nSteps: 6")
    told, _ = settings_of_infotext(read_infotext(text))
    read = {path.removeprefix("txt2img."): value for path, value in told.items()}
    assert read == {name: asked[name] for name in read}
    assert {"steps", "sampler_name", "cfg_scale", "seed", "width", "height"} <= read.keys()
    body = json.loads(form(tab, "api"))
    same = ("prompt", "negative_prompt", "steps", "sampler_name", "cfg_scale", "seed", "scheduler")
    assert {name: body[name] for name in same} == {name: asked[name] for name in same}
    stage = tomllib.loads(form(tab, "plan"))["txt2img"]
    assert {name: stage[name] for name in same} == {name: asked[name] for name in same}
    tab.locator("[data-form='comfyui']").click()
    says(tab, ".used", "no workflow: the picture was not made by ComfyUI")


def test_a_picture_of_comfyui_gives_its_workflow_back(threaded: Threaded, tab: Page) -> None:
    with serve() as comfyui:
        threaded.portal.call(threaded.served.post, "api/servers", {"url": comfyui.url})
        sized = {"width": 64, "height": 64, "steps": 2}
        plan = threaded.make([3], backend="server", url=comfyui.url, txt2img=sized)
    open_picture(threaded, tab, plan, 1)
    workflow = json.loads(form(tab, "comfyui"))
    kinds = {node["class_type"] for node in workflow.values()}
    assert {"KSampler", "CLIPTextEncode", "CheckpointLoaderSimple"} <= kinds


def test_a_picture_is_revised_beside_itself_and_only_that_setting_differs(
    threaded: Threaded, tab: Page
) -> None:
    open_picture(threaded, tab, threaded.make())
    tab.locator(".revise [data-path='txt2img.cfg_scale'] input").fill("11")
    tab.get_by_role("button", name="make it").click()
    tab.get_by_alt_text("the revised picture").wait_for()
    rows = [row.inner_text().split() for row in tab.locator(".differences tr").all()]
    assert rows[1:] == [["cfg_scale", "5", "11"]]
    assert len(threaded.backend.calls) == 4


def test_a_picture_is_the_base_of_what_is_said_next(threaded: Threaded, tab: Page) -> None:
    open_picture(threaded, tab, threaded.make(txt2img={"steps": 6}, seed=77))
    tab.get_by_role("button", name="use as base").click()
    tab.locator("#view.say").wait_for()
    says(tab, ".say .count", "1 picture")
    choose_server(tab, "fake")
    for path, value in (("txt2img.steps", "6"), ("txt2img.cfg_scale", "5")):
        assert tab.locator(f"[data-path='{path}'] input").input_value() == value
    command = tab.locator(".command").inner_text()
    assert re.search(r"seed[ =]77\b", command)
    assert "a cat" in command
