"""The server for tests does as ComfyUI does: what it says, in which order, and to whom."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from stablenew.backends.server_client import ServerClient
from tests.comfyui.driving import ask_for_others, others_prompt
from tests.comfyui.server import V0_3_64, V0_33, ComfyUI, serve
from tests.support import until


def post(comfyui: ComfyUI, path: str, body: object = None) -> httpx2.Response:
    return httpx2.post(comfyui.url + path, content=json.dumps(body).encode())


def get(comfyui: ComfyUI, path: str) -> Any:
    return httpx2.get(comfyui.url + path).json()


def changed(**nodes: Mapping[str, object]) -> dict[str, Any]:
    """Return a prompt with other inputs: `n3` names node 3."""
    prompt: dict[str, Any] = others_prompt(steps=2)
    for name, inputs in nodes.items():
        prompt[name[1:]]["inputs"] |= inputs
    return prompt


@pytest.mark.parametrize(
    ("prompt", "node", "kind", "details"),
    [
        (changed(n4={"ckpt_name": "full-b.safetensors"}), "4", "value_not_in_list", "ckpt_name: "),
        (changed(n3={"sampler_name": "Euler a"}), "3", "value_not_in_list", "'Euler a' not in"),
        (changed(n3={"steps": 0}), "3", "value_smaller_than_min", "steps"),
        (changed(n3={"cfg": 101.0}), "3", "value_bigger_than_max", "cfg"),
        (changed(n3={"seed": -1}), "3", "value_smaller_than_min", "seed"),
        (changed(n3={"steps": "abc"}), "3", "invalid_input_type", "steps, abc, invalid literal"),
        (changed(n6={"clip": ["4", 0]}), "6", "return_type_mismatch", "received_type(MODEL)"),
        (changed(n6={"clip": ["99", 1]}), "6", "exception_during_inner_validation", "'99'"),
    ],
)
def test_a_prompt_is_refused_in_its_words(
    prompt: object, node: str, kind: str, details: str
) -> None:
    with serve() as comfyui:
        answer = post(comfyui, "/prompt", {"prompt": prompt})
        assert get(comfyui, "/queue") == {"queue_running": [], "queue_pending": []}
    assert answer.status_code == 400
    told = answer.json()
    assert told["error"]["type"] == "prompt_outputs_failed_validation"
    (error,) = told["node_errors"][node]["errors"]
    assert error["type"] == kind
    assert details in error["details"]


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"prompt": {}}, 400, "prompt_no_outputs"),
        ({"prompt": {"1": {"class_type": "Nope", "inputs": {}}}}, 400, "missing_node_type"),
        ({"prompt": changed(), "prompt_id": "mine"}, 400, "invalid_prompt_id"),
        ({"x": 1}, 400, "no_prompt"),
        ([1], 400, "no_prompt"),
        ({"prompt": [1, 2]}, 500, None),
    ],
)
def test_what_is_no_prompt_is_refused(body: object, status: int, kind: str | None) -> None:
    with serve() as comfyui:
        answer = post(comfyui, "/prompt", body)
    assert answer.status_code == status
    if kind is None:
        assert answer.text.startswith("500 Internal Server Error")
    else:
        assert answer.json()["error"]["type"] == kind


def test_numbers_are_taken_from_text_and_fractions_and_unknown_inputs_are_not_looked_at() -> None:
    with serve() as comfyui:
        odd = changed(n3={"steps": "2", "seed": 2.9, "clip_skip": 2})
        assert post(comfyui, "/prompt", {"prompt": odd}).json()["node_errors"] == {}
        taken = comfyui.entries[0].prompt["3"]["inputs"]
    assert (taken["steps"], taken["seed"], taken["clip_skip"]) == (2, 2, 2)


async def test_a_queue_and_every_way_to_cancel() -> None:
    with serve(step_seconds=0.005) as comfyui:
        running, waiting = (ask_for_others(comfyui, 4_000, seed) for seed in (1, 2))
        await until(lambda: comfyui.running)
        for path, there in ((running, "in_progress"), (waiting, "pending")):
            assert get(comfyui, f"/api/jobs/{path}")["status"] == there
            assert get(comfyui, f"/history/{path}") == {}
        assert post(comfyui, "/interrupt", {"prompt_id": waiting}).status_code == 200
        assert post(comfyui, "/queue", {"delete": [running, "nope"]}).status_code == 200
        assert get(comfyui, "/prompt") == {
            "exec_info": {"queue_remaining": 2}
        }  # neither did a thing
        cancelled = [post(comfyui, f"/api/jobs/{each}/cancel") for each in (waiting, running)]
        assert [each.json() for each in cancelled] == [{"cancelled": True}] * 2
        await until(lambda: comfyui.running is None)
        assert httpx2.get(f"{comfyui.url}/api/jobs/{waiting}").status_code == 404  # without a trace
        assert get(comfyui, f"/api/jobs/{running}")["status"] == "cancelled"
        entry = get(comfyui, f"/history/{running}")[running]
        again = post(comfyui, f"/api/jobs/{running}/cancel").json()
    assert again == {"cancelled": False}
    assert entry["outputs"] == {}
    assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("error", False)
    assert entry["status"]["messages"][-1][0] == "execution_interrupted"


def test_an_older_one_lacks_the_jobs() -> None:
    with serve(V0_3_64) as comfyui:
        assert httpx2.get(f"{comfyui.url}/api/jobs").status_code == 404
        assert post(comfyui, f"/api/jobs/{uuid4()}/cancel").status_code == 405
        body = {"prompt": changed(), "prompt_id": "mine"}
        assert post(comfyui, "/prompt", body).json()["prompt_id"] == "mine"


async def test_messages_come_in_their_order() -> None:
    with serve(step_seconds=0.005) as comfyui:
        async with (
            ServerClient(comfyui.url) as client,
            client.websocket("/ws?clientId=a") as socket,
        ):
            ask_for_others(comfyui, steps=2, client_id="a")
            told: list[str] = []
            while told[-1:] != ["executing:None"]:
                message = json.loads(await socket.receive())
                node = f":{message['data']['node']}" if message["type"] == "executing" else ""
                told.append(message["type"] + node)
    assert told == [
        *("status", "status", "execution_start", "execution_cached"),
        *("executing:4", "executing:6", "executing:5", "executing:3", "progress", "progress"),
        *("executing:8", "executing:9", "executed", "execution_success", "status"),
        "executing:None",
    ]


async def test_a_name_has_one_socket_and_loses_it_when_either_ends() -> None:
    with serve() as comfyui:
        async with ServerClient(comfyui.url) as client, client.websocket("/ws?clientId=a"):
            await until(lambda: len(comfyui.sockets.ever) == 1)
            async with client.websocket("/ws?clientId=a"):
                await until(lambda: len(comfyui.sockets.ever) == 2)
                assert comfyui.sockets.open == {"a": comfyui.sockets.ever[1]}
            await until(lambda: not comfyui.sockets.open)


async def test_the_same_prompt_runs_nothing_and_names_the_old_file() -> None:
    with serve(V0_33) as comfyui:
        one, other = (ask_for_others(comfyui, steps=2) for _ in range(2))
        await until(lambda: other in comfyui.history)
        first, second = (comfyui.history[each] for each in (one, other))
    assert first["outputs"] == second["outputs"]
    cached = [
        dict(each["status"]["messages"])["execution_cached"]["nodes"] for each in (first, second)
    ]
    assert cached[0] == []
    assert sorted(cached[1]) == ["3", "4", "5", "6", "8", "9"]
