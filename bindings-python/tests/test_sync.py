"""The blocking client."""

from __future__ import annotations

import threading

import pytest

import kalam_live
from conftest import Place
from kalam_live import sync


def test_the_first_program() -> None:
    with sync.connect() as client:
        client.execute("CREATE NAMESPACE app")
        client.execute("CREATE TABLE app.messages (id BIGINT PRIMARY KEY, body TEXT)")
        client.execute("INSERT INTO app.messages VALUES ($1, $2)", [1, "hello"])
        for rows in client.live("SELECT * FROM app.messages"):
            assert rows == [{"id": 1, "body": "hello"}]
            break


def test_every_call(place: Place) -> None:
    table = f"{place.ns}.t"
    client = place.connect_sync()
    assert client.state == "connected"
    assert client.execute(f"INSERT INTO {table} VALUES (1, 'a')") == 1
    assert client.batch([(f"INSERT INTO {table} VALUES ($1, $2)", (2, "b")), f"DELETE FROM {table} WHERE id = 1"]) == 2
    assert client.query(f"SELECT id, v FROM {table}") == [{"id": 2, "v": "b"}]
    assert client.query_one(f"SELECT v FROM {table} WHERE id = $1", [2]) == {"v": "b"}
    assert client.query_one(f"SELECT v FROM {table} WHERE id = $1", [3]) is None
    assert len(client.query_all(f"SELECT * FROM {table}")) == 1
    assert client.as_user("root").query_one(f"SELECT v FROM {table}") == {"v": "b"}
    assert client.health()["status"] == "healthy"
    live = client.live_table(table, id="mine")
    assert [row["v"] for row in next(live)] == ["b"]
    assert [subscription.id for subscription in client.subscriptions()] == ["mine"] == [live.id]
    client.cancel_subscription("mine")
    assert list(live) == []
    with pytest.raises(kalam_live.NotFoundError):
        client.cancel_subscription("mine")
    assert client.counters()["connects"] == 1
    client.disconnect()
    assert client.state == "idle"
    client.network_changed()
    client.connect()
    client.close()
    client.close()
    with pytest.raises(kalam_live.ClosedError):
        client.query("SELECT 1")


def test_live_rows(place: Place) -> None:
    table = f"{place.ns}.t"
    places: list[str] = []
    with place.connect_sync() as client, client.live(f"SELECT * FROM {table}", on_checkpoint=places.append) as live:
        assert live.rows is None or live.rows == []
        if live.rows is None:
            assert next(live) == []
        with pytest.raises(kalam_live.TimeoutError):
            live.next(timeout=0.01)
        with pytest.raises(TimeoutError):
            live.next(timeout=0)
        client.execute(f"INSERT INTO {table} VALUES (1, 'a')")
        rows = live.next(timeout=30)
        assert rows == [{"id": 1, "v": "a"}]
        assert places[-1] == rows.checkpoint
        assert live.rows is rows
        live.close()
        assert list(live) == []


def test_live_events(place: Place) -> None:
    table = f"{place.ns}.t"
    with place.connect_sync() as client, client.live_events(f"SELECT * FROM {table}") as events:
        assert [next(events).type, next(events).type] == ["ack", "initial_data_batch"]
        with pytest.raises(kalam_live.TimeoutError):
            events.next(timeout=0.01)
        client.execute(f"INSERT INTO {table} VALUES (1, 'a'), (2, 'b')")
        seen = [row["id"] for event in events.take() for row in event.rows]
        while len(seen) < 2:
            seen.extend(row["id"] for event in events.take(timeout=30) for row in event.rows)
        assert seen == [1, 2]
        events.close()
        assert events.take() == []
        with pytest.raises(StopIteration):
            next(events)


def test_closing_from_another_thread_ends_the_loop(place: Place) -> None:
    with place.connect_sync() as client:
        live = client.live(f"SELECT * FROM {place.ns}.t")
        next(live)
        closer = threading.Thread(target=live.close)
        closer.start()
        assert list(live) == []
        closer.join()


def test_a_callback_that_fails_ends_nothing(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    def fail(checkpoint: str) -> None:
        raise RuntimeError("full disk")

    with place.connect_sync() as client:
        client.execute(f"INSERT INTO {place.ns}.t VALUES (1, 'a')")
        assert len(next(client.live(f"SELECT * FROM {place.ns}.t", on_checkpoint=fail))) == 1
    assert "full disk" in caplog.text


def test_inside_an_event_loop(place: Place) -> None:
    """It blocks the loop, as it says, but it works."""
    import asyncio

    async def main() -> int:
        with place.connect_sync() as client:
            return len(client.query(f"SELECT * FROM {place.ns}.t"))

    assert asyncio.run(main()) == 0
