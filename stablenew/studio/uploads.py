"""Files that a person gives the studio: packs, pictures, workflows; kept among the runs."""

from __future__ import annotations

import io
import os
import re
import tempfile
from pathlib import Path

from PIL import Image

from stablenew.backends.comfyui.picture_chunks import SIGNATURE
from stablenew.backends.comfyui.workflows.workflow_file import (
    WorkflowFile,
    read_workflow,
    read_workflow_file,
)
from stablenew.config.prompt import Prompt
from stablenew.config.prompt_pack import read_prompt_pack
from stablenew.errors import ConfigError
from stablenew.storage.files import create_whole
from stablenew.studio.answers import NotNowError, NotThereError

FOLDER = "uploads"
WORKFLOWS = "workflows"
"""In that folder: nothing of it is served."""

MOST_PACK = 8 * 1024 * 1024
MOST_IMAGE = 32 * 1024 * 1024
"""Bytes of a file; a workflow's picture is one of the larger."""

_MOST_NODES = 5_000

_MOST_FILES = 2_000
_PACKS = (".txt", ".tsv", ".csv", ".json", ".yaml", ".yml")
_FORMATS = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp"}
_ODD = re.compile(r"[^\w .()\[\]-]")


class Uploads:
    """Takes files, by what is in them and not by what they are called; everything here blocks.

    Args:
        out: The folder of all runs.
    """

    def __init__(self, out: Path) -> None:
        self.folder = out / FOLDER

    def packs(self) -> list[dict[str, object]]:
        """Return every pack that was given."""
        return [self._told(path) for path in self._files(_PACKS)]

    def _told(self, path: Path) -> dict[str, object]:
        try:
            return {"name": path.name, "prompts": len(read_prompt_pack(path)), "problem": None}
        except ConfigError as error:
            problem = str(error).removeprefix(f"{path}: ")
            return {"name": path.name, "prompts": 0, "problem": problem}

    def pack(self, name: str) -> tuple[Prompt, ...]:
        """Return the prompts of a pack.

        Raises:
            ConfigError: It is none.
            NotThereError: There is none of that name.
        """
        if name not in [path.name for path in self._files(_PACKS)]:
            raise NotThereError(f"no pack {name[:100]!r}")
        return read_prompt_pack(self.folder / name)

    def add_pack(self, name: str, data: bytes) -> dict[str, object]:
        """Keep a pack.

        Raises:
            ConfigError: It is none; nothing is kept.
            NotNowError: It cannot be kept.
        """
        name = _safe(name)
        if Path(name).suffix.lower() not in _PACKS:
            raise ConfigError(
                f"name: given {name!r}, expected one that ends in {', '.join(_PACKS)}"
            )
        with tempfile.TemporaryDirectory(prefix="stablenew-") as folder:
            path = Path(folder, name)
            path.write_bytes(data)
            try:
                count = len(read_prompt_pack(path))
            except ConfigError as error:
                lines = (each.replace(f"{path}: ", f"{name}: ") for each in error.problems)
                raise ConfigError(*lines) from None
        return {"name": self._keep(name, data), "prompts": count}

    def add_image(self, name: str, data: bytes) -> dict[str, object]:
        """Keep a picture to start from.

        Raises:
            ConfigError: It is none; nothing is kept.
            NotNowError: It cannot be kept.
        """
        try:
            with Image.open(io.BytesIO(data), formats=tuple(_FORMATS)) as image:
                ending = _FORMATS[str(image.format)]
                image.verify()
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise ConfigError(f"{_safe(name)}: no PNG, JPEG or WebP that can be read") from error
        kept = self._keep(Path(_safe(name)).stem + ending, data)
        return {"image": f"{FOLDER}/{kept}", "url": f"files/{FOLDER}/{kept}"}

    def workflows(self) -> list[dict[str, object]]:
        """Return every workflow that was given."""
        return [self._told_workflow(path) for path in self._files(folder=WORKFLOWS)]

    def _told_workflow(self, path: Path) -> dict[str, object]:
        told = {"name": path.name, "workflow": f"{FOLDER}/{WORKFLOWS}/{path.name}"}
        try:
            file = read_workflow_file(path)
        except ConfigError as error:
            problem = str(error).removeprefix(f"{path}: ")
            return {**told, "format": None, "nodes": 0, "problem": problem}
        return {**told, "format": file.format, "nodes": _nodes(file), "problem": None}

    def add_workflow(self, name: str, data: bytes) -> dict[str, object]:
        """Keep a workflow of ComfyUI's: a file of either format, or a picture that carries one.

        Raises:
            ConfigError: It is none, or very large; nothing is kept.
            NotNowError: It cannot be kept.
        """
        name = _safe(name)
        file = read_workflow(data, name)
        if (count := _nodes(file)) > _MOST_NODES:
            raise ConfigError(f"{name}: {count:,} nodes, expected at most {_MOST_NODES:,}")
        ending = ".png" if data.startswith(SIGNATURE) else ".json"
        kept = self._keep(Path(name).stem + ending, data, WORKFLOWS)
        notes = [] if file.api is None else list(file.api.notes)
        where = f"{FOLDER}/{WORKFLOWS}/{kept}"
        return {"workflow": where, "format": file.format, "nodes": count, "notes": notes}

    def _keep(self, name: str, data: bytes, folder: str = "") -> str:
        """Keep a file, beside another of its name; the same one is kept once."""
        path = self.folder / folder / name
        try:
            if len(self._files(folder=folder)) >= _MOST_FILES:
                raise NotNowError(f"{path.parent} has {_MOST_FILES:,} files; delete some")
            for number in range(2, _MOST_FILES):
                try:
                    create_whole(path, data)
                except FileExistsError:
                    if path.read_bytes() == data:
                        break
                    path = path.with_name(f"{Path(name).stem} {number}{Path(name).suffix}")
                else:
                    break
        except OSError as error:
            raise NotNowError(f"{path}: {error.strerror or error}") from error
        return path.name

    def _files(self, endings: tuple[str, ...] = (), folder: str = "") -> list[Path]:
        try:
            entries = os.scandir(self.folder / folder)
            found = [Path(each.path) for each in entries if each.is_file()]
        except OSError:
            return []
        return sorted(each for each in found if not endings or each.suffix.lower() in endings)


def _nodes(file: WorkflowFile) -> int:
    """Return how many nodes a workflow has, as far as its file tells."""
    found = file.api if file.api is not None else file.ui
    return 0 if found is None else len(found.nodes)


def _safe(name: str) -> str:
    """Return a file's name without what could be a path, an option or a hidden file."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return _ODD.sub("_", last).lstrip(" .-")[-100:] or "file"
