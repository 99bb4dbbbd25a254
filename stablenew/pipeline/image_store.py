"""Pictures on disk: `<run_id>/<stage>_<n>.png`, the backend's bytes untouched."""

from __future__ import annotations

import hashlib
from pathlib import Path

import anyio.to_thread

from stablenew import _files
from stablenew.backends.base import Picture
from stablenew.pipeline.results import PipelineRunResult, StageOutput
from stablenew.pipeline.run_metadata import METADATA_FILE, build_run_metadata, encode_metadata

_ENDINGS = {
    b"\x89PNG": "png",
    b"\xff\xd8\xff\xe0": "jpg",
    b"\xff\xd8\xff\xe1": "jpg",
    b"RIFF": "webp",
}
_HASHED_HERE = 64 * 1024
"""Bytes up to which a hash is quicker than the way to another thread."""


class ImageStore:
    """Keeps what runs make, under the folder of all runs.

    Args:
        base_dir: That folder.
    """

    def __init__(self, base_dir: Path) -> None:
        self._base_dir = base_dir

    async def save(self, run_id: str, stage: str, number: int, picture: Picture) -> StageOutput:
        """Write a picture, never over an earlier one.

        Raises:
            OSError: The disk said no, or there is one already.
        """
        image_id = f"{stage}_{number}"
        path = Path(run_id, f"{image_id}.{_ENDINGS.get(picture.data[:4], 'png')}")
        sha256 = await _sha256(picture.data)  # before: once the picture is there, it is told
        await _files.create(self._base_dir / path, picture.data)
        return StageOutput(
            stage=stage,
            image_id=image_id,
            path=path.as_posix(),
            width=picture.width,
            height=picture.height,
            sha256=sha256,
            settings=picture.settings,
            ignored_words=picture.ignored_words,
            warnings=picture.warnings,
        )

    async def load(self, output: StageOutput) -> bytes:
        """Read a picture back."""
        return await _files.read(self._base_dir / output.path)

    async def conclude(self, result: PipelineRunResult) -> None:
        """Write `run_metadata.json`.

        Raises:
            OSError: The disk said no.
        """
        path = self._base_dir / result.run_id / METADATA_FILE
        await _files.replace(path, encode_metadata(build_run_metadata(result)))


async def _sha256(data: bytes) -> str:
    if len(data) <= _HASHED_HERE:
        return hashlib.sha256(data).hexdigest()
    return await anyio.to_thread.run_sync(lambda: hashlib.sha256(data).hexdigest())
