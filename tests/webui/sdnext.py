"""What SD.Next does otherwise than the others, as it was recorded."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import attrs

from tests.webui.pictures import converted, opened, png
from tests.webui.profiles import SDNEXT_SAMPLERS
from tests.webui.requests import Asked, Refusal

if TYPE_CHECKING:
    from tests.webui.generation import Generation
    from tests.webui.server import WebUI

UPSCALERS = (
    *("None", "Resize Nearest", "Resize Lanczos", "Latent Nearest", "Latent Bilinear"),
    "ESRGAN 4x Ultrasharp",
)
_RESIZE_MODES = ("None", "Fixed", "Crop", "Fill", "Outpaint")
_COSTS = {"/sdapi/v1/txt2img": 5, "/sdapi/v1/img2img": 5, "/internal/progress": 0}


@attrs.define(eq=False)
class Limit:
    """The limit of its requests: so many a minute for each path, looked at after the work.

    Attributes:
        cost: What may be spent on a path.
        window: In how many seconds.
        once: Paths to refuse whatever was spent on them, each once.
        refused: The paths that were refused.
    """

    cost: int = 300
    window: float = 60.0
    once: list[str] = attrs.field(factory=list)
    refused: list[str] = attrs.field(factory=list)
    spent: dict[str, list[tuple[float, int]]] = attrs.field(factory=dict)

    def check(self, path: str) -> None:
        now, cost = time.monotonic(), _COSTS.get(path, 1)
        recent = [each for each in self.spent.get(path, []) if now - each[0] < self.window]
        self.spent[path] = recent
        if path in self.once or sum(each for _, each in recent) + cost > self.cost:
            if path in self.once:
                self.once.remove(path)
            self.refused.append(path)
            says = f"127.0.0.1:{path}: rate limit exceeded"
            raise Refusal(429, "HTTPException", says)
        recent.append((now, cost))


@attrs.define(eq=False)
class Own:
    """What only an SD.Next has.

    Attributes:
        loaded: Whether it has a model loaded; without one it answers without pictures.
        suits: The samplers that suit its models; another one is replaced without a word.
        loads: The models that it loaded.
        interrupted_at: The inner jobs that ran when somebody interrupted.
        settle_seconds: How long it goes on after a job's last inner one, showing nothing.
    """

    limit: Limit = attrs.field(factory=Limit)
    loaded: bool = True
    suits: tuple[str, ...] = tuple(SDNEXT_SAMPLERS)
    loads: list[str] = attrs.field(factory=list)
    settle_seconds: float = 0.0
    history: list[dict[str, Any]] = attrs.field(factory=list)
    interrupted_at: list[str] = attrs.field(factory=list)
    sampler_class: str = SDNEXT_SAMPLERS["Euler"]
    id: str = ""

    def begin(self, webui: WebUI, title: str) -> str:
        state = webui.state
        interrupted = state.interrupted and title.startswith("Save")
        state.begin(title)
        state.job_count, state.interrupted = 1, interrupted
        state.sampling_steps = 0
        self.id = uuid4().hex[:15]
        self._note(title, self.id, "begin")
        return self.id

    def end(self, webui: WebUI, title: str, job_id: str) -> None:
        began = next(each for each in reversed(self.history) if each["id"] == job_id)
        self._note(title, job_id, "end", round(time.time() - began["timestamp"], 3))
        webui.state.job, webui.state.job_count, webui.state.job_no, self.id = "", 0, 0, ""

    def _note(self, title: str, job_id: str, op: str, duration: float | None = None) -> None:
        entry = {"id": job_id, "job": title.lower(), "op": op, "timestamp": time.time()}
        self.history.append({**entry, "duration": duration, "outputs": []})

    @contextmanager
    def inner(self, webui: WebUI, title: str) -> Iterator[None]:
        """One of the jobs within a job: nobody sees what it is in."""
        job_id = self.begin(webui, title)
        yield
        self.end(webui, title, job_id)


def title(model: str) -> str:
    return f"Diffusers/local/{model} [{_commit(model)}]"


def _commit(model: str) -> str:
    return f"000{model[-1]}"


def models(webui: WebUI) -> list[dict[str, object]]:
    """Return folders, named after their commits; one that was loaded has that for its sha256."""
    return [
        {
            "title": title(model),
            "model_name": f"Diffusers/local/{model}",
            "filename": f"/srv/models/Diffusers/models--local--{model}/snapshots/{_commit(model)}",
            "type": "diffusers",
            "sha256": _commit(model) if model in webui.sdnext.loads else None,
            "hash": _commit(model),
            "config": None,
        }
        for model in webui.models
    ]


def find_model(webui: WebUI, spelling: object) -> str | None:
    """Return a model by its title, its name or its commit; by nothing else."""
    for model in webui.models:
        if spelling in (title(model), f"Diffusers/local/{model}", _commit(model)):
            return model
    return None


def checkpoint(webui: WebUI) -> dict[str, object]:
    if not webui.sdnext.loaded:
        return {"type": None, "class": None}
    (found,) = (each for each in models(webui) if each["title"] == title(webui.model))
    told = {name: found[name] for name in ("title", "filename", "hash")}
    kind = {"type": "sd", "class": "StableDiffusionPipeline", "checkpoint": found["filename"]}
    return {**kind, **told, "name": found["model_name"]}


def samplers() -> list[dict[str, object]]:
    return [{"name": name, "options": None} for name in SDNEXT_SAMPLERS]


def sampler(webui: WebUI) -> dict[str, object]:
    """Return what the last picture was made with: a class, for what was asked for is not kept."""
    return {"name": webui.sdnext.sampler_class, "options": None}


def upscalers() -> list[dict[str, object]]:
    keys = ("model_name", "model_path", "model_url")
    return [{"name": name, **dict.fromkeys(keys), "scale": 4.0} for name in UPSCALERS]


def options(webui: WebUI) -> dict[str, object]:
    """Return what somebody has set, and nothing else."""
    names = ("sd_model_checkpoint", "clip_skip", *webui.saved_options)
    told = {name: webui.options[name] for name in names if name in webui.options}
    return {**told, "sd_checkpoint_hash": None}


def internal_progress(webui: WebUI, asked: Mapping[str, Any]) -> dict[str, object]:
    """Return the inner job that runs: by no id is a request of the API known."""
    state = webui.state
    active = bool(state.job) and asked.get("id_task") == "undefined"
    steps = max(state.sampling_steps, 1)
    return {
        "job": state.job,
        "textinfo": None if active else "Waiting...",
        "active": active,
        "queued": False,
        "paused": False,
        "completed": False,
        "debug": False,
        "step": state.sampling_step if active else 0,
        "steps": steps,
        "batch_no": 0,
        "batch_count": 0,
        "progress": round(state.sampling_step / steps, 2) if active else 0.0,
        "eta": 1.0 if active and state.sampling_step else None,
        "live_preview": None,
        "id_live_preview": 0,
    }


def status(webui: WebUI) -> dict[str, object]:
    state = webui.state
    began = [each["timestamp"] for each in webui.sdnext.history if each["id"] == webui.sdnext.id]
    state_name = "interrupted" if state.interrupted else "running" if state.job else "idle"
    return {
        "status": state_name,
        "task": state.job,
        "timestamp": state.job_timestamp if state.job else None,
        "current": "",
        "id": webui.sdnext.id,
        "job": 0,
        "jobs": state.job_count,
        "total": 1,
        "step": state.sampling_step,
        "steps": state.sampling_steps,
        "queued": 0,
        "uptime": 9,
        "elapsed": time.time() - began[0] if began else 1.0,
        "eta": None,
        "progress": 0.0,
    }


async def set_options(webui: WebUI, body: Mapping[str, Any]) -> dict[str, object]:
    """Set options; a model that it does not know takes the one that it has."""
    updated: list[dict[str, bool]] = []
    for key, value in body.items():
        changed = webui.options.get(key) != value
        webui.options[key] = value
        updated.append({key: changed})
        if key == "sd_model_checkpoint" and changed:
            async with webui._queue:
                await _load(webui, value)
    return {"updated": updated}


async def _load(webui: WebUI, value: object) -> None:
    """Load a model if it is another one; forget the one that there is for what is none."""
    model = find_model(webui, value)
    if model is None:
        webui.sdnext.loaded = False
        return
    with webui.sdnext.inner(webui, "Load model"):
        if model != webui.model or not webui.sdnext.loaded:
            await asyncio.sleep(webui.load_seconds)
            webui.sdnext.loads.append(model)
    webui.model, webui.sdnext.loaded = model, True
    webui.options["sd_model_checkpoint"] = title(model)


def refused(refusal: Refusal) -> dict[str, object] | None:
    """Return what it says in words of its own, which are pydantic 2's; None for the others'."""
    if isinstance(refusal.says, list):
        return {"detail": _complaints(refusal.says)}
    return {"error": refusal.says} if refusal.status == 400 and not refusal.kind else None


def _complaints(says: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "type": each["type"],
            "loc": each["loc"],
            "msg": each["msg"],
            "input": None,
            **({"ctx": {"error": each["msg"]}} if "ctx" in each else {}),
        }
        for each in says
    ]


def extras_fault() -> Refusal:
    """Return what the upscaling of pictures ends in, every time and after the work."""
    says = "1 validation error for ResProcessImage\nhtml_info\n  Input should be a valid string"
    return Refusal(500, "ValidationError", says)


async def run(made: Generation) -> object:
    """Make a picture: one job within another, none of which shows what it is a part of."""
    webui, asked = made.webui, made.asked
    assert asked is not None
    if webui.fail_with:
        raise webui.fail_with
    if not webui.sdnext.loaded:
        return {"images": [], "parameters": {}, "info": ""}
    outer = f"API-{'TXT' if made.kind == 'txt2img' else 'IMG'}"
    job_id = webui.sdnext.begin(webui, outer)
    restored = await _override(made)  # what fails from here on is shown as running ever after
    stopped = await _sampled(made)
    answer = _answer(made, stopped=stopped)
    for key, value in restored.items():
        webui.options[key] = value
        if key == "sd_model_checkpoint":
            await _load(webui, value)
    webui.state.job, webui.state.job_count = "", 0
    await asyncio.sleep(webui.sdnext.settle_seconds)
    webui.sdnext.end(webui, outer, job_id)
    return answer


async def _override(made: Generation) -> dict[str, object]:
    """Apply what a request overrides; return what is to be put back after it."""
    webui = made.webui
    assert made.asked is not None
    overrides = dict(made.asked["override_settings"] or {})
    overrides = {key: value for key, value in overrides.items() if webui.options.get(key) != value}
    known = webui.options.keys() - {"samples_format"}  # which is taken, and changes nothing
    overrides = {key: value for key, value in overrides.items() if key in known}
    own = {key: webui.options[key] for key in overrides}
    for key, value in overrides.items():
        if key == "sd_model_checkpoint":
            if find_model(webui, value):
                webui.options[key] = value
                await _load(webui, value)
        else:
            webui.options[key] = value
    made.model = webui.model
    webui.sdnext.sampler_class = _sampler_class(made)
    return own if made.asked["override_settings_restore_afterwards"] else {}


async def _sampled(made: Generation) -> bool:
    """Go through the jobs of a picture; return whether somebody stopped it."""
    webui, asked = made.webui, made.asked
    assert asked is not None
    inner = webui.sdnext.inner
    with inner(webui, "Styles"):
        await asyncio.sleep(0)
    with inner(webui, "Process"):
        with inner(webui, "Base"):
            with inner(webui, "Params"), inner(webui, "TE Encode"):
                await asyncio.sleep(webui.begin_delay)
            done = await _inference(made, asked["steps"])
        if done and _second_pass(made):
            with inner(webui, "Hires"):
                if made.body.get("hr_upscaler") is None:
                    says = "'NoneType' object has no attribute 'lower'"
                    raise Refusal(500, "AttributeError", says)
                done = await _inference(made, asked["steps"])
        if done:
            with inner(webui, "VAE Decode"):
                await asyncio.sleep(0)
        stopped = webui.state.interrupted
        if stopped:
            with inner(webui, "Save image"):
                await asyncio.sleep(0)
    return stopped


async def _inference(made: Generation, steps: int) -> bool:
    webui = made.webui
    job_id = webui.sdnext.begin(webui, "Inference")
    webui.state.sampling_steps = steps
    for step in range(steps):
        if step == webui.hang_at_step:
            webui.hang_at_step = None
            await webui.interrupted()
        if webui.state.interrupted:
            return False  # and the history never gets to its end
        await asyncio.sleep(webui.step_seconds)
        webui.state.sampling_step = step + 1
    webui.sdnext.end(webui, "Inference", job_id)
    return True


def _hires(made: Generation) -> bool:
    return made.kind == "txt2img" and bool(made.body.get("enable_hr"))


def _upscaler(made: Generation) -> str:
    return str(made.body.get("hr_upscaler") or "None")


def _second_pass(made: Generation) -> bool:
    body = made.body
    strength = body.get("hr_denoising_strength") or body.get("denoising_strength", 0.3)
    by_sampling = _upscaler(made).startswith("Latent") or bool(body.get("hr_force"))
    return _hires(made) and by_sampling and strength > 0


def _hires_size(made: Generation) -> tuple[int, int] | None:
    body, asked = made.body, made.asked
    assert asked is not None
    if not (_hires(made) and body.get("hr_resize_mode") and _upscaler(made) in UPSCALERS[1:]):
        return None
    width, height = body.get("hr_resize_x", 0), body.get("hr_resize_y", 0)
    if not (width or height):
        factor = body.get("hr_scale", 2.0)
        return int(asked["width"] * factor), int(asked["height"] * factor)
    return (
        width or height * asked["width"] // asked["height"],
        height or width * asked["height"] // asked["width"],
    )


def _size(made: Generation) -> tuple[int, int]:
    asked = made.asked
    assert asked is not None
    width, height = _hires_size(made) or (asked["width"], asked["height"])
    if made.kind == "img2img" and not made.body.get("resize_mode"):
        width, height = opened(asked["init_images"][0]).size
    return width // 8 * 8, height // 8 * 8


def _seed(asked: Asked) -> int:
    return int(asked["seed"]) if asked["seed"] not in (None, -1) else 1234567


def _answer(made: Generation, *, stopped: bool) -> object:
    asked, webui = made.asked, made.webui
    assert asked is not None
    seeds = [_seed(asked) + index for index in range(asked["batch_size"])]
    texts = [_infotext(made, index) for index in range(len(seeds))]
    images = [_picture(made, seed, text) for seed, text in zip(seeds, texts, strict=True)]
    if stopped:
        images = [converted(png(512, 512, 0, {}, half_done=True), "JPEG", texts[0])]
        texts *= 2
    return {
        "images": [] if webui.without_pictures else [base64.b64encode(i).decode() for i in images],
        "parameters": dict(made.body),
        "info": json.dumps(_info(made, seeds, texts)),
    }


def _picture(made: Generation, seed: int, text: str) -> bytes:
    webui = made.webui
    if webui.picture_bytes:
        return webui.picture_bytes
    data = png(*_size(made), seed, {"parameters": text})
    kind = webui.options["samples_format"]
    return data if kind == "png" else converted(data, {"webp": "WEBP"}.get(kind, "JPEG"), text)


def _sampler_class(made: Generation) -> str:
    assert made.asked is not None
    name = made.asked.sampler
    return SDNEXT_SAMPLERS[name] if name in made.webui.sdnext.suits else SDNEXT_SAMPLERS["Euler"]


def _infotext(made: Generation, index: int) -> str:
    asked, webui = made.asked, made.webui
    assert asked is not None
    operations = [made.kind]
    pairs: dict[str, object] = {
        "Steps": asked["steps"],
        "Size": f"{asked['width']}x{asked['height']}",
        **({"Sampler": asked.sampler} if asked.sampler != "Default" else {}),
        "Scheduler": _sampler_class(made),
        "Seed": _seed(asked) + index,
        "CFG scale": float(asked["cfg_scale"]),
        "CFG rescale": 0.0,
        **({"CLiP-skip": made.body["clip_skip"]} if made.body.get("clip_skip", 1) > 1 else {}),
        "App": "SD.Next",
        "Version": "unknown",
        "Pipeline": "StableDiffusionPipeline",
        "Operations": "",
        "Model": made.model,
        **({"Batch": f"1x{asked['batch_size']}"} if asked["batch_size"] > 1 else {}),
        **({"Index": index} if asked["batch_size"] > 1 else {}),
    }
    if made.kind == "img2img":
        pairs |= _img2img_pairs(made)
    if _hires_size(made):
        operations.append("upscale")
    if _second_pass(made):
        operations.append("hires")
    if _hires(made) and (made.body.get("hr_upscaler") is not None):
        pairs |= _hires_pairs(made)
    pairs["Operations"] = "; ".join(operations)
    pairs |= webui.shelf.pairs(str(asked["prompt"]), webui.options)
    negative = asked["negative_prompt"]
    line = ", ".join(f"{label}: {value}" for label, value in pairs.items())
    return f"{asked['prompt']}\nNegative prompt: {negative}\nTemplate: {asked['prompt']}\n{line}"


def _img2img_pairs(made: Generation) -> dict[str, object]:
    assert made.asked is not None
    width, height = opened(made.asked["init_images"][0]).size
    mode = _RESIZE_MODES[made.body.get("resize_mode", 0)]
    return {
        "Init image size": f"{width}x{height}",
        "Init image hash": "27224a7f",
        "Denoising strength": made.body.get("denoising_strength", 0.3),
        **({"Resize mode": mode} if mode != "None" else {}),
    }


def _hires_pairs(made: Generation) -> dict[str, object]:
    body, size = made.body, _hires_size(made)
    pairs: dict[str, object] = {"Refine": True}
    if size is not None:
        pairs |= {"HiRes mode": body["hr_resize_mode"], "Hires upscaler": _upscaler(made)}
        fixed = body.get("hr_resize_x") or body.get("hr_resize_y")
        pairs |= (
            {"Hires fixed": f"{body.get('hr_resize_x', 0)}x{body.get('hr_resize_y', 0)}"}
            if fixed
            else {"Hires scale": float(body.get("hr_scale", 2.0))}
        )
        pairs["Hires size"] = f"{size[0]}x{size[1]}"
    if body.get("hr_force") or "Latent" in _upscaler(made):
        pairs |= {"Hires force": True, "Hires steps": body.get("hr_second_pass_steps", 0)}
        pairs["Hires strength"] = float(body.get("hr_denoising_strength", 0.0))
    return pairs


def _info(made: Generation, seeds: list[int], texts: list[str]) -> dict[str, object]:
    """Return what it says of a picture: the sampler as it was asked for, and no model."""
    asked, webui = made.asked, made.webui
    assert asked is not None
    return {
        "prompt": asked["prompt"],
        "all_prompts": [asked["prompt"]] * len(seeds),
        "negative_prompt": asked["negative_prompt"],
        "all_negative_prompts": [asked["negative_prompt"]] * len(seeds),
        "seed": seeds[0],
        "all_seeds": seeds,
        "subseed": asked["subseed"],
        "all_subseeds": [asked["subseed"]] * len(seeds),
        "subseed_strength": asked["subseed_strength"],
        "width": asked["width"],
        "height": asked["height"],
        "sampler_name": asked.sampler,
        "cfg_scale": asked["cfg_scale"],
        "cfg_end": None,
        "steps": asked["steps"],
        "batch_size": asked["batch_size"],
        "detailer": False,
        "detailer_model": None,
        "sd_model_hash": None,
        "seed_resize_from_w": -1,
        "seed_resize_from_h": -1,
        "denoising_strength": made.body.get("denoising_strength", 0.3),
        "extra_generation_params": {},
        "index_of_first_image": 0,
        "infotexts": texts,
        "styles": [],
        "job_timestamp": webui.state.job_timestamp,
        "clip_skip": made.body.get("clip_skip", 1),
    }
