"""Pictures on disk: `<run_id>/<stage>_<n>.png`, the backend's bytes untouched, found again."""

from __future__ import annotations

import hashlib
import itertools
import logging
from pathlib import Path

import attrs

from stablenew.backends.base import Picture
from stablenew.pipeline.picture_index import PictureIndex
from stablenew.pipeline.pixel_digest import pixel_digest
from stablenew.pipeline.results import BLANK, PipelineRunResult, StageOutput
from stablenew.pipeline.run_metadata import METADATA_FILE, build_run_metadata, encode_metadata
from stablenew.storage import files

logger = logging.getLogger(__name__)

_ENDINGS = {b"\x89PN": "png", b"\xff\xd8\xff": "jpg", b"RIF": "webp"}


class ImageStore:
    """Keeps what runs make, under the folder of all runs.

    What is in the way of a picture, for instance half a one from before a power cut, is moved
    aside and never deleted.

    Args:
        base_dir: That folder.
    """

    def __init__(self, base_dir: Path) -> None:
        self._base_dir = base_dir
        self._index = PictureIndex(base_dir)

    async def save(
        self,
        run_id: str,
        stage: str,
        number: int,
        picture: Picture,
        fingerprint: str = "",
        seconds: float | None = None,
    ) -> StageOutput:
        """Write a picture, never over an earlier one.

        Raises:
            OSError: The disk said no.
        """
        image_id = f"{stage}_{number}"
        path = Path(run_id, f"{image_id}.{_ENDINGS.get(picture.data[:3], 'png')}")

        def keep() -> StageOutput:
            from stablenew.pipeline.blank_picture import is_blank  # loads Pillow

            blank = is_blank(picture.data)
            output = StageOutput(
                stage=stage,
                image_id=image_id,
                path=path.as_posix(),
                width=picture.width,
                height=picture.height,
                sha256=hashlib.sha256(picture.data).hexdigest(),
                settings=picture.settings,
                ignored_words=picture.ignored_words,
                warnings=(*picture.warnings, *([f"blank picture: {BLANK}"] if blank else [])),
                fingerprint=fingerprint,
                hashes=picture.hashes,
                seconds=seconds,
                blank=blank,
                pixels=pixel_digest(picture.data),
            )
            self._write(output, picture.data)
            return output

        return await files.in_thread(keep)

    async def reuse(
        self, run_id: str, stage: str, number: int, fingerprint: str
    ) -> StageOutput | None:
        """Give a run the finished picture that has a fingerprint; None where there is none.

        A picture is believed only if its file is there, whole, with its hash; a damaged one is
        moved aside. It is linked, and copied where the file system has no links.

        Raises:
            OSError: The disk said no.
        """
        if not self._index.may_have(fingerprint):
            return None
        return await files.in_thread(lambda: self._reuse(run_id, stage, number, fingerprint))

    async def has(self, fingerprint: str) -> bool:
        """Return whether there is a finished picture of a fingerprint; it may be damaged."""
        if not self._index.may_have(fingerprint):
            return False
        found = await files.in_thread(lambda: next(self._index.find(fingerprint), None))
        return found is not None

    async def load(self, output: StageOutput) -> bytes:
        """Read a picture back."""
        return await files.read(self._base_dir / output.path)

    async def conclude(self, result: PipelineRunResult) -> None:
        """Write `run_metadata.json`.

        Raises:
            OSError: The disk said no.
        """
        path = self._base_dir / result.run_id / METADATA_FILE
        await files.replace(path, encode_metadata(build_run_metadata(result)))

    def _write(self, output: StageOutput, data: bytes) -> None:
        path = self._base_dir / output.path
        try:
            files.create_whole(path, data)
        except FileExistsError:
            _move_aside(path)
            files.create_whole(path, data)
        if output.fingerprint:
            self._index.add(output)

    def _reuse(self, run_id: str, stage: str, number: int, fingerprint: str) -> StageOutput | None:
        found = next(filter(self._is_whole, self._index.find(fingerprint)), None)
        if found is None:
            return None
        image_id = f"{stage}_{number}"
        source = self._base_dir / found.path
        path = Path(run_id, image_id).with_suffix(source.suffix)
        target = self._base_dir / path
        origin = found.reused_from or f"{Path(found.path).parent.name}/{found.image_id}"
        output = attrs.evolve(
            found,
            image_id=image_id,
            path=path.as_posix(),
            reused_from=None if origin == f"{run_id}/{image_id}" else origin,
            seconds=None,
            pixels=found.pixels or pixel_digest(source.read_bytes()),
        )
        if self._is_whole(output):  # in its place already: the run was cut, and goes on
            return output
        if target.exists():
            _move_aside(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        files.link_or_copy(source, target)
        self._index.add(output)
        return output

    def _is_whole(self, found: StageOutput) -> bool:
        path = self._base_dir / found.path
        try:
            data = path.read_bytes()
        except OSError:
            return False
        if hashlib.sha256(data).hexdigest() == found.sha256:
            return True
        logger.warning("%s: damaged; moved aside, and made again", path)
        _move_aside(path)
        return False


def _move_aside(path: Path) -> None:
    for number in itertools.count(1):
        aside = path.with_name(f"{path.name}.aside{number}")
        if not aside.exists():
            path.rename(aside)
            return
