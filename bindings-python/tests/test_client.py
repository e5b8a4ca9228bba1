"""The client of an event loop: every call, and what it says when something is wrong."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest

import kalam_live
from conftest import PASSWORD, Place, run
from kalam_live import KalamError


def test_the_first_program() -> None:
    """As the README has it: no server, no options."""

    async def main() -> None:
        async with kalam_live.connect() as client:
            await client.execute("CREATE NAMESPACE app")
            await client.execute("CREATE TABLE app.messages (id BIGINT PRIMARY KEY, room TEXT, body TEXT)")
            assert await client.execute("INSERT INTO app.messages VALUES ($1, $2, $3)", [1, "main", "hello"]) == 1
            rows = await client.query("SELECT * FROM app.messages WHERE room = $1", ["main"])
            assert [(row["id"], row["body"]) for row in rows] == [(1, "hello")]

    run(main)


def test_an_embedded_server_keeps_its_directory() -> None:
    async def main(directory: str) -> None:
        async with kalam_live.connect(f"embedded:{directory}") as client:
            await client.execute("CREATE NAMESPACE app")
            await client.execute("CREATE TABLE app.t (id BIGINT PRIMARY KEY)")
            await client.execute("INSERT INTO app.t VALUES (7)")
            with pytest.raises(kalam_live.ConfigError):
                await kalam_live.connect(f"embedded:{directory}")
        async with kalam_live.connect(f"embedded:{directory}", user="root", password="mine") as client:
            assert (await client.query("SELECT id FROM app.t")).to_dicts() == [{"id": 7}]
        async with kalam_live.connect(f"embedded:{directory}") as client:
            assert len(await client.query("SELECT id FROM app.t")) == 1, "and leaves the password alone"
        async with kalam_live.start_embedded(Path(directory)) as server:
            assert server.root_password is None
            async with kalam_live.connect(server.url, user="root", password="mine") as client:
                assert await client.query_one("SELECT id FROM app.t") == {"id": 7}
            await server.close()

    with tempfile.TemporaryDirectory() as directory:
        run(lambda: main(directory))


def test_await_or_async_with(place: Place) -> None:
    async def main() -> None:
        client = await place.connect()
        assert client.state == "connected"
        await client.close()
        assert client.state == "closed"
        await client.close()
        with pytest.raises(kalam_live.ClosedError):
            await client.query("SELECT 1")
        with pytest.raises(kalam_live.ClosedError):
            await client.live(f"SELECT * FROM {place.ns}.t")
        opening = place.connect()
        await (await opening).close()
        with pytest.raises(RuntimeError):
            await opening

    run(main)


def test_what_is_not_open_says_so(place: Place) -> None:
    async def main() -> None:
        opening: Any = place.connect()
        with pytest.raises(AttributeError, match="'query': this is not open yet; write `await connect"):
            opening.query("SELECT 1")
        with pytest.raises(TypeError, match="write `async with`"), opening:
            pass
        async with opening as client:
            assert len(await client.query("SELECT 1")) == 1

    run(main)


def test_queries(place: Place) -> None:
    async def main() -> None:
        table = f"{place.ns}.t"
        async with place.connect() as client:
            assert await client.execute(f"INSERT INTO {table} VALUES ($1, $2), ($3, $4)", (1, "a", 2, None)) == 2
            assert await client.query_one(f"SELECT v FROM {table} WHERE id = $1", [1]) == {"v": "a"}
            assert await client.query_one(f"SELECT v FROM {table} WHERE id = 9") is None
            changed = await client.batch(
                [(f"UPDATE {table} SET v = $1 WHERE id = $2", ["b", 1]), f"DELETE FROM {table} WHERE id = 2"]
            )
            assert changed == 2
            with pytest.raises(KalamError):
                await client.batch([f"DELETE FROM {table} WHERE id = 1", "DELETE FROM nothing.here"])
            assert (await client.query_all(f"SELECT id, v FROM {table}")).to_dicts() == [{"id": 1, "v": "b"}]
            assert (await client.health())["status"] == "healthy"
            assert client.counters()["connects"] == 1

    run(main)


def test_query_all_pages(place: Place) -> None:
    async def main() -> None:
        async with place.connect() as client:
            for start in range(0, 3000, 500):
                values = ", ".join(f"({n}, 'v{n}')" for n in range(start, start + 500))
                await client.execute(f"INSERT INTO {place.ns}.t VALUES {values}")
            rows = await client.query_all(f"SELECT id, v FROM {place.ns}.t")
            assert sorted(row["id"] for row in rows) == list(range(3000))

    run(main)


def test_as_another_user(place: Place) -> None:
    async def main() -> None:
        table = f"{place.ns}.notes"
        user = f"alice_{place.ns}"
        async with place.connect() as client:
            await client.execute(f"CREATE USER '{user}' WITH PASSWORD 'AliceSecret123!' ROLE user")
            await client.execute(f"CREATE TABLE {table} (id BIGINT PRIMARY KEY, v TEXT) WITH (TYPE = 'USER')")
            alice = client.as_user(user)
            assert await alice.execute(f"INSERT INTO {table} VALUES ($1, $2)", [1, "hers"]) == 1
            assert await alice.query_one(f"SELECT v FROM {table}") == {"v": "hers"}
            assert len(await client.query(f"SELECT * FROM {table}")) == 0
            async with kalam_live.connect(place.url, user=user, password="AliceSecret123!") as own:
                assert (await own.query(f"SELECT v FROM {table}")).to_dicts() == [{"v": "hers"}]
                with pytest.raises(kalam_live.PermissionDeniedError):
                    await own.execute("CREATE USER 'mallory' WITH PASSWORD 'x' ROLE system")

    run(main)


def test_the_namespace_option(place: Place) -> None:
    async def main() -> None:
        async with place.connect(namespace=place.ns) as client:
            await client.execute("INSERT INTO t VALUES (1, 'one')")
            assert len(await client.query("SELECT * FROM t")) == 1
            async for rows in client.live("SELECT * FROM t"):
                assert len(rows) == 1
                break
            async for rows in client.live_table("t"):
                assert len(rows) == 1
                break

    run(main)


def test_subscriptions(place: Place) -> None:
    async def main() -> None:
        async with place.connect() as client:
            assert await client.subscriptions() == []
            sql = f"SELECT id FROM {place.ns}.t"
            live = await client.live(sql, id="mine")
            events = client.live_events(sql)
            await anext(events)
            mine, other = await client.subscriptions()
            assert (mine.id, mine.query, mine.stage) == ("mine", sql, "ready")
            assert (live.id, events.id) == ("mine", other.id)
            with pytest.raises(KalamError):
                await client.live(sql, id="mine")
            await anext(live)
            await client.cancel_subscription("mine")
            with pytest.raises(StopAsyncIteration):
                await anext(live)
            with pytest.raises(kalam_live.NotFoundError):
                await client.cancel_subscription("mine")
            del events
            while await client.subscriptions():
                await asyncio.sleep(0)

    run(main)


def test_disconnect_and_connect(place: Place) -> None:
    async def main() -> None:
        async with place.connect() as client:
            live = await client.live(f"SELECT * FROM {place.ns}.t")
            assert (await anext(live)).phase == "live"
            await client.disconnect()
            assert client.state == "idle"
            assert (await anext(live)).phase == "reconnecting"
            await client.execute(f"INSERT INTO {place.ns}.t VALUES (1, 'one')")
            await client.connect()
            client.network_changed()
            while (rows := await anext(live)).phase != "live" or not rows:
                pass
            assert rows == [{"id": 1, "v": "one"}]

    run(main)


# What is wrong with how the client is made, the error, and words that its text must have.
WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"url": "localhost:2900"}, kalam_live.ConfigError, "url"),
    ({"url": "ftp://localhost"}, kalam_live.ConfigError, "url|ftp"),
    ({"url": ""}, kalam_live.ConfigError, "url"),
    ({"url": "embedded:"}, kalam_live.ConfigError, "embedded:PATH"),
    ({"url": "http://127.0.0.1:1"}, kalam_live.DisconnectedError, "127.0.0.1:1"),
    ({"url": "http://127.0.0.1:1", "urls": []}, kalam_live.ConfigError, "not both"),
    ({"urls": []}, kalam_live.ConfigError, "url"),
    ({"urls": "http://127.0.0.1:1"}, TypeError, "urls"),
    ({"urls": [1]}, TypeError, "urls must be a list of str"),
    ({"url": 5}, TypeError, "url must be a str, not 5"),
    ({"user": "root"}, kalam_live.ConfigError, "password"),
    ({"password": "x"}, kalam_live.ConfigError, "user"),
    ({"user": "root", "password": "x", "token": "y"}, kalam_live.ConfigError, "token"),
    ({"user": 5, "password": "x"}, TypeError, "user must be a str, not 5"),
    ({"user": "root", "password": "wrong"}, kalam_live.AuthError, None),
    ({"user": "nobody", "password": "wrong"}, kalam_live.AuthError, None),
    ({"token": "no.such.token"}, kalam_live.AuthError, None),
    ({"token_provider": "text"}, TypeError, "token_provider must be callable"),
    ({"on_connect": 1}, TypeError, "on_connect must be callable"),
    ({"timeouts": {"conect": 1}}, kalam_live.ConfigError, "conect"),
    ({"timeouts": {"connect": -1}}, kalam_live.ConfigError, "connect"),
    ({"timeouts": {"connect": "1"}}, TypeError, "timeouts"),
    ({"reconnect_delay": float("nan")}, kalam_live.ConfigError, "reconnect_delay"),
    ({"reconnect_delay": 5, "reconnect_max_delay": 1}, kalam_live.ConfigError, "reconnect"),
    ({"reconnect_attempts": -1}, TypeError, "reconnect_attempts must be a whole number from 0 to 4294967295, not -1"),
    ({"tls_client_cert": "cert.pem"}, TypeError, "tls_client_cert must be a pair"),
    ({"headers": {"a b": "x"}}, kalam_live.ConfigError, "a b"),
    ({"headers": {"x": 1}}, TypeError, "headers"),
    ({"tls_ca": "/no/such/file"}, kalam_live.ConfigError, "tls_ca: can not read /no/such/file"),
    ({"tls_ca": b"no certificate"}, kalam_live.ConfigError, None),
    ({"proxy": "nonsense"}, kalam_live.ConfigError, "proxy"),
    ({"namespace": ""}, kalam_live.ConfigError, "namespace"),
    ({"max_message_bytes": 1}, kalam_live.ConfigError, "max_message_bytes"),
    ({"nonsense": 1}, TypeError, r"^connect\(\).*nonsense"),
]


@pytest.mark.parametrize(("options", "error", "says"), WRONG, ids=lambda case: str(case)[:40])
def test_what_is_wrong_with_an_option_is_said(
    place: Place, options: dict[str, Any], error: type[Exception], says: str | None
) -> None:
    async def main() -> None:
        given = {"url": None if "urls" in options else place.url, **options}
        with pytest.raises(error, match=says) as raised:
            await kalam_live.connect(**given)
        for secret in ("wrong", "no.such.token"):
            assert secret not in repr(raised.value)

    run(main)


def test_wrong_calls(place: Place) -> None:
    async def main() -> None:
        async with place.connect() as client:
            for sql in (None, 5, b"SELECT 1"):
                with pytest.raises(TypeError, match="sql"):
                    await client.query(sql)  # type: ignore[call-overload]
                with pytest.raises(TypeError, match="sql"):
                    client.live(sql)  # type: ignore[call-overload]
            with pytest.raises(TypeError, match="lastrows"):
                client.live("SELECT * FROM a.b", lastrows=1)  # type: ignore[call-overload]
            for name, value, says in [
                ("last_rows", "1", "last_rows must be a whole number from 0 to 4294967295, not str"),
                ("limit", -3, "limit must be a whole number from 0 to 4294967295, not -3"),
                ("limit", True, "limit must be a whole number"),
                ("verify", "off", "verify must be a bool or a number of seconds, not str"),
                ("order_by", 5, "order_by must be a str, not 5"),
                ("key_columns", "id", "key_columns must be a list of str, not str"),
            ]:
                options: Any = {name: value}
                with pytest.raises(TypeError, match=says):
                    client.live("SELECT * FROM a.b", **options)
            with pytest.raises(TypeError, match="initial_data must be a bool"):
                client.live_events("SELECT * FROM a.b", initial_data=1)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="key_columns"):
                client.live("SELECT * FROM a.b", key_columns=[1])  # type: ignore[list-item]
            with pytest.raises(TypeError, match="from_"):
                client.live("SELECT * FROM a.b", from_=1.5)  # type: ignore[call-overload]
            with pytest.raises(kalam_live.ArgumentError):
                client.live("SELECT * FROM a.b", from_="nonsense")
            with pytest.raises(TypeError, match="statements"):
                await client.batch([1])  # type: ignore[list-item]
            with pytest.raises(TypeError, match="a list of statements, not a str"):
                await client.batch("SELECT 1")
            with pytest.raises(kalam_live.SqlError):
                await client.query("SELEC 1")
            with pytest.raises(kalam_live.AlreadyExistsError):
                await client.execute(f"CREATE NAMESPACE {place.ns}")
            with pytest.raises(kalam_live.NotFoundError) as raised:
                await client.query(f"SELECT * FROM {place.ns}.nothing")
            assert raised.value.code == "not_found"
            assert raised.value.server_code is not None
            assert not raised.value.retryable
            with pytest.raises(KalamError):
                await client.query(f"SELECT * FROM {place.ns}.t WHERE id = $1")

    run(main)


# What live SQL can not have, and what the error says to write instead.
@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT * FROM {t} ORDER BY id", "order_by"),
        ("SELECT * FROM {t} LIMIT 5", "limit"),
        ("SELECT id + 1 FROM {t}", None),
        ("SELECT count(*) FROM {t}", None),
        ("SELECT a.id FROM {t} a JOIN {t} b", None),
        ("DELETE FROM {t}", "SELECT"),
        ("", None),
    ],
)
def test_live_sql_is_checked(place: Place, sql: str, says: str | None) -> None:
    async def main() -> None:
        async with place.connect() as client:
            for stream in (client.live, client.live_events):
                with pytest.raises(kalam_live.SqlError, match=says):
                    await anext(stream(sql.format(t=f"{place.ns}.t")))
            with pytest.raises(kalam_live.ArgumentError):
                await client.live_table(f"{place.ns}.t WHERE id = 1")
            with pytest.raises(kalam_live.SqlError, match="namespace"):
                await client.live("SELECT * FROM t")
            with pytest.raises(kalam_live.NotFoundError):
                await client.live(f"SELECT * FROM {place.ns}.nothing")
            with pytest.raises(kalam_live.NotFoundError):
                async for _ in client.live_events(f"SELECT * FROM {place.ns}.nothing"):
                    pass

    run(main)


def test_errors() -> None:
    from kalam_live import _errors, _native

    for code in _native.error_codes():
        error = _errors.make_error(code, "what to do", True, "CODE")
        assert type(error) is not KalamError, code
        assert (error.code, error.message, error.retryable, error.server_code) == (code, "what to do", True, "CODE")
        assert str(error) == "what to do (CODE)"
        import pickle

        again = pickle.loads(pickle.dumps(error))
        assert (type(again), vars(again)) == (type(error), vars(error))
    assert issubclass(kalam_live.TimeoutError, TimeoutError)
    assert issubclass(kalam_live.DisconnectedError, ConnectionError)


def test_a_token(place: Place) -> None:
    import json
    import urllib.request

    body = json.dumps({"user": "root", "password": PASSWORD}).encode()
    request = urllib.request.Request(f"{place.url}/v1/api/auth/login", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        token = json.load(response)["access_token"]

    async def main() -> None:
        async with kalam_live.connect(place.url, token=token) as client:
            assert len(await client.query(f"SELECT * FROM {place.ns}.t")) == 0

    run(main)
