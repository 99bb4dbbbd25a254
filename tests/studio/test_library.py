"""Looking back: what is there, the newest first, whoever made it and however much there is."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from stablenew.studio import run_index
from stablenew.studio.library import Asked, Library
from tests.studio.serving import SWEEP, served


def made(out: Path, name: str, prompt: str = "a cat", plan: str | None = None) -> Path:
    """Leave a run of one picture, as any StableNew does."""
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    picture: dict[str, Any] = {
        "image_id": "txt2img_1",
        "path": f"{name}/txt2img_1.png",
        "width": 8,
        "height": 8,
    }
    picture |= {"stage": "txt2img", "settings": {"prompt": prompt, "model": "Model-A"}}
    data: dict[str, Any] = {
        "run_id": name,
        "outcome": "succeeded",
        "stages": [{"stage": "txt2img"}],
    }
    data |= {"stage_outputs": [picture]}
    data |= {"metadata": {"experiment_name": "Sharp", "step_index": 3}}
    (folder / "run_metadata.json").write_text(json.dumps(data))
    if plan is not None:
        (out / plan).mkdir(exist_ok=True)
        told = {"plan": {"axes": [{"path": "txt2img.steps", "values": [1, 2]}]}, "config": {}}
        (out / plan / "plan.json").write_text(json.dumps(told))
    return folder


def rated(out: Path, name: str, rating: int) -> None:
    line = {"run_id": name, "image_id": "txt2img_1", "rating": rating}
    with (out / name / "feedback.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def found(library: Library, **asked: object) -> list[str]:
    places = library.found(Asked(**asked))  # type: ignore[arg-type]  # as the query has them
    return [each["run_id"] for each in library.shown(places)]


def test_what_came_was_renamed_or_taken_away_is_seen_at_the_next_look(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_index, "_SHARE", math.inf)  # a busy machine lists slowly, and pauses
    library = Library(runs)
    assert found(library) == []
    made(runs, "20260102T000000-b")
    made(runs, "20260103T000000-c-00002", plan="20260103T000000-c")
    made(runs, "20260103T000000-c-00001", "a Dog", plan="20260103T000000-c")
    (runs / "20260104T000000-d").mkdir()  # a run that is under way
    assert found(library) == [
        "20260103T000000-c-00001",
        "20260103T000000-c-00002",
        "20260102T000000-b",
    ]
    assert library.listed(Asked()) == ["20260103T000000-c", "20260102T000000-b"]
    made(runs, "20260101T000000-a")
    shutil.rmtree(runs / "20260104T000000-d")
    made(runs, "20260104T000000-d")
    (runs / "20260102T000000-b").rename(runs / "20260105T000000-b")
    assert library.listed(Asked()) == [
        "20260105T000000-b",
        "20260104T000000-d",
        "20260103T000000-c",
        "20260101T000000-a",
    ]
    assert found(library, search="DOG") == ["20260103T000000-c-00001"]
    assert len(found(library, model="model-a", tag="sharp")) == 5
    assert found(library, tag="step_index") == [], "what we tag ourselves is no tag"
    assert library.listed(Asked(search="steps sharp")) == ["20260103T000000-c"]
    assert library.summary("20260103T000000-c", library.runs_of("20260103T000000-c"))["state"] == (
        "complete"
    )


def test_a_rating_of_another_program_is_shown_at_once_and_found_in_a_while(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_index, "_SWEPT_EVERY", 0)
    for number in range(3):
        made(runs, f"2026010{number}T000000-a")
    library = Library(runs)
    assert len(found(library)) == 3
    rated(runs, "20260101T000000-a", 5)
    (shown,) = library.shown([("20260101T000000-a", "20260101T000000-a", 0)])
    assert shown["rating"] == 5
    rated(runs, "20260102T000000-a", 4)
    library.index.go_on()
    assert found(library, rating=4) == ["20260102T000000-a", "20260101T000000-a"]
    places = library.found(Asked(), best=True)
    assert [name[:8] for _, name, _ in places] == ["20260101", "20260102", "20260100"]


def test_a_look_at_what_did_not_change_reads_nothing(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_index, "_SURE", 0)
    for number in range(9):
        made(runs, f"2026010{number}T000000-a")
    looks: list[str] = []

    class Counting(Library):
        def _stamp(self, name: str) -> int:
            looks.append(name)
            return super()._stamp(name)

    library = Counting(runs)
    assert len(library.found(Asked(search="cat"))) == 9
    looks.clear()
    monkeypatch.setattr(library.index, "_scan", lambda: looks.append("the folder"))
    assert len(library.found(Asked(search="cat"))) == 9
    assert looks == []
    library.index.forget("20260103T000000-a")
    assert len(library.found(Asked(search="cat"))) == 9
    assert looks == ["20260103T000000-a"], "what was rated here, say"


def test_folders_of_something_else_keep_nobody_busy(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_index, "_AT_ONCE", 20)
    monkeypatch.setattr(run_index, "_ODD", 3)
    for number in range(50):
        (runs / f"holiday {number}").mkdir(parents=True)
    made(runs, "20260101T000000-a")
    library = Library(runs)
    library.index.look()
    for _ in range(60):
        if not library.index.go_on():
            break
    assert library.index.progress is None
    assert found(library) == ["20260101T000000-a"]


async def test_of_very_much_the_newest_is_known_first_and_the_rest_later(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_index, "_AT_ONCE", 20)
    for number in range(90):
        made(runs, f"202601{number:02}T000000-a")
    for step in range(1, 90):
        made(runs, f"20260201T000000-p-{step:05}", plan="20260201T000000-p")
    async with served(runs) as studio:
        first = await studio.get("api/pictures", per_page="5")
        assert first["pictures"][0]["run_id"].startswith("20260201T000000-p-")
        assert first["indexing"]["done"] < first["indexing"]["of"]
        number = 0
        while not any(e.kind == "library" for e in studio.studio.feed.after(number) or ()):
            await studio.studio.feed.news(studio.studio.feed.told)
        whole = await studio.get("api/pictures", per_page="5", page="36")
        assert (whole["total"], whole["indexing"]) == (179, None)
        assert whole["pictures"][-1]["run_id"] == "20260100T000000-a"
        await studio.post("api/queue", {"job": SWEEP}, 201)
        await studio.ended()
        assert (await studio.get("api/pictures"))["total"] == 181
