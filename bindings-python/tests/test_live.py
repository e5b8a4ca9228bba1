"""Live rows in an event loop."""

from __future__ import annotations

import asyncio
import gc
import logging
from dataclasses import dataclass
from typing import Any

import pytest

import kalam_live
from conftest import Place, run
from kalam_live import Insert, Remove, Reset, Row, Rows, Update


def replay(before: list[Row], rows: Rows[Row]) -> list[Row]:
    """What ``changes`` make of the snapshot before."""
    after = list(before)
    for change in rows.changes:
        match change:
            case Reset():
                return list(rows)
            case Insert(index, row):
                after.insert(index, row)
            case Remove(index, row):
                assert after.pop(index) is row
            case Update(index, row, old):
                assert after[index] is old
                after[index] = row
    return after


def test_rows_follow_the_table(place: Place) -> None:
    async def main() -> None:
        table = f"{place.ns}.t"
        async with place.connect() as client, client.live(f"SELECT id, v FROM {table} WHERE id < 100") as live:
            rows = await anext(live)
            assert (rows, rows.changes, rows.phase) == ([], (Reset(),), "live")
            before: list[Row] = []
            for statement, expected in [
                ("INSERT INTO {t} VALUES (1, 'a'), (2, 'b'), (3, 'c')", {1: "a", 2: "b", 3: "c"}),
                ("UPDATE {t} SET v = 'B' WHERE id = 2", {1: "a", 2: "B", 3: "c"}),
                ("DELETE FROM {t} WHERE id = 1", {2: "B", 3: "c"}),
                ("INSERT INTO {t} VALUES (4, NULL), (200, 'outside')", {2: "B", 3: "c", 4: None}),
                ("UPDATE {t} SET v = 'C' WHERE id = 3", {2: "B", 3: "C", 4: None}),
            ]:
                await client.execute(statement.format(t=table))
                while {row["id"]: row["v"] for row in rows} != expected:
                    rows = await anext(live)
                    after = replay(before, rows)
                    assert after == rows
                    assert all(a is b for a, b in zip(after, rows, strict=True))
                    for row in rows:
                        same = [old for old in before if old == row]
                        assert not same or same[0] is row, "an unchanged row is the same object"
                    assert isinstance(rows.last_seq_id, int)
                    before = list(rows)
            assert live.rows is rows

    run(main)


def test_identity_without_looking_at_all_rows(place: Place) -> None:
    async def main() -> None:
        table = f"{place.ns}.t"
        async with place.connect() as client:
            await client.execute(f"INSERT INTO {table} VALUES (1, 'a'), (2, 'b'), (3, 'c')")
            async with client.live(f"SELECT id, v FROM {table}", order_by="id") as live:
                first = await anext(live)
                kept, changed, also_kept = first[0], first[1], first[2]
                await client.execute(f"UPDATE {table} SET v = 'B' WHERE id = 2")
                second = await anext(live)
                assert second[0] is kept
                assert second[1] is not changed
                (update,) = second.changes
                assert isinstance(update, Update)
                assert (update.index, update.old is changed, update.row is second[1]) == (1, True, True)
                assert repr(update) == "Update(index=1, row=Row(id=2, v='B'), old=Row(id=2, v='b'))"
                assert first[1] == changed == {"id": 2, "v": "b"}, "a snapshot does not change"
                assert [row["v"] for row in first] == ["a", "b", "c"]
                assert first[2] is second[2] is also_kept

    run(main)


def test_ways_to_wait(place: Place) -> None:
    async def main() -> None:
        async with place.connect() as client:
            await client.execute(f"INSERT INTO {place.ns}.t VALUES (1, 'a')")
            live = client.live_table(f"{place.ns}.t")
            assert await live is live
            assert await live is live
            rows = live.rows
            assert rows is not None
            assert len(rows) == 1
            assert await anext(live) is rows, "the loop begins with the first rows all the same"
            await client.execute(f"INSERT INTO {place.ns}.t VALUES (2, 'b')")
            while len(live.rows or ()) < 2:
                await asyncio.sleep(0.001)
            await live.close()
            await live.close()
            with pytest.raises(StopAsyncIteration):
                await anext(live)
            closed = client.live_table(f"{place.ns}.t")
            await closed.close()
            with pytest.raises(kalam_live.ClosedError):
                await closed

    run(main)


def test_closing_wakes_the_loop(place: Place) -> None:
    async def main() -> None:
        async with place.connect() as client:
            for close in ("live", "client"):
                live = await client.live(f"SELECT * FROM {place.ns}.t")

                async def follow(live: kalam_live.LiveRows[Row] = live) -> str:
                    async for _ in live:
                        pass
                    return "ended"

                follower = asyncio.create_task(follow())
                await asyncio.sleep(0)
                await (live.close() if close == "live" else client.close())
                assert await follower == "ended"

    run(main)


def test_leaving_the_loop_ends_the_subscription(place: Place) -> None:
    async def main() -> None:
        async with place.connect() as client:
            async for _ in client.live(f"SELECT * FROM {place.ns}.t"):
                break
            gc.collect()
            while await client.subscriptions():
                await asyncio.sleep(0)

    run(main)


def test_options(place: Place) -> None:
    async def main() -> None:
        table = f"{place.ns}.t"
        async with place.connect() as client:
            await client.execute(f"INSERT INTO {table} VALUES " + ", ".join(f"({n}, 'v{n % 10}')" for n in range(100)))

            async def first(**options: Any) -> list[int]:
                async for rows in client.live(f"SELECT id FROM {table}", **options):
                    return [row["id"] for row in rows]
                return []

            assert await first(order_by="v DESC, id", limit=3) == [9, 19, 29]
            assert await first(limit=2) == [98, 99]
            assert sorted(await first(batch_size=7)) == list(range(100))
            assert sorted(await first(last_rows=5)) == [95, 96, 97, 98, 99]
            assert len(await first(key_columns=["id"])) == 100
            for verify in (True, False, 2.5):
                assert len(await first(verify=verify)) == 100
            with pytest.raises(kalam_live.ConfigError, match="verify"):
                await first(verify=-1.0)
            phases = [
                rows.phase
                async for rows in until_live(client.live(f"SELECT id FROM {table}", partial=True, batch_size=9))
            ]
            assert phases[-1] == "live"
            with pytest.raises(kalam_live.ArgumentError):
                await first(last_rows=0)
            with pytest.raises(kalam_live.KalamError, match="nonsense"):
                await first(order_by="id nonsense")

    async def until_live(live: kalam_live.LiveRows[Row]) -> Any:
        async for rows in live:
            yield rows
            if rows.phase == "live":
                return

    run(main)


def test_parameters(place: Place) -> None:
    async def main() -> None:
        async with place.connect() as client:
            tricky = "O'Hara -- $2"
            await client.execute(f"INSERT INTO {place.ns}.t VALUES (1, $1), (2, 'b')", [tricky])
            sql = f"SELECT id, v FROM {place.ns}.t WHERE v = $1 AND id < $2"
            async for rows in client.live(sql, [tricky, 10]):
                assert rows == [{"id": 1, "v": tricky}]
                break
            with pytest.raises(kalam_live.KalamError):
                await client.live(sql, [tricky])

    run(main)


def test_checkpoints(place: Place) -> None:
    async def main() -> None:
        table = f"{place.ns}.t"
        async with place.connect() as client:
            places: list[str] = []

            async def save(checkpoint: str) -> None:
                await asyncio.sleep(0)
                places.append(checkpoint)

            async with client.live(f"SELECT * FROM {table}", on_checkpoint=save) as live:
                await anext(live)
                await client.execute(f"INSERT INTO {table} VALUES (1, 'a')")
                rows = await anext(live)
            assert places[-1] == rows.checkpoint
            assert places[-1].endswith(f":{rows.last_seq_id}")
            await client.execute(f"INSERT INTO {table} VALUES (2, 'b')")
            # A bare number does not say whose it is, and another's is of no use.
            for checkpoint, ids, gaps in (
                (places[-1], [2], 0),
                (rows.last_seq_id, [2], 1),
                (f"another:{rows.last_seq_id}", [1, 2], 1),
            ):
                types: list[str] = []
                async for event in client.live_events(f"SELECT * FROM {table}", from_=checkpoint):
                    types.append(event.type)
                    if event.rows:
                        assert [row["id"] for row in event.rows] == ids
                        assert event.checkpoint == f"{places[-1].partition(':')[0]}:{event.last_seq_id}"
                        break
                assert types.count("gap_possible") == gaps
            async with client.live(f"SELECT * FROM {table}", from_=places[-1]) as live:
                assert (await anext(live)).phase == "partial"

    run(main)


def test_a_callback_that_fails_ends_nothing(place: Place) -> None:
    async def main() -> None:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

        def fail(checkpoint: str) -> None:
            raise RuntimeError("full disk")

        async with place.connect() as client:
            await client.execute(f"INSERT INTO {place.ns}.t VALUES (1, 'a')")
            async with client.live(f"SELECT * FROM {place.ns}.t", on_checkpoint=fail) as live:
                assert len(await anext(live)) == 1
                await client.execute(f"INSERT INTO {place.ns}.t VALUES (2, 'b')")
                assert len(await anext(live)) == 2
        assert [str(context["exception"]) for context in told] == ["full disk"] * 2

    run(main)


def test_a_slow_loop_gets_the_newest_state(place: Place) -> None:
    async def main() -> None:
        async with place.connect() as client, client.live(f"SELECT * FROM {place.ns}.t", order_by="id") as live:
            before = list(await anext(live))
            for number in range(50):
                await client.execute(f"INSERT INTO {place.ns}.t VALUES ({number}, 'x')")
                if number % 7 == 0:
                    rows = await anext(live)
                    before = replay(before, rows)
                    assert before == rows
            while len(before) < 50:
                before = replay(before, await anext(live))
            assert [row["id"] for row in before] == list(range(50))

    run(main)


def test_the_log_goes_to_logging(caplog: pytest.LogCaptureFixture) -> None:
    """From the thread of the event loop, with the levels of ``logging``."""

    async def main() -> None:
        async with kalam_live.connect() as client:
            await client.query("SELECT 1")

    caplog.set_level(logging.WARNING, "kalam_live")
    run(main)
    assert caplog.records == []
    caplog.set_level(logging.INFO, "kalam_live")
    run(main)
    assert "stopping" in [record.message for record in caplog.records if record.name == "kalam_live.embedded.server"]
    assert {record.threadName for record in caplog.records} == {"MainThread"}


@dataclass
class Task:
    id: int
    v: str | None


def test_models_keep_their_identity(place: Place) -> None:
    async def main() -> None:
        async with place.connect() as client:
            await client.execute(f"INSERT INTO {place.ns}.t VALUES (1, 'a'), (2, 'b')")
            async with client.live(f"SELECT id, v FROM {place.ns}.t", model=Task, order_by="id") as live:
                first = await anext(live)
                assert list(first) == [Task(1, "a"), Task(2, "b")]
                await client.execute(f"UPDATE {place.ns}.t SET v = 'B' WHERE id = 2")
                second = await anext(live)
                assert second[0] is first[0]
                assert isinstance(second.changes[0], Update)
                assert (second.changes[0].row, second.changes[0].old) == (Task(2, "B"), Task(2, "b"))
                assert second.to_dicts() == [{"id": 1, "v": "a"}, {"id": 2, "v": "B"}]

    run(main)
