"""Events in an event loop."""

from __future__ import annotations

import kalam_live
from conftest import Place, run


def test_every_event_in_order(place: Place) -> None:
    async def main() -> None:
        table = f"{place.ns}.t"
        async with place.connect() as client:
            await client.execute(f"INSERT INTO {table} VALUES (1, 'a')")
            async with client.live_events(f"SELECT id, v FROM {table}", id="mine") as events:
                ack, batch = await anext(events), await anext(events)
                assert (ack.type, ack.rows, ack.subscription_id, ack.has_more) == ("ack", (), "mine", None)
                assert (batch.type, batch.has_more) == ("initial_data_batch", False)
                assert [row.asdict() for row in batch.rows] == [{"id": 1, "v": "a"}]
                assert batch.rows is batch.rows
                await client.execute(f"INSERT INTO {table} VALUES (2, 'b')")
                await client.execute(f"UPDATE {table} SET v = 'B' WHERE id = 2")
                await client.execute(f"DELETE FROM {table} WHERE id = 2")
                insert, update, delete = [await anext(events) for _ in range(3)]
                assert (insert.type, insert.rows[0]["v"], insert.old_rows) == ("insert", "b", ())
                assert (update.type, update.rows[0]["v"], update.old_rows[0]["v"]) == ("update", "B", "b")
                assert (delete.type, delete.rows[0]["v"]) == ("delete", "B")
                assert batch.last_seq_id is not None
                assert insert.last_seq_id is not None
                assert batch.last_seq_id < insert.last_seq_id
                assert repr(insert) == "Event(type=\"insert\", rows=(Row(id=2, v='b'),))"
                assert (insert.dropped, insert.message) == (None, None)
                await events.close()
                assert [event async for event in events] == []

    run(main)


def test_batches(place: Place) -> None:
    async def main() -> None:
        table = f"{place.ns}.t"
        async with place.connect() as client:
            places: list[str] = []
            events = client.live_events(f"SELECT id, v FROM {table}", initial_data=False, on_checkpoint=places.append)
            assert [event.type for event in await events.take()][:1] == ["ack"]
            await client.batch([f"INSERT INTO {table} VALUES ({n}, 'x')" for n in range(100)])
            seen: list[int] = []
            while len(seen) < 100:
                seen.extend(row["id"] for event in await events.take() for row in event.rows)
            assert seen == list(range(100))
            assert len(places) == 100
            await events.close()
            assert await events.take() == []

    run(main)


def test_an_error_is_raised(place: Place) -> None:
    async def main() -> None:
        async with place.connect() as client:
            try:
                async for _ in client.live_events(f"SELECT nothing FROM {place.ns}.t"):
                    pass
            except kalam_live.KalamError as error:
                assert "nothing" in error.message
            else:
                raise AssertionError("a loop over a failed subscription must not just end")

    run(main)


def test_a_slow_reader_is_told(place: Place) -> None:
    """More than the queue holds, while nobody reads: the reader goes on where it was, and sees everything."""

    async def main() -> None:
        table = f"{place.ns}.t"
        async with place.connect() as client, client.live_events(f"SELECT id, v FROM {table}") as events:
            for _ in range(2):
                await anext(events)
            rows, text = 720, "x" * 100_000  # more than the 64 MiB that are held
            for n in range(rows):
                await client.execute(f"INSERT INTO {table} VALUES ($1, $2)", [n, text])
            seen: set[int] = set()
            types: set[str] = set()
            while len(seen) < rows:
                for event in await events.take():
                    types.add(event.type)
                    seen.update(row["id"] for row in event.rows)
                    assert event.type != "lagged" or (event.dropped or 0) > 0
            assert "lagged" in types

    run(main, seconds=120)
