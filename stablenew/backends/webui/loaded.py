"""What a server has loaded by its own settings, in the words of a config.

Forge has no VAE of its own name: its list of modules holds the VAE and, for Flux and SD3, the text
encoders, and is replaced as a whole by whoever asks for one.
"""

from __future__ import annotations

import re
from pathlib import PurePath

from stablenew.backends.webui.server import (
    CHECKPOINT,
    CLIP_SKIP,
    MODULES,
    VAE,
    Flavour,
    Server,
)
from stablenew.config.pipeline_config import Setting

CHOSEN_BY_SERVER = ("Automatic", "None")
"""What stands in the place of a VAE's name."""

_ENCODER = re.compile(r"clip|t5|text_?enc|llama|gemma|qwen", re.IGNORECASE)
"""What the file of a text encoder is called, or its folder."""


def loaded_settings(server: Server) -> dict[str, Setting]:
    """Return the model, VAE and clip skip of a server, as far as requests can ask for them."""
    only = None if server.overridable(CHECKPOINT) else next(iter(server.models), None)
    loaded: dict[str, Setting] = {"model": server.model or (only.name if only else None)}
    if server.overridable(CLIP_SKIP):
        layers = whole_number(server.options.get(CLIP_SKIP))
        loaded["clip_skip"] = layers if isinstance(layers, int) and 1 <= layers <= 12 else 1
    if server.flavour is Flavour.FORGE:
        if server.overridable(MODULES):
            loaded["vae"] = _own_vae(server) or "Automatic"
    elif server.overridable(VAE):
        vae = server.options.get(VAE)
        loaded["vae"] = str(vae) if vae in CHOSEN_BY_SERVER else server.vae_name(vae)
    return loaded


def whole_number(value: object) -> object:
    """Return a number as it is meant: AUTOMATIC1111 and Forge tell the whole number 2 as 2.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def own_modules(server: Server) -> list[str]:
    """Return the files of Forge's own modules."""
    modules = server.options.get(MODULES)
    return [str(each) for each in modules] if isinstance(modules, list) else []


def own_encoders(server: Server) -> list[str]:
    """Return the files of Forge's own text encoders."""
    return [each for each in own_modules(server) if is_encoder(each)]


def modules_for(server: Server, vae: Setting) -> list[str]:
    """Return the modules to ask Forge for: a VAE, beside its own text encoders."""
    if vae == _own_vae(server):
        return own_modules(server)
    file = server.vaes.get(str(vae))
    return [*([file] if file else []), *own_encoders(server)]


def is_encoder(file: str) -> bool:
    """Return whether a module is a text encoder, and no VAE."""
    path = PurePath(file.replace("\\", "/"))
    return bool(_ENCODER.search(path.name) or _ENCODER.search(path.parent.name))


def _own_vae(server: Server) -> str | None:
    own = [PurePath(each.replace("\\", "/")).name for each in own_modules(server)]
    return next((name for name in map(server.vae_name, own) if name), None)
