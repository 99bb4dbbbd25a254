"""The files that a server has beside its models, and what it says of them: lists and hashes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from tests.webui.server import WebUI

_TAG = re.compile(r"<lora:([^:>]+)[^>]*>")


@attrs.define(eq=False)
class Shelf:
    """What lies there, each name with the hash of its file.

    Attributes:
        in_metadata: Whether the LoRAs' own metadata holds their hashes, as that of some does.
        aliases: What LoRAs call themselves.
        modules: Of Forge: the VAEs and text encoders that there are, as files.
        styles: As the server lists them.
        listed: The LoRAs as they were when the server last looked.
    """

    loras: dict[str, str] = attrs.field(factory=dict)
    embeddings: dict[str, str] = attrs.field(factory=dict)
    vaes: dict[str, str] = attrs.field(factory=dict)
    in_metadata: bool = True
    aliases: Mapping[str, str] = attrs.field(factory=dict)
    modules: tuple[str, ...] = ("/srv/models/VAE/vae.safetensors",)
    styles: list[dict[str, str]] = attrs.field(factory=list)
    listed: dict[str, str] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.refresh()

    def refresh(self) -> None:
        self.listed = dict(self.loras)

    def lora_list(self) -> list[dict[str, object]]:
        return [
            {
                "name": name,
                "alias": self.aliases.get(name, name),
                "path": f"/srv/models/Lora/people/{name}.safetensors",
                "metadata": {"sshs_model_hash": digest} if self.in_metadata else {},
            }
            for name, digest in self.listed.items()
        ]

    def embedding_list(self) -> dict[str, object]:
        return {"loaded": {name: {"vectors": 1} for name in self.embeddings}, "skipped": {}}

    def vae_list(self) -> list[dict[str, str]]:
        return [{"model_name": name, "filename": f"/srv/models/VAE/{name}"} for name in self.vaes]

    def module_list(self) -> list[dict[str, str]]:
        return [{"model_name": PurePath(file).name, "filename": file} for file in self.modules]

    def module_files(self, asked: object) -> list[str]:
        """Return the files that modules are asked for by; an unknown name is dropped in silence."""
        assert isinstance(asked, list)
        names = {PurePath(file).name: file for file in self.modules}
        found = [names.get(PurePath(str(each)).name) for each in asked]
        return [file for file in found if file]

    def pairs(self, prompt: str, options: Mapping[str, Any]) -> dict[str, str]:
        """Return what the infotext of a picture says of the files."""
        pairs: dict[str, str] = {}
        tags = _TAG.findall(prompt)
        if set(tags) - set(self.listed):
            self.refresh()
        loras = [f"{name}: {self.listed[name][:12]}" for name in tags if name in self.listed]
        words = [f"{n}: {d[:12]}" for n, d in self.embeddings.items() if n in prompt.split()]
        if loras:
            pairs["Lora hashes"] = ", ".join(loras)
        if words:
            pairs["TI hashes"] = ", ".join(words)
        modules = options.get("forge_additional_modules") or []
        return pairs | {
            f"Module {number}": PurePath(file).stem for number, file in enumerate(modules, start=1)
        }


def vae_info(webui: WebUI) -> dict[str, str | None]:
    """Return what `info` says of the VAE."""
    vae = webui.options.get("sd_vae")
    digest = webui.shelf.vaes.get(str(vae))
    return {"sd_vae_name": str(vae) if digest else None, "sd_vae_hash": digest and digest[:10]}
