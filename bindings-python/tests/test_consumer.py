"""Consumers of topics."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from datetime import timezone
from pathlib import Path

import pytest

import kalam_live
from conftest import PASSWORD, Place, run
from kalam_live import sync


@pytest.fixture
def topic(place: Place) -> str:
    """A topic that the table `t` feeds."""
    with place.connect_sync() as client:
        client.execute(f"CREATE TOPIC {place.ns}.events")
        for op in ("INSERT", "UPDATE"):
            client.execute(f"ALTER TOPIC {place.ns}.events ADD SOURCE {place.ns}.t ON {op} WITH (payload = 'full')")
    return f"{place.ns}.events"


def insert(place: Place, *ids: int) -> None:
    with place.connect_sync() as client:
        for id in ids:
            client.execute(f"INSERT INTO {place.ns}.t VALUES ($1, $2)", [id, f"row {id}"])


def acked(place: Place, group: str = "g") -> int | None:
    with place.connect_sync() as client:
        sql = "SELECT last_acked_offset AS n FROM system.topic_offsets WHERE topic_id = $1 AND group_id = $2"
        row = client.query_one(sql, [f"{place.ns}.events", group])
        return None if row is None else row["n"]


def test_poll_mark_commit(place: Place, topic: str) -> None:
    insert(place, 9007199254740993, 2)

    async def main() -> None:
        async with place.connect() as client:
            async with client.consumer(topic, "g", start="earliest", auto_commit=False) as consumer:
                records = await consumer.poll()
                while len(records) < 2:
                    records += await consumer.poll()
                first = records[0]
                assert (first.topic, first.partition, first.offset, first.key) == (topic, 0, 0, "9007199254740993")
                assert (first.op, first.user, first.problem) == ("insert", None, None)
                assert first.timestamp.tzinfo is timezone.utc
                assert first.row == {"id": 9007199254740993, "v": "row 9007199254740993"} and first.row is first.row
                assert first.json()["id"] == "9007199254740993" and first.payload.startswith(b"{")
                assert "offset=0" in repr(first)
                consumer.mark_processed(first)
                assert await consumer.commit() == (1, 0)
                assert consumer.offsets() == (2, 1, 0, 1) and consumer.position == 2
            with pytest.raises(kalam_live.ClosedError):
                await consumer.poll()

    run(main)
    assert acked(place) == 0


def test_a_loop_marks_the_record_before(place: Place, topic: str) -> None:
    insert(place, 0, 1, 2)

    async def main() -> None:
        async with place.connect() as client, client.consumer(topic, "g", start="earliest") as consumer:
            with pytest.raises(ZeroDivisionError):
                async for record in consumer:
                    if record.offset == 1:
                        raise ZeroDivisionError

    run(main)
    assert acked(place) == 0, "the second failed in the middle"


def test_a_loop_whose_consumer_is_closed_ends_behind_its_record(place: Place, topic: str) -> None:
    insert(place, 0, 1, 2)

    async def main() -> list[int]:
        async with place.connect() as client:
            consumer = client.consumer(topic, "g", start="earliest")
            seen: list[int] = []
            async for record in consumer:
                seen.append(record.offset)
                if record.offset == 1:
                    await consumer.close()
            return seen

    assert run(main) == [0, 1]
    with place.connect_sync() as client, client.consumer(topic, "g") as consumer:
        for record in consumer:
            consumer.close()
            assert record.offset == 1, "closed before it was finished"


def test_a_cancelled_poll_loses_nothing_and_two_are_refused(place: Place, topic: str) -> None:
    async def main() -> None:
        async with place.connect() as client, client.consumer(topic, "g", start="earliest") as consumer:
            waiting = asyncio.create_task(consumer.poll())
            await asyncio.sleep(0)
            with pytest.raises(kalam_live.ArgumentError):
                await consumer.poll()
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await asyncio.to_thread(insert, place, 0, 1)
            offsets: list[int] = []
            while len(offsets) < 2:
                offsets += [record.offset for record in await consumer.poll()]
            assert offsets == [0, 1]

    run(main)


def test_run(place: Place, topic: str) -> None:
    insert(place, *range(20))
    seen: dict[str | None, list[int]] = {}

    async def main() -> kalam_live.RunSummary:
        stop = asyncio.Event()

        async def handle(record: kalam_live.Record) -> None:
            if record.key == "3":
                raise ValueError("three")
            if record.key == "4":
                await asyncio.sleep(3600)
            seen.setdefault(record.key, []).append(record.offset)
            await asyncio.sleep(0)

        failed: list[tuple[int, str]] = []

        def on_failed(record: kalam_live.Record, error: str) -> kalam_live._consumer.FailedAction:
            failed.append((record.offset, error))
            if len(failed) == 2:
                stop.set()
            return "skip" if record.key == "4" else None

        async with place.connect() as client, client.consumer(topic, "g", start="earliest") as consumer:
            summary = await consumer.run(
                handle,
                concurrency=4,
                max_attempts=2,
                backoff=(0.001, 0.01),
                timeout=0.2,
                on_failed=on_failed,
                dead_letter_topic=f"{place.ns}.dead",
                stop=stop,
            )
            dead = await client.query(f"SELECT source_offset, error, attempts FROM {place.ns}.dead")
            assert dead == [{"source_offset": 3, "error": "ValueError: three", "attempts": 2}]
            assert sorted(offset for offset, _ in failed) == [3, 4]
            assert dict(failed)[4] == "the handler took longer than 0.2 seconds"
        return summary

    summary = run(main)
    assert summary.failed == 2 and summary.handled == len(seen)


def test_handlers_that_fail_in_odd_ways_have_failed(place: Place, topic: str) -> None:
    insert(place, *range(6))

    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    failed: dict[int, str] = {}

    async def main() -> kalam_live.RunSummary:
        stop = asyncio.Event()

        async def handle(record: kalam_live.Record) -> None:
            if record.offset == 0:
                inner = asyncio.ensure_future(asyncio.sleep(3600))
                inner.cancel()
                await inner
            elif record.offset == 1:
                raise ValueError("\udcff")
            elif record.offset == 2:
                raise Odd
            elif record.offset == 3:
                raise TimeoutError("of a socket")
            elif record.offset == 4:
                stop.set()

        def on_failed(record: kalam_live.Record, error: str) -> kalam_live._consumer.FailedAction:
            failed[record.offset] = error
            if record.offset == 3:
                raise asyncio.CancelledError
            return "skip"

        async with place.connect() as client, client.consumer(topic, "g", start="earliest") as consumer:
            return await consumer.run(handle, max_attempts=1, timeout=3600, on_failed=on_failed, stop=stop)

    assert run(main) == (1, 4), "nothing is begun after the stop, though no other task had a turn"
    assert failed == {
        0: "CancelledError",
        1: "ValueError: \\udcff",
        2: "Odd: (its text can not be had)",
        3: "TimeoutError: of a socket",
    }
    assert acked(place) == 2, "the decision about the fourth failed, so it is held"


@pytest.mark.parametrize("answer", ["later", True, b"skip", Exception])
def test_what_on_failed_should_not_answer_ends_the_loop_and_loses_nothing(
    place: Place, topic: str, answer: object
) -> None:
    insert(place, 0, 1, 2)

    def handle(record: kalam_live.Record) -> None:
        handled.append(record.offset)
        if record.offset == 1:
            raise ValueError

    async def main() -> None:
        async with place.connect() as client, client.consumer(topic, "g", start="earliest") as consumer:
            run = consumer.run(handle, max_attempts=1, on_failed=lambda *_: answer)  # type: ignore[arg-type, return-value]
            await asyncio.wait_for(run, 60)

    def without_a_loop() -> None:
        with place.connect_sync() as client, client.consumer(topic, "sync", start="earliest") as consumer:
            consumer.run(handle, max_attempts=1, on_failed=lambda *_: answer)  # type: ignore[arg-type, return-value]

    for group, play in [("g", lambda: run(main)), ("sync", without_a_loop)]:
        handled: list[int] = []
        with pytest.raises(kalam_live.KalamError, match="on_failed gives 'skip', 'hold' or nothing") as error:
            play()
        assert error.value.code == "invalid_argument"
        assert handled == [0, 1]
        assert acked(place, group) == 0, "what failed is not passed, and what follows was not begun"


@pytest.mark.parametrize("auto_commit", [True, False])
def test_run_is_cancelled_with_its_task(place: Place, topic: str, auto_commit: bool) -> None:
    insert(place, 0, 1)

    async def main() -> None:
        handled = asyncio.Event()

        async def handle(record: kalam_live.Record) -> None:
            if record.offset == 1:
                handled.set()
                await asyncio.sleep(3600)

        async with (
            place.connect() as client,
            client.consumer(topic, "g", start="earliest", auto_commit=auto_commit) as consumer,
        ):
            running = asyncio.create_task(consumer.run(handle))
            await handled.wait()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

    run(main)
    assert acked(place) == 0, "what was finished is committed, what was not is not"


def test_without_a_loop(place: Place, topic: str) -> None:
    insert(place, *range(6))
    with place.connect_sync() as client:
        with client.consumer(topic, "g", start="earliest", auto_commit=False) as consumer:
            assert [record.offset for record, _ in zip(consumer, range(3), strict=False)] == [0, 1, 2]
            assert consumer.commit().next_offset == 3  # asked for the fourth, which says that the third is finished
        stop = threading.Event()
        handled: list[int] = []

        def handle(record: kalam_live.Record) -> None:
            handled.append(record.offset)
            if len(handled) == 6:
                stop.set()

        with client.consumer(topic, "other", start=0) as consumer:
            assert consumer.run(handle, concurrency=3, stop=stop) == (6, 0)
        assert sorted(handled) == [0, 1, 2, 3, 4, 5]
        with client.consumer(topic, "other") as consumer:
            consumer.seek(4)
            assert [record.offset for record in consumer.poll(10)] == [4, 5]


def test_a_handler_that_exits_ends_every_thread(place: Place, topic: str) -> None:
    insert(place, *range(6))

    def handle(record: kalam_live.Record) -> None:
        if record.offset == 3:
            raise SystemExit(3)

    with (
        place.connect_sync() as client,
        client.consumer(topic, "g", start="earliest") as consumer,
        pytest.raises(SystemExit),
    ):
        consumer.run(handle, concurrency=3)
    assert acked(place) in (None, 0, 1, 2), "not what exited"


def test_what_is_wrong(place: Place, topic: str) -> None:
    async def main() -> None:
        async with place.connect() as client:
            async with client.consumer(f"{place.ns}.none", "g") as consumer:
                with pytest.raises(kalam_live.NotFoundError):
                    await consumer.poll()
            for wrong in ({"start": "middle"}, {"max_poll_records": 0}, {"poll_timeout": -1.0}):
                with pytest.raises(kalam_live.ConfigError):
                    client.consumer(topic, "g", **wrong)
            async with client.consumer(topic, "g") as consumer:
                with pytest.raises(kalam_live.ConfigError):
                    await consumer.run(print, concurrency=0)
                assert await consumer.poll(0.01) == []

    run(main)


def test_a_broken_payload_does_not_spoil_its_batch(tmp_path: Path) -> None:
    def open_server() -> sync.EmbeddedServer:
        return sync.start_embedded(directory=tmp_path, root_password=PASSWORD)

    with open_server() as server, sync.connect(server.url, user="root", password=PASSWORD) as client:
        for sql in (
            "CREATE NAMESPACE app",
            "CREATE TABLE app.t (id BIGINT PRIMARY KEY, v TEXT)",
            "CREATE TOPIC app.events",
            "ALTER TOPIC app.events ADD SOURCE app.t ON INSERT WITH (payload = 'full')",
            "INSERT INTO app.t VALUES (0, 'a'), (1, 'b'), (2, 'c'), (3, 'd')",
        ):
            client.execute(sql)
    [file] = (file for file in tmp_path.iterdir() if file.read_bytes()[:6] == b"SQLite")
    with closing(sqlite3.connect(file)) as database, database:
        breaks = "UPDATE topic_records SET payload = ? WHERE offset = ?"
        database.execute(breaks, [b"\xff\xfe\x00 no JSON", 1])
        # It says which table it is of, and ends too early.
        database.execute("UPDATE topic_records SET payload = substr(payload, 1, length(payload) - 1) WHERE offset = 2")

    async def main() -> None:
        async with (
            kalam_live.connect(server.url, user="root", password=PASSWORD) as client,
            client.consumer("app.events", "g", start="earliest", auto_commit=False) as consumer,
        ):
            records: list[kalam_live.Record] = []
            while len(records) < 4:
                records += await consumer.poll()
            assert [record.key for record in records] == ["0", "1", "2", "3"]
            assert records[1].payload == b"\xff\xfe\x00 no JSON" and records[1].row is None
            assert records[2].problem and records[2].problem is records[2].problem, "read once"
            with pytest.raises(kalam_live.ProtocolError):
                _ = records[2].row
            assert [record.problem is None for record in records] == [True, True, False, True]
            assert [records[i].row for i in (0, 3)] == [{"id": 0, "v": "a"}, {"id": 3, "v": "d"}]
            assert records[3].row is records[3].row, "read once"
            for record in records:
                consumer.mark_processed(record)
            assert await consumer.commit() == (4, 0)

    with open_server() as server:
        run(main)


def test_types(place: Place, topic: str) -> None:
    with place.connect_sync() as client, client.consumer(topic, "g") as consumer:
        assert isinstance(consumer, sync.Consumer)
