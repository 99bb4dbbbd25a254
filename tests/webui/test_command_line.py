"""`python -m stablenew.run` on a server, as a person types it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from stablenew.learning.learning_record_reader import read_records
from stablenew.run import main
from tests.cli.program import Done
from tests.cli.program import run as run_program
from tests.webui.driving import OtherClient
from tests.webui.profiles import A1111, A1111_AUTH
from tests.webui.server import serve
from tests.webui.test_faults import free_port

SMALL = ("--set", "txt2img.width=64", "--set", "txt2img.height=64", "--set", "txt2img.steps=4")


def run(folder: Path, *words: str, **environ: str) -> Done:
    return run_program(*words, cwd=folder, expect=None, environ=environ)


def test_a_sweep_on_a_server(tmp_path: Path) -> None:
    with serve(A1111) as webui:
        done = run(
            tmp_path, "--backend", "webui", "--url", webui.url, "--prompt", "a cat", *SMALL,
            "--sweep", "txt2img.cfg_scale=3,5", "--learn", "--json",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(list(read_records(tmp_path / "runs" / "learning_records.jsonl"))) == 2
    saved = [json.loads(line) for line in done.stdout.splitlines() if "PictureSaved" in line]
    assert [line["output"]["settings"]["cfg_scale"] for line in saved] == [3, 5]


def test_the_environment_and_a_file_name_the_server_too(tmp_path: Path) -> None:
    with serve(A1111_AUTH) as webui:
        words = ("--prompt", "a cat", *SMALL)
        secret = {"STABLENEW_URL": webui.url, "STABLENEW_AUTH": "alice:secret"}
        assert run(tmp_path, *words, **secret).returncode == 0
        (tmp_path / "plan.toml").write_text(f'url = "{webui.url}"\nauth = "alice:secret"\n')
        done = run(tmp_path, "plan.toml", *words, "-v")
        refused = run(tmp_path, "--url", webui.url, *words)
    assert done.returncode == 0
    assert "secret" not in done.stdout + done.stderr
    for path in (tmp_path / "runs").rglob("*"):
        assert path.is_dir() or b"secret" not in path.read_bytes()
    assert refused.returncode == 2
    assert refused.stderr.startswith("stablenew: auth: ")


@pytest.mark.parametrize("quiet", [False, True], ids=["told", "quiet"])
def test_a_wait_for_another_client_is_told(tmp_path: Path, quiet: bool) -> None:
    with serve(A1111, step_seconds=0.01) as webui:
        other = OtherClient(webui)
        other.start(steps=50, override_settings={"sd_model_checkpoint": "randsd15-tiny-b"})
        while not webui.running:
            time.sleep(0.005)
        words = ["--url", webui.url, "--prompt", "a cat", *SMALL, *(["--quiet"] if quiet else [])]
        done = run(tmp_path, *words)
        other.join()
    assert done.returncode == 0
    said = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert len(said) == (not quiet)
    assert all("waiting for a job of another client" in line for line in said)


def test_a_server_that_is_not_there_is_exit_3(tmp_path: Path) -> None:
    done = run(tmp_path, "--url", f"127.0.0.1:{free_port()}", "--prompt", "a cat")
    assert done.returncode == 3
    assert "no answer from http://127.0.0.1:" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_a_server_lacks_is_an_error_of_the_plan(tmp_path: Path) -> None:
    with serve(A1111) as webui:
        done = run(tmp_path, "--url", webui.url, "--prompt", "a", "--set", "txt2img.vae=mse.pt",
                   "--sweep", "txt2img.sampler_name=Euler,Eulr")  # fmt: skip
        assert webui.jobs == []
    assert done.returncode == 2
    assert "txt2img.sampler_name: given 'Eulr', did you mean Euler" in done.stderr


def test_a_wrong_url_or_auth_is_one_line_without_secrets(tmp_path: Path) -> None:
    for words, said in (
        (("--url", "ftp://x"), "url: given 'ftp://x', expected http://HOST:PORT"),
        (("--url", "http://bob:geheim@x:99999"), "url: given a URL with credentials"),
        (("--auth", "geheim", "--url", "x"), "auth: given something without a colon"),
        (("--wait-for-server", "-1"), "--wait-for-server: given -1"),
    ):
        done = run(tmp_path, "--prompt", "a", *words)
        assert done.returncode == 2
        assert said in done.stderr
        assert "geheim" not in done.stderr


def test_a_picture_of_a_server_is_not_asked_for_twice(tmp_path: Path) -> None:
    words = (
        *(*SMALL, "--prompt", "a cat", "--seed", "5", "--set", "upscale.enabled=true"),
        *("--set", "upscale.upscaler_1=Lanczos", "--sweep", "upscale.upscaling_resize=2,3"),
    )
    with serve(A1111) as webui:
        first = run(tmp_path, "--url", webui.url, *words)
        asked = webui.paths("txt2img"), webui.paths("extra-single-image")
        again = run(tmp_path, "--url", webui.url, *words)
        asked_again = webui.paths("txt2img"), webui.paths("extra-single-image")
    assert (first.returncode, again.returncode) == (0, 0), first.stderr
    assert [len(each) for each in asked] == [1, 2]
    assert asked_again == asked


def test_lora_weights_and_models_with_the_settings_that_fit_them_are_explored(
    tmp_path: Path,
) -> None:
    with serve(A1111) as webui:
        webui.shelf.loras.update(film="a" * 64, grain="b" * 64)
        models = [f"{name}.safetensors" for name in webui.models[:2]]
        words = ("--url", webui.url, "--prompt", "a castle <lora:film:0.8>", *SMALL, "--learn")
        done = run(
            tmp_path, *words, "--sweep", "lora.film=0:1:0.25",
            "--sweep", f"txt2img.model={','.join(models)}", "--with", "txt2img.cfg_scale=5,7",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        every = run(tmp_path, *words, "--sweep", "lora.*=0.5", "--dry-run")
        unknown = run(tmp_path, *words, "--sweep", "lora.flim=0.5", "--dry-run")
    records = list(read_records(tmp_path / "runs" / "learning_records.jsonl"))
    seen = [(each.outputs[0]["prompt"], each.outputs[0]["cfg_scale"]) for each in records]
    assert seen == [
        (f"a castle <lora:film:{weight}>", cfg_scale)
        for cfg_scale in (5, 7)
        for weight in ("0", "0.25", "0.5", "0.75", "1")
    ]
    assert len({each.outputs[0]["model"] for each in records}) == 2
    assert "lora: film:0.5, grain:0.5\n" in every.stdout
    assert unknown.returncode == 2
    assert "<lora:flim:" in unknown.stderr
    assert "did you mean film?" in unknown.stderr


def test_an_unknown_lora_is_told_with_all_else_that_is_wrong_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.png").write_text("no picture")
    with serve(A1111) as webui:
        webui.shelf.loras["film"] = "a" * 64
        words = (
            "--image notes.png --set img2img.enabled=true --set txt2img.enabled=false"
            " --replace dog=cow --sweep lora.fim=0.5,1 --sweep img2img.steps=0,4"
        )
        prompt = "a cat <lora:flim:0.8>"
        code = main(["--url", webui.url, "--prompt", prompt, *words.split()])
        asked = webui.paths("txt2img"), webui.paths("img2img")
    told = [line.removeprefix("stablenew: ") for line in capsys.readouterr().err.splitlines()]
    assert (code, asked) == (2, ([], []))
    lora = (
        "txt2img.prompt: given <lora:{}:…>, but the webui backend (AUTOMATIC1111) has no such LoRA"
    )
    assert sorted(told) == sorted(
        [
            "img2img.steps: given 0, expected 1 to 10,000",
            "replace.dog: 'dog' is not in the prompt 'a cat <lora:flim:0.8>'",
            f"image: {tmp_path}/notes.png: is no picture,"
            " expected one of PNG, JPEG, WEBP, AVIF, BMP, GIF, TIFF",
            *(f"{lora.format(name)}; did you mean film?" for name in ("flim", "fim")),
        ]
    )
