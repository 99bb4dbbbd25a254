"""Who is let in, from where: with a real HTTP client."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.routing import Route

from stablenew.errors import ConfigError
from stablenew.studio import guard
from stablenew.studio.access import Access, kept_token
from stablenew.studio.command import read_studio
from stablenew.studio.site import site
from tests.studio.serving import TOKEN, Served, served

JSON = {"content-type": "application/json"}


async def test_the_token_of_the_address_gives_a_cookie_and_nothing_else_does(runs: Path) -> None:
    async with served(runs) as studio:
        stranger = studio.stranger
        for path in ("/", "/api/state", "/api/events", "/static/studio.js", "/files/a/b.png"):
            assert (await stranger.get(path)).status_code == 401
        assert (await stranger.post("/api/queue", json={})).status_code == 401
        assert (await stranger.get("/", params={"token": "wrong"})).status_code == 401
        opened = await stranger.get("/", params={"token": TOKEN})
        assert (opened.status_code, opened.headers["location"]) == (303, "./")
        assert TOKEN not in opened.headers["set-cookie"]
        for word in ("HttpOnly", "SameSite=strict", "Path=/"):
            assert word in opened.headers["set-cookie"]
        assert (await stranger.get("/api/state")).status_code == 200


async def test_a_name_of_somebody_elses_that_leads_here_is_refused(runs: Path) -> None:
    async with served(runs) as studio:
        for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::1"):
            answer = await studio.client.get("/api/state", headers={"host": host})
            assert answer.status_code == 403
            assert "Host" in answer.json()["errors"][0]["message"]
        fine = await studio.client.get("/api/state", headers={"host": f"localhost:{studio.port}"})
        assert fine.status_code == 200


async def test_a_page_of_somebody_elses_can_ask_for_nothing(runs: Path) -> None:
    async with served(runs) as studio:
        for origin in ("http://evil.example", "http://127.0.0.1:1", "null"):
            for answer in (
                await studio.client.get("/api/state", headers={"origin": origin}),
                await studio.client.post("/api/undo", json={}, headers={"origin": origin}),
            ):
                assert answer.status_code == 403
        for site in ("cross-site", "same-site"):
            picture = await studio.client.get("/api/state", headers={"sec-fetch-site": site})
            assert picture.status_code == 403
            ways = {"sec-fetch-site": site, "sec-fetch-mode": "navigate"}
            assert (await studio.client.get("/", headers=ways)).status_code != 403, "a link to it"
        own = {"origin": f"http://127.0.0.1:{studio.port}", "sec-fetch-site": "same-origin"}
        assert (await studio.client.post("/api/undo", json={}, headers=own)).status_code == 200


async def test_every_route_asks_for_the_cookie_and_for_a_page_of_its_own(runs: Path) -> None:
    async with served(runs) as studio:
        origin = {"origin": "http://evil.example"}
        for path, method in every_route(studio):
            stranger = await studio.stranger.request(method, path)
            assert stranger.status_code == 401, path
            if method == "POST":
                foreign = await studio.client.post(path, headers=origin)
                assert foreign.status_code == 403, path


def every_route(studio: Served) -> list[tuple[str, str]]:
    """Return each route with its method, its parameters filled in."""
    routes = [each for each in site(studio.studio).routes if isinstance(each, Route)]
    assert len(routes) > 40
    return [
        (re.sub(r"{\w+}", "x", each.path), "POST" if "POST" in (each.methods or ()) else "GET")
        for each in routes
    ]


async def test_nothing_is_changed_by_get_nor_by_a_form(runs: Path) -> None:
    async with served(runs) as studio:
        gets = {path for path, method in every_route(studio) if method == "GET"}
        await studio.studio.queue.restored.wait()
        before = sorted(runs.rglob("*"))
        for path in gets - {"/api/events"}:
            await studio.client.get(path)
        assert sorted(runs.rglob("*")) == before
        for path, method in every_route(studio):
            if method == "POST" and path not in gets:
                assert (await studio.client.get(path)).status_code in (404, 405), path
        form = await studio.client.post("/api/undo", data={"a": "b"})
        assert form.status_code == 400
        assert "application/json" in form.json()["errors"][0]["message"]
        text = {"content-type": "text/plain"}
        plain = await studio.client.post("/api/undo", content=b"{}", headers=text)
        assert plain.status_code == 400


async def test_every_answer_keeps_scripts_of_others_out(runs: Path) -> None:
    async with served(runs) as studio:
        answers = [await studio.client.get(path) for path in ("/", "/api/state", "/static/none.js")]
        answers.append(await studio.stranger.get("/"))
        for answer in answers:
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert "<script>" not in answer.text
            assert " style=" not in answer.text


async def test_what_is_sent_is_bounded(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stablenew.studio.answers.MOST_JSON", 1000)
    async with served(runs) as studio:
        large = b'{"job": "' + b"a" * 2000 + b'"}'
        answer = await studio.client.post("/api/dry-run", content=large, headers=JSON)
        assert answer.status_code == 413

        async def piecewise() -> AsyncIterator[bytes]:
            for start in range(0, len(large), 100):
                yield large[start : start + 100]

        answer = await studio.client.post("/api/dry-run", content=piecewise(), headers=JSON)
        assert answer.status_code == 413
        deep = await studio.client.post("/api/dry-run", content=b"[" * 900, headers=JSON)
        assert deep.status_code == 400


async def test_beyond_this_machine_a_password_lets_in_and_the_token_does_not(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "_BETWEEN_TRIES", 0)
    access = Access(token=TOKEN, password="secret", names=frozenset({"box"}))
    async with served(runs, access=access) as studio:
        stranger = studio.stranger
        assert (await stranger.get("/", params={"token": TOKEN})).status_code == 401
        assert 'type="password"' in (await stranger.get("/")).text
        assert (await stranger.post("/login", data={"password": "wrong"})).status_code == 401
        assert (await stranger.get("/api/state")).status_code == 401
        assert (await stranger.post("/login", data={"password": "secret"})).status_code == 303
        assert (await stranger.get("/api/state")).status_code == 200
        named = await stranger.get("/api/state", headers={"host": "evil.example"})
        assert named.status_code == 403
    assert Access(token=TOKEN, password="other").pass_ != access.pass_


def test_a_host_that_others_reach_needs_a_password() -> None:
    with pytest.raises(ConfigError, match="STABLENEW_STUDIO_PASSWORD"):
        read_studio(["--host", "0.0.0.0"], {})
    asked = read_studio(["--host", "0.0.0.0"], {"STABLENEW_STUDIO_PASSWORD": "x"})
    assert asked.password == "x"
    assert "x" not in repr(asked).partition("password")[2]
    assert read_studio([], {"STABLENEW_STUDIO_PASSWORD": "x"}).password is None


def test_the_token_lasts_and_is_for_its_owner_alone(runs: Path) -> None:
    token = kept_token(runs)
    assert kept_token(runs) == token
    assert len(token) > 40
    file = next((runs / ".studio").iterdir())
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0
