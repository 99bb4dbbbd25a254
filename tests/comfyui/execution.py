"""What ComfyUI does with a prompt, without a model: node after node, with its cache."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs
from PIL import Image

from tests.webui.pictures import png


class Interrupted(Exception):
    """Somebody asked for it to stop."""


class NodeError(Exception):
    """A node has failed."""


@attrs.frozen(kw_only=True)
class Value:
    """What a node gives.

    Attributes:
        size: Of the picture in it, in pixels; None where there is none.
        pixels: What it looks like: a PNG as it was read, or what noise follows from.
        files: What it has written, of a node that ends a prompt.
    """

    size: tuple[int, int] = (0, 0)
    pixels: bytes = b""
    files: tuple[Mapping[str, str], ...] = ()


def signature(prompt: Mapping[str, Any], node_id: str) -> str:
    """Return what a result is kept by: a node's inputs and those of its ancestors, never ids."""
    node = prompt[node_id]
    inputs = {
        name: [signature(prompt, value[0]), value[1]] if isinstance(value, list) else value
        for name, value in node["inputs"].items()
    }
    text = json.dumps([node["class_type"], inputs], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def in_order(prompt: Mapping[str, Any], outputs: list[str]) -> list[str]:
    """Return the nodes that outputs need, each after those that it is linked to."""
    ordered: list[str] = []

    def visit(node_id: str) -> None:
        if node_id in ordered:
            return
        for value in prompt[node_id]["inputs"].values():
            if isinstance(value, list):
                visit(value[0])
        ordered.append(node_id)

    for each in outputs:
        visit(each)
    return ordered


@attrs.define(eq=False, slots=False)
class Disk:
    """The server's pictures: by type and name."""

    files: dict[tuple[str, str], bytes] = attrs.field(factory=dict)

    def save(self, kind: str, prefix: str, data: bytes) -> dict[str, str]:
        """Keep a picture under the next number that is free: one that was deleted is used again."""
        number = 1
        while (kind, f"{prefix}_{number:05}_.png") in self.files:
            number += 1
        name = f"{prefix}_{number:05}_.png"
        self.files[kind, name] = data
        return {"filename": name, "subfolder": "", "type": kind}

    def input(self, name: str) -> bytes | None:
        """Return a picture to start from, by its name as LoadImage has it."""
        bare, _, kind = name.partition(" [")
        return self.files.get((kind.rstrip("]") or "input", bare))


@attrs.frozen(kw_only=True, eq=False)
class Run:
    """How a node runs.

    Attributes:
        step: Awaited at each step, with how many are done and how many there are.
        load: Awaited while a checkpoint is loaded.
        faces: How many a detector finds.
        prompt: All of it: pictures carry it.
    """

    disk: Disk
    prompt: Mapping[str, Any]
    step: Callable[[int, int], Awaitable[None]]
    load: Callable[[str], Awaitable[None]]
    faces: int = 1

    async def node(self, kind: str, inputs: Mapping[str, Any], mark: str) -> Value:
        """Run one node.

        Args:
            kind: Its class.
            inputs: Its inputs, values in place of links.
            mark: What its result is kept by.
        """
        source = next((each for each in inputs.values() if isinstance(each, Value)), Value())
        drawn = Value(size=source.size, pixels=mark.encode())
        if kind == "CheckpointLoaderSimple":
            await self.load(inputs["ckpt_name"])
        if kind == "EmptyLatentImage":
            size = inputs["width"] // 8 * 8, inputs["height"] // 8 * 8
            return Value(size=size, pixels=mark.encode())
        if kind == "LoadImage":
            data = self.disk.input(inputs["image"]) or b""
            return Value(size=Image.open(io.BytesIO(data)).size, pixels=data)
        if kind in ("KSampler", "KSamplerAdvanced"):
            latent = inputs["latent_image"]
            begin, end = inputs.get("start_at_step", 0), inputs.get("end_at_step", 10_000)
            await self._steps(min(end, inputs["steps"]) - begin)
            return Value(size=latent.size, pixels=mark.encode())
        if kind in ("ImageScale", "LatentUpscale"):
            return Value(size=(inputs["width"], inputs["height"]), pixels=mark.encode())
        if kind == "ImageUpscaleWithModel":
            width, height = inputs["image"].size
            return Value(size=(4 * width, 4 * height), pixels=mark.encode())
        if kind == "FaceDetailer":
            for _ in range(self.faces):
                await self._steps(inputs["steps"])
            image: Value = inputs["image"]
            return Value(size=image.size, pixels=mark.encode()) if self.faces else image
        if kind in ("PreviewImage", "SaveImage"):
            return self._written(kind, inputs)
        if kind in ("VAEDecode", "VAEEncode"):
            image = inputs["samples" if kind == "VAEDecode" else "pixels"]
            return Value(size=image.size, pixels=mark.encode())
        return drawn

    async def _steps(self, steps: int) -> None:
        for number in range(steps):
            await self.step(number + 1, steps)

    def _written(self, kind: str, inputs: Mapping[str, Any]) -> Value:
        image: Value = inputs["images"]
        if image.pixels.startswith(b"\x89PNG"):
            out = io.BytesIO()
            Image.open(io.BytesIO(image.pixels)).save(out, "PNG")
            data = out.getvalue()
        else:
            seed = int.from_bytes(hashlib.sha256(image.pixels).digest()[:8], "big")
            data = png(*image.size, seed, {"prompt": json.dumps(self.prompt)})
        if kind == "PreviewImage":
            saved = self.disk.save("temp", "ComfyUI_temp", data)
        else:
            saved = self.disk.save("output", str(inputs["filename_prefix"]), data)
        return Value(size=image.size, pixels=image.pixels, files=(saved,))
