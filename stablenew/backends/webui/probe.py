"""Finding out what answers at an address, without being told and without changing anything."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping

import anyio
import msgspec

from stablenew.backends.server_client import ServerClient
from stablenew.backends.webui.gpu import read_gpu
from stablenew.backends.webui.idle_options import OPTIONS, read_idle_options
from stablenew.backends.webui.loaded import is_encoder
from stablenew.backends.webui.progress import PROGRESS, TASK, read_snapshot, read_task
from stablenew.backends.webui.prompt_files import LORAS, lora_names, read_embeddings, read_loras
from stablenew.backends.webui.request_fields import OPENAPI, read_fields
from stablenew.backends.webui.sdcpp_names import sdcpp_names
from stablenew.backends.webui.server import (
    WITHOUT_FILE,
    Flavour,
    Server,
    aliased,
    entries,
    names,
    read_models,
)
from stablenew.errors import (
    BackendError,
    BackendProtocolError,
    BackendRejectedError,
    BackendUnavailableError,
    ConfigError,
    ungrouped,
)

logger = logging.getLogger(__name__)

API = "/sdapi/v1"

_LISTS = {
    "options": OPTIONS,
    "samplers": f"{API}/samplers",
    "schedulers": f"{API}/schedulers",
    "models": f"{API}/sd-models",
    "upscalers": f"{API}/upscalers",
    "latent_modes": f"{API}/latent-upscale-modes",
    "vaes": f"{API}/sd-vae",
    "modules": f"{API}/sd-modules",
    "scripts": f"{API}/scripts",
    "styles": f"{API}/prompt-styles",
    "openapi": OPENAPI,
    "memory": f"{API}/memory",
    "gpus": f"{API}/gpu",
    "ad_models": "/adetailer/v1/ad_model",
    "ad_schema": "/adetailer/v1/schema",
}
_EMBEDDINGS = f"{API}/embeddings"
_LORAS = f"{API}/loras"
_REFRESH_LORAS = f"{API}/refresh-loras"
_DOORS = {"interrupt": f"{API}/interrupt", "extras": f"{API}/extra-single-image"}


async def probe(client: ServerClient) -> Server:
    """Find out what a server is and has.

    Raises:
        BackendUnavailableError: Nobody answers, or somebody who does not speak this API.
        ConfigError: The server wants credentials, or others.
    """
    through = f" ({client.asked})" if client.asked else ""
    try:
        with ungrouped():
            progress = await client.get(PROGRESS, tries=1)
            found = await _ask_for_lists(client)
            if (snapshot := read_snapshot(progress)) is not None:  # sd-server searches its disk
                found["options"] = await read_idle_options(client, snapshot, found["options"])
                found |= await _ask_for_files(client)
        doors = {name: await client.has(path) for name, path in _DOORS.items()}
    except BackendRejectedError as error:
        if error.status in (401, 403):
            raise ConfigError(
                f"auth: {client.url} refused ({error.excerpt or error.status}),"
                " expected its user:password"
            ) from error
        raise BackendUnavailableError(f"{client.url}: {error}") from error
    except BackendProtocolError as error:
        raise BackendUnavailableError(f"{client.url} is no WebUI: {error}{through}") from error
    try:
        task = await client.send(TASK, msgspec.json.encode({"id_task": "", "live_preview": False}))
    except BackendError:  # a proxy may let only /sdapi through
        task = None
    if not found["samplers"] and not found["models"]:
        raise BackendUnavailableError(
            f"{client.url} answers, but has no {API}; a WebUI needs to be started with --api"
            f"{through}"
        )
    return _server(progress, found, doors, task)


async def _ask_for_lists(client: ServerClient) -> dict[str, object]:
    found: dict[str, object] = dict.fromkeys(_LISTS)

    async def ask(name: str, path: str) -> None:
        try:
            found[name] = await client.get(path)
        except BackendRejectedError as error:
            if error.status in (401, 403):
                raise
        except BackendUnavailableError:
            raise
        except BackendError:  # a page of HTML: there is no such path
            return

    async with anyio.create_task_group() as asking:
        for name, path in _LISTS.items():
            asking.start_soon(ask, name, path)
    return found


async def _ask_for_files(client: ServerClient) -> dict[str, object]:
    """Ask which LoRAs and embeddings there are; a list that takes too long is none.

    A LoRA that was put beside the others, or in the place of one, is not in the list until the
    server looks for it anew: as nothing runs that may want one, it is asked to.
    """
    found: dict[str, object] = {}
    try:
        await client.send(_REFRESH_LORAS)
    except BackendError as error:
        logger.debug("%s: %s", client.url, error)
    for name, path, kind in (("loras", _LORAS, LORAS), ("embeddings", _EMBEDDINGS, object)):
        try:
            found[name] = await client.get_as(kind, path, tries=1)
        except BackendError as error:
            logger.debug("%s: %s", client.url, error)
    return found


def _server(
    progress: object, found: Mapping[str, object], doors: Mapping[str, bool], task: object
) -> Server:
    flavour = _flavour(progress, found)
    options = found["options"] if isinstance(found["options"], Mapping) else {}
    modules = flavour is Flavour.FORGE
    vaes = found["modules"] if modules else found["vaes"]
    detectors = found["ad_models"] if isinstance(found["ad_models"], Mapping) else {}
    schema = found["ad_schema"] if isinstance(found["ad_schema"], Mapping) else {}
    upscalers = names(found["upscalers"])
    return Server(
        flavour=flavour,
        options=options,
        samplers=_samplers(found["samplers"], flavour),
        schedulers=_schedulers(found["schedulers"], flavour),
        models=read_models(found["models"], flavour),
        upscalers=tuple(name for name in upscalers if name != "None"),
        unfetched=tuple(_unfetched(found["upscalers"])),
        latent_modes=names(found["latent_modes"]),
        vaes={
            str(each["model_name"]): str(each.get("filename") or each["model_name"])
            for each in entries(vaes)
            if each.get("model_name") and not (modules and is_encoder(str(each.get("filename"))))
        },
        loras=read_loras(found.get("loras"), flavour),
        lora_names=lora_names(found.get("loras"), flavour),
        embeddings=read_embeddings(found.get("embeddings")),
        ad_models=_adetailer(found["scripts"], detectors),
        ad_settings=tuple(map(str, schema.get("properties") or ())),
        fields=read_fields(found["openapi"]),
        scripts=_scripts(found["scripts"]),
        styles={
            str(each["name"]): _hash_of(each)
            for each in entries(found["styles"])
            if each.get("name")
        },
        gpu=read_gpu(found["memory"], found["gpus"]),
        progress=read_snapshot(progress) is not None,
        interrupt=doors["interrupt"],
        extras=doors["extras"],
        task_ids=read_task(task) is not None and flavour in (Flavour.A1111, Flavour.FORGE),
    )


def _flavour(progress: object, found: Mapping[str, object]) -> Flavour:
    if read_snapshot(progress) is None:
        return Flavour.SDCPP
    if found["modules"] is not None:
        return Flavour.FORGE
    assert isinstance(progress, Mapping)
    if "stopping_generation" not in progress["state"]:
        return Flavour.SDNEXT
    return Flavour.A1111


def _unfetched(upscalers: object) -> Iterator[str]:
    """Yield the upscalers of which a server lists an address, or nothing, in place of a file."""
    for entry in entries(upscalers):
        path = entry.get("model_path")
        if entry.get("name") not in ("None", *WITHOUT_FILE) and (not path or "://" in str(path)):
            yield str(entry["name"])


def _samplers(data: object, flavour: Flavour) -> dict[str, tuple[str, ...]]:
    listed = aliased(data, "name", "aliases")
    return sdcpp_names(listed) if flavour is Flavour.SDCPP else listed


def _schedulers(data: object, flavour: Flavour) -> dict[str, tuple[str, ...]]:
    """Return labels and their other names; SD.Next lists some but has no field for them."""
    if flavour is Flavour.SDNEXT:
        return {}
    if isinstance(data, list) and all(isinstance(each, str) for each in data):
        return {str(each): () for each in data}
    labelled = aliased(data, "label", "name", "aliases")
    listed = labelled or aliased(data, "name", "aliases")
    return sdcpp_names(listed) if flavour is Flavour.SDCPP else listed


def _scripts(data: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(data, Mapping):
        return {}
    return {
        str(kind): tuple(map(str, listed))
        for kind, listed in data.items()
        if isinstance(listed, list)
    }


def _hash_of(style: Mapping[str, object]) -> str:
    """Return what stands for what a style writes into prompts."""
    written = [style.get("prompt"), style.get("negative_prompt")]
    return hashlib.sha256(msgspec.json.encode(written)).hexdigest()[:10]


def _adetailer(scripts: object, detectors: Mapping[str, object]) -> tuple[str, ...]:
    """Return ADetailer's models where img2img has the script."""
    listed = scripts.get("img2img") if isinstance(scripts, Mapping) else None
    installed = any(str(name).lower() == "adetailer" for name in listed or ())
    return names(detectors.get("ad_model")) if installed else ()
