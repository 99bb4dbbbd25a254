"""What stands between us and a server: the environment's proxies, and TLS."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stablenew.backends.webui.backend import WebUIBackend
from stablenew.errors import BackendUnavailableError, ConfigError
from tests.webui.driving import draw
from tests.webui.profiles import A1111
from tests.webui.requests import Refusal
from tests.webui.server import serve
from tests.webui.wire import Fault, wired

CERTIFICATE = Path(__file__).parent / "data" / "localhost.pem"
"""Self-signed, for `localhost` alone, with its key; nobody has any other use for it."""

ELSEWHERE = "http://gpu.invalid:7860"
DEAD = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


async def test_this_machine_is_reached_whatever_proxy_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", DEAD)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    with serve(A1111) as webui:
        for url in (webui.url, webui.url.replace("127.0.0.1", "localhost")):
            async with WebUIBackend(url) as backend:
                assert (await draw(backend)).width == 64


async def test_another_machine_is_reached_through_the_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serve(A1111) as proxy:  # a proxy that has the answers itself
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        async with WebUIBackend(ELSEWHERE) as backend:
            assert (await draw(backend)).width == 64
        monkeypatch.setenv("NO_PROXY", ".invalid")
        async with WebUIBackend(ELSEWHERE) as backend:
            with pytest.raises(BackendUnavailableError, match="cannot find that host") as caught:
                await backend.capabilities()
    assert "proxy" not in str(caught.value)


@pytest.mark.parametrize("status", [407, 502])
async def test_a_proxy_that_refuses_is_blamed(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    refused = {"/sdapi/v1/progress": Refusal(status, "", "not you")}
    with serve(A1111, refused=refused) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        async with WebUIBackend(ELSEWHERE) as backend:
            with pytest.raises(BackendUnavailableError) as caught:
                await backend.capabilities()
    assert f"not you (asked through the environment's proxy {proxy.url};" in str(caught.value)
    assert "NO_PROXY=gpu.invalid goes around it" in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_is_not_there_is_blamed(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", DEAD)
    async with WebUIBackend(f"{scheme}://gpu.invalid") as backend:
        with pytest.raises(BackendUnavailableError, match=r"Connection refused .*proxy http:"):
            await backend.capabilities()


async def test_a_page_in_the_servers_place_may_be_the_proxys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serve(A1111) as webui, wired(webui.url, Fault.WRONG_TYPE, path="/progress") as wire:
        monkeypatch.setenv("HTTP_PROXY", wire.url)
        async with WebUIBackend(ELSEWHERE) as backend:
            with pytest.raises(BackendUnavailableError, match=r"is no WebUI: .*NO_PROXY=gpu"):
                await backend.capabilities()


async def test_a_proxy_that_makes_no_tunnel_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(A1111) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        async with WebUIBackend("https://gpu.invalid") as backend:
            with pytest.raises(BackendUnavailableError, match="the environment's proxy"):
                await backend.capabilities()


async def test_a_socks_proxy_without_its_package_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://me:secret@127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(ConfigError) as caught:
        async with WebUIBackend(ELSEWHERE):
            raise AssertionError
    assert str(caught.value) == (
        "url: the environment's proxy socks5://127.0.0.1:9 needs the package socksio;"
        " NO_PROXY=gpu.invalid goes around it"
    )


async def test_a_certificate_that_is_not_trusted_is_told_as_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serve(A1111, certificate=CERTIFICATE) as webui:
        async with WebUIBackend(webui.url) as backend:
            with pytest.raises(BackendUnavailableError) as caught:
                await backend.capabilities()
        assert "its certificate is not trusted (self-signed certificate)" in str(caught.value)
        assert "SSL_CERT_FILE=FILE.pem" in str(caught.value)
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        async with WebUIBackend(webui.url) as backend:
            assert (await draw(backend)).width == 64
        async with WebUIBackend(webui.url.replace("localhost", "127.0.0.1")) as backend:
            with pytest.raises(BackendUnavailableError, match=r"does not hold .*mismatch"):
                await backend.capabilities()


async def test_a_file_of_certificates_that_is_none_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone.pem"))
    with pytest.raises(ConfigError, match=r"SSL_CERT_FILE: cannot talk to https://localhost:1: "):
        async with WebUIBackend("https://localhost:1"):
            raise AssertionError


async def test_http_where_tls_is_spoken_is_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(A1111) as webui:
        async with WebUIBackend(webui.url.replace("http:", "https:")) as backend:
            with pytest.raises(BackendUnavailableError, match=r"no TLS .*; http:// perhaps\?"):
                await backend.capabilities()
