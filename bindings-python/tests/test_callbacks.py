"""Token providers and lifecycle callbacks, in an event loop and without."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

import kalam_live
from conftest import PASSWORD, Place, run
from kalam_live import sync

BUILT = Path(os.environ.get("CARGO_TARGET_DIR", Path(__file__).parents[2] / "target"))
EMBEDDED = BUILT / os.environ.get("PROFILE", "fast") / "kalam-embedded"


def login(url: str) -> str:
    import json
    import urllib.request

    body = json.dumps({"user": "root", "password": PASSWORD}).encode()
    request = urllib.request.Request(f"{url}/v1/api/auth/login", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        return json.load(response)["access_token"]


def test_token_providers(place: Place) -> None:
    async def main() -> None:
        calls: list[str] = []

        def plain() -> str:
            calls.append("plain")
            return login(place.url)

        async def coroutine() -> str:
            calls.append("coroutine")
            return await asyncio.to_thread(login, place.url)

        for provider in (plain, coroutine):
            async with kalam_live.connect(place.url, token_provider=provider) as client:
                assert len(await client.query(f"SELECT * FROM {place.ns}.t")) == 0
                await client.live(f"SELECT * FROM {place.ns}.t")
        assert calls == ["plain", "coroutine"], "asked once each"

    run(main)


def test_token_providers_that_fail(place: Place) -> None:
    async def main() -> None:
        async def nothing() -> Any:
            return None

        def fails() -> str:
            raise RuntimeError("no vault")

        for provider, says in [(nothing, "token_provider must return a str, not NoneType"), (fails, "no vault")]:
            with pytest.raises(kalam_live.AuthError, match=says):
                await kalam_live.connect(place.url, token_provider=provider)

    run(main)


def test_token_provider_without_a_loop(place: Place) -> None:
    threads: list[str] = []

    def provider() -> str:
        threads.append(threading.current_thread().name)
        return login(place.url)

    async def coroutine() -> str:
        return ""

    with sync.connect(place.url, token_provider=provider) as client:
        assert len(client.query(f"SELECT * FROM {place.ns}.t")) == 0
    assert threads == ["kalam-live-callbacks"]
    with pytest.raises(kalam_live.AuthError, match="not coroutine functions"):
        sync.connect(place.url, token_provider=coroutine)
    assert "kalam-live-callbacks" not in [thread.name for thread in threading.enumerate()]


def test_lifecycle_callbacks(place: Place) -> None:
    async def main() -> None:
        told: list[str] = []
        states: list[str] = []
        news = asyncio.Event()

        def tell(what: str) -> None:
            told.append(what)
            news.set()

        async def connected() -> None:
            await asyncio.sleep(0)
            tell("connected")

        async with place.connect(
            on_connect=connected,
            on_disconnect=lambda error: tell(f"disconnected {error.code}"),
            on_error=lambda error: tell(f"error {error.code}"),
            on_state=lambda state: states.append(state),
        ) as client:
            while told != ["connected"]:
                await news.wait()
                news.clear()
            await client.disconnect()
            await client.connect()
            while told.count("connected") < 2:
                await news.wait()
                news.clear()
        assert states.count("connected") == 2
        assert states[-1] == "closed"

    run(main)


@pytest.mark.skipif(not EMBEDDED.exists(), reason="the command kalam-embedded is not built")
def test_on_repair() -> None:
    """A server with KalamDB's holes: it does not tell that a row leaves the filter."""
    password = "Secret-123456"
    serve = [str(EMBEDDED), "serve", "--port", "0", "--emulate", "kalamdb-0.4"]
    environment = os.environ | {"KALAM_ROOT_PASSWORD": password}
    with subprocess.Popen(
        serve, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        try:
            assert server.stdout
            address = next(found[0] for line in server.stdout if (found := re.search(r"http://[\d.:]+", line)))

            async def main() -> None:
                told: asyncio.Future[kalam_live.Repair] = asyncio.get_running_loop().create_future()
                options: Any = {"user": "root", "password": password, "on_repair": told.set_result}
                async with kalam_live.connect(address, **options) as client:
                    await client.execute("CREATE NAMESPACE app")
                    await client.execute("CREATE TABLE app.t (id BIGINT PRIMARY KEY, room TEXT) WITH (TYPE='SHARED')")
                    await client.execute("INSERT INTO app.t VALUES (1, 'a'), (2, 'a')")
                    async for rows in client.live("SELECT id FROM app.t WHERE room = 'a'", id="mine"):
                        if len(rows) == 1:
                            break
                        await client.execute("UPDATE app.t SET room = 'b' WHERE id = 1")
                    repair = await told
                    assert (repair.subscription, repair.removed, repair.added) == ("mine", 1, 0)
                    assert repair.reason == "unconfirmed"
                    assert repair.queries >= 1

            run(main)
        finally:
            server.terminate()


def test_on_error(place: Place) -> None:
    async def main() -> None:
        told = asyncio.get_running_loop().create_future()
        with pytest.raises(kalam_live.DisconnectedError):
            await kalam_live.connect("http://127.0.0.1:1", on_error=lambda error: told.done() or told.set_result(error))
        assert isinstance(await told, kalam_live.DisconnectedError)

    run(main)


def test_a_lifecycle_callback_that_fails(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("oh no")

    async def main() -> None:
        told = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.set_result(context["exception"]))
        async with place.connect(on_connect=fail) as client:
            assert str(await told) == "oh no"
            await client.query("SELECT 1")

    run(main)
    with caplog.at_level(logging.ERROR, "kalam_live"), place.connect_sync(on_connect=fail) as client:
        client.query("SELECT 1")
    assert [record.exc_info and str(record.exc_info[1]) for record in caplog.records] == ["oh no"]
