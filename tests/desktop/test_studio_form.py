"""The form in a real browser: a workflow's inputs, words, ratings that choose, several servers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.desktop.studio_window import ask_for, says
from tests.desktop.test_studio_say import drop

WORKFLOW = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 5, "steps": 20, "cfg": 7, "sampler_name": "euler", "scheduler": "normal",
            "denoise": 1, "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["4", 1]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "x"}},
}  # fmt: skip


def kept(page: Page) -> dict[str, object]:
    """Return the job that the form says."""
    job: dict[str, object] = page.evaluate("JSON.parse(localStorage['stablenew-studio-job'])")
    return job


def test_an_empty_form_says_what_to_do_and_shows_an_example(tab: Page) -> None:
    says(tab, ".say .count", "What should it show?")
    assert tab.locator("aside .problems li").count() == 0  # nobody did anything wrong yet
    tab.get_by_text("show me an example").click()
    says(tab, ".say .count", "8 pictures")
    tab.keyboard.press("Control+Enter")
    tab.locator("#view.watch").wait_for()


def test_a_workflow_that_is_dropped_is_a_form_of_its_inputs(tab: Page, tmp_path: Path) -> None:
    tab.locator("[data-path='txt2img.steps']").wait_for()
    drop(tab, tmp_path / "mine.json", json.dumps(WORKFLOW))
    says(tab, ".groups summary", "3 KSampler")
    assert tab.locator(".stages details").count() == 0
    assert tab.locator(".prompts textarea").get_attribute("placeholder") == "a cat"
    assert tab.locator("[data-path='3.seed']").count() == 0  # the seed is asked for above
    tab.locator("[data-path='3.steps'] input").fill("9")
    tab.get_by_label("explore 3.cfg").click()
    tab.locator("[data-path='3.cfg'] input").fill("3,5")
    tab.keyboard.press("Enter")
    job = kept(tab)
    assert job["inputs"] == {"3.steps": 9}
    assert job["learning"] == {"axes": [{"path": "3.cfg", "values": [7, 3, 5]}]}
    tab.locator("#workflow").select_option("")
    tab.locator("[data-path='txt2img.steps']").wait_for()


def test_ratings_choose_from_the_range_of_what_is_explored_and_back(tab: Page) -> None:
    ask_for(tab, "3,5,8")
    tab.locator("#way").select_option("explore")
    says(tab, ".command", "--explore txt2img.cfg_scale=3..8")
    assert tab.locator("[data-path='txt2img.cfg_scale'] .chip").all_inner_texts() == ["3..8 ✕"]
    tab.locator("[data-path='max_pictures'] input").fill("9")
    says(tab, ".command", "--max-pictures 9")
    tab.locator("#way").select_option("all")
    says(tab, ".command", "--sweep txt2img.cfg_scale=3,8")
    assert "max_pictures" not in kept(tab)


def test_a_word_of_the_prompt_is_explored(tab: Page) -> None:
    ask_for(tab, "3,5", prompt="penguin in the snow")
    tab.locator("#more").focus()
    tab.locator("#more").select_option("replace.snow")
    tab.keyboard.type("red sand")
    tab.keyboard.press("Enter")
    says(tab, ".command", "--sweep 'replace.snow=snow,red sand'")
    says(tab, ".say .count", "4 pictures")


def test_a_problem_of_an_axis_stands_at_its_setting_and_leads_there(tab: Page) -> None:
    ask_for(tab, "3,5")
    tab.locator("[data-path='txt2img.cfg_scale'] input").fill("much")
    tab.keyboard.press("Enter")
    says(tab, "[data-path='txt2img.cfg_scale'] .problem", "given 'much', expected a number")
    field = tab.locator("[data-path='txt2img.cfg_scale'] input")
    assert field.get_attribute("aria-invalid") == "true"
    tab.locator(".problems button").first.click()
    assert field.evaluate("each => each === document.activeElement")


@pytest.mark.parametrize("count", [1, 2])
def test_servers_that_are_ticked_share_the_plan(tab: Page, count: int) -> None:
    urls = [f"http://127.0.0.1:{port}" for port in (9, 19)]
    tab.locator(".prompts textarea").fill("a cat")
    tab.get_by_text("another address").click()
    for url in urls:
        tab.get_by_label("address of a server").fill(url)
        tab.keyboard.press("Enter")
        tab.wait_for_function("url => document.getElementById('server').value === url", arg=url)
        if url != urls[-1]:
            tab.get_by_text("another address").click()
    boxes = tab.locator(".shared input")
    assert [box.is_checked() for box in boxes.all()] == [False, True]
    if count == 2:
        boxes.first.check()
        tab.get_by_label("of several kinds").check()
    job = kept(tab)
    assert job.get("urls", job.get("url")) == (urls[1] if count == 1 else [urls[1], urls[0]])
    assert job.get("mix_servers") is (True if count == 2 else None)


def test_a_server_that_is_away_is_a_problem_of_its_field(tab: Page) -> None:
    ask_for(tab, "3,5")
    tab.get_by_text("another address").click()
    tab.get_by_label("address of a server").fill("http://127.0.0.1:9")
    tab.keyboard.press("Enter")
    says(tab, "[data-path='url'] .problem", "no answer from http://127.0.0.1:9")
    says(tab, ".say .count", "This cannot be made yet.")
    assert tab.locator("#start").is_disabled()
    tab.get_by_role("button", name="forget").click()
    says(tab, ".say .count", "2 pictures")
