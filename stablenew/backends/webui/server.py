"""What one server is and has, as it was found when it was asked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import PurePath

import attrs

from stablenew._convert import frozen_mapping

CLIP_SKIP = "CLIP_stop_at_last_layers"
CHECKPOINT = "sd_model_checkpoint"
VAE = "sd_vae"
MODULES = "forge_additional_modules"

WITHOUT_FILE = ("Lanczos", "Nearest")
"""Upscalers that are no more than arithmetic."""

_HASH = re.compile(r" \[[0-9a-f]+\]$")
"""What stands behind a model's name in its title; a name may have brackets of its own."""


class Flavour(StrEnum):
    """The programs that speak this API, each in its own way; reForge is one of the first two."""

    A1111 = "AUTOMATIC1111"
    FORGE = "Forge"
    SDNEXT = "SD.Next"
    SDCPP = "stable-diffusion.cpp"


@attrs.frozen(kw_only=True)
class Model:
    """A checkpoint.

    Attributes:
        name: As it is called here: `stem`, or what the list calls it where stems are alike.
        stem: As pictures name it: the file's name without its ending.
        title: As the server wants it asked for: the file's name, with the hash where it has one.
        sha256: Of the file, "" where the server never counted it.
        spellings: What else it is called, here and in pictures.
        hashes: What the server takes for it besides.
    """

    name: str
    stem: str
    title: str
    sha256: str = ""
    spellings: tuple[str, ...] = ()
    hashes: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Server:
    """One server.

    Attributes:
        options: Its options; empty where it does not tell them.
        samplers: Names, each with its aliases.
        schedulers: Labels, each with its name and aliases; empty where it has none to choose.
        upscalers: Names, without the one that does nothing.
        unfetched: Those of which it lists no file: it may have no weights of them.
        latent_modes: What hires fix has besides the upscalers.
        vaes: Names, each with its file.
        loras: The names that tags in prompts may have, each with the hash of the file, "" where
            the server does not tell it; None where it lists none, or other files beside them.
        lora_names: What each LoRA is called, once.
        embeddings: The names that words in prompts may be.
        ad_models: The detectors of ADetailer; empty where it is not installed.
        ad_settings: The names that ADetailer knows; empty where it does not tell them.
        fields: Of each kind of request, as it describes them; empty where it does not.
        gpu: What it draws on; "" where it does not tell.
        scripts: Of each kind of request: the scripts that can run with it.
        styles: Names, each with a hash of its prompts.
        progress: Whether it tells its progress.
        interrupt: Whether a running job can be stopped.
        extras: Whether it has `extra-single-image`.
        task_ids: Whether a job can be told by an id of ours.
    """

    flavour: Flavour
    options: Mapping[str, object] = attrs.field(factory=dict, converter=frozen_mapping)
    samplers: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict, converter=frozen_mapping)
    schedulers: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict, converter=frozen_mapping)
    models: tuple[Model, ...] = ()
    upscalers: tuple[str, ...] = ()
    unfetched: tuple[str, ...] = ()
    latent_modes: tuple[str, ...] = ()
    vaes: Mapping[str, str] = attrs.field(factory=dict, converter=frozen_mapping)
    loras: Mapping[str, str] | None = None
    lora_names: tuple[str, ...] = ()
    embeddings: tuple[str, ...] = ()
    ad_models: tuple[str, ...] = ()
    ad_settings: tuple[str, ...] = ()
    fields: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict, converter=frozen_mapping)
    gpu: str = ""
    scripts: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict, converter=frozen_mapping)
    styles: Mapping[str, str] = attrs.field(factory=dict, converter=frozen_mapping)
    progress: bool = True
    interrupt: bool = True
    extras: bool = True
    task_ids: bool = False

    def is_model(self, name: str, used: object, used_hash: object) -> bool:
        """Return whether what a picture names is a model: by its hash where both are known."""
        asked = self._model(name)
        if asked is None:
            return str(used) == name
        if asked.sha256 and isinstance(used_hash, str) and used_hash:
            return asked.sha256.startswith(used_hash)
        return str(used) in (asked.stem, *asked.spellings)

    @property
    def model(self) -> str | None:
        """The name of the model that is loaded, None where the server does not say."""
        return self.model_name(self.options.get(CHECKPOINT))

    def model_name(self, spelling: object) -> str | None:
        """Return the name of the model that `spelling` stands for, None where there is none."""
        found = self._model(str(spelling))
        return found.name if found else None

    def model_title(self, name: str) -> str:
        """Return what to ask for to get a model; `name` itself where it is unknown."""
        found = self._model(name)
        return found.title if found else name

    def vae_name(self, spelling: object) -> str | None:
        """Return the VAE that a spelling stands for: its name, or that without its ending."""
        wanted = str(spelling).lower()
        named = [name for name in self.vaes if name.lower() == wanted]
        stems = [name for name in self.vaes if PurePath(name).stem.lower() == wanted]
        return next(iter(named), stems[0] if len(stems) == 1 else None)

    def overridable(self, option: str) -> bool:
        """Return whether an option can be set for one request."""
        if self.flavour is Flavour.SDNEXT and option == CHECKPOINT:
            return True  # it lists only what somebody has set
        return option in self.options and self.flavour is not Flavour.SDCPP

    def _model(self, spelling: str) -> Model | None:
        wanted = spelling.lower()
        named = [each for each in self.models if each.name.lower() == wanted]
        spelled = [
            each
            for each in self.models
            if wanted in map(str.lower, (*each.spellings, *each.hashes))
        ]
        return next(iter([*named, *spelled]), None)


def read_models(data: object, flavour: Flavour | None = None) -> tuple[Model, ...]:
    """Return the models that `GET /sdapi/v1/sd-models` lists."""
    models = [_read_model(entry) for entry in entries(data) if entry.get("model_name")]
    if flavour is Flavour.SDCPP:  # which has the same hash for every model
        models = [attrs.evolve(each, sha256="", hashes=()) for each in models]
    stems = Counter(model.stem for model in models)
    return tuple(
        attrs.evolve(model, name=model.stem)
        if stems[model.stem] == 1
        else attrs.evolve(model, spellings=tuple(s for s in model.spellings if s != model.stem))
        for model in models
    )


def _read_model(entry: Mapping[str, object]) -> Model:
    said = str(entry["model_name"])
    title = str(entry.get("title") or said)
    file = str(entry.get("filename") or "")
    path = PurePath(file.replace("\\", "/"))
    # A folder of SD.Next's, named after its commit: that is told as sha256 once it was loaded.
    folder = entry.get("type") == "diffusers" or path.parent.name == "snapshots"
    if not file or folder:
        path = PurePath(said)
    # Pictures name the file, or the folder; the list may put other folders before that.
    stem = path.name if folder else path.stem if file else said
    return Model(
        name=said,
        stem=stem,
        title=title,
        sha256="" if folder else str(entry.get("sha256") or ""),
        spellings=tuple(dict.fromkeys([said, title, _HASH.sub("", title), stem, path.name])),
        hashes=tuple(str(entry[key]) for key in ("hash", "sha256") if entry.get(key)),
    )


def entries(data: object) -> Iterable[Mapping[str, object]]:
    """Yield the objects of a list; of anything else, nothing."""
    return [each for each in data if isinstance(each, Mapping)] if isinstance(data, list) else []


def names(data: object, key: str = "name") -> tuple[str, ...]:
    """Return the names that a list of objects (or of names) has."""
    if isinstance(data, list) and all(isinstance(each, str) for each in data):
        return tuple(data)
    return tuple(str(each[key]) for each in entries(data) if each.get(key))


def aliased(data: object, key: str, *others: str) -> dict[str, tuple[str, ...]]:
    """Return the names that a list of objects has under `key`, each with its other names."""
    return {str(each[key]): tuple(_others(each, others)) for each in entries(data) if each.get(key)}


def _others(entry: Mapping[str, object], keys: Iterable[str]) -> Iterable[str]:
    for key in keys:
        value = entry.get(key)
        yield from (str(each) for each in (value if isinstance(value, list) else [value]) if each)
