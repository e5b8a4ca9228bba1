"""The Python package, used as a program uses it."""

import asyncio
import os

from control import Workload
from stopwatch import Stopwatch, resident_bytes

from kalam_live import Consumer, Record, connect

BATCH = 1000
CHANGES = ("insert", "update", "delete")


async def live(workload: Workload) -> dict[str, float]:
    """Rows taken as often as the loop gets them, until the last change is there."""
    async with connect(workload.url, token="bench-token") as client:
        await client.query("SELECT 1")
        before, loading = resident_bytes(), Stopwatch()
        live_rows = client.live(workload.sql, batch_size=BATCH)
        rows = await anext(live_rows)
        loaded, held = loading.read(), resident_bytes() - before
        if len(rows) != workload.rows:
            raise RuntimeError(f"{len(rows)} rows after a snapshot of {workload.rows}")
        takes = 0
        stopwatch = Stopwatch()
        workload.go()
        async for rows in live_rows:
            takes += 1
            if rows.last_seq_id == workload.final_seq:
                break
        return {
            **stopwatch.read(),
            "takes": takes,
            "snapshot_seconds": loaded["seconds"],
            "snapshot_bytes": held,
        }


async def live_reading(workload: Workload) -> dict[str, float]:
    """The same, and the loop body reads every row each time."""
    async with connect(workload.url, token="bench-token") as client:
        live_rows = client.live(workload.sql, batch_size=BATCH)
        rows = await anext(live_rows)
        takes = 0
        stopwatch = Stopwatch()
        workload.go()
        async for rows in live_rows:
            takes += 1
            total = 0
            for row in rows:
                total += row["n"]
            if rows.last_seq_id == workload.final_seq:
                break
        return {**stopwatch.read(), "takes": takes}


async def snapshot_read(workload: Workload) -> dict[str, float]:
    """The snapshot, and one look at a column of every row."""
    async with connect(workload.url, token="bench-token") as client:
        await client.query("SELECT 1")
        before, loading = resident_bytes(), Stopwatch()
        rows = await anext(client.live(workload.sql, batch_size=BATCH))
        if sum(row["n"] for row in rows) != 0:
            raise RuntimeError("a snapshot row that has been changed")
        loaded = loading.read()
        return {
            **loaded,
            "snapshot_seconds": loaded["seconds"],
            "snapshot_bytes": resident_bytes() - before,
        }


async def events(workload: Workload) -> dict[str, float]:
    """Each change seen by the loop body."""
    async with connect(workload.url, token="bench-token") as client:
        stream = client.live_events(workload.sql, batch_size=BATCH)
        async for event in stream:
            if event.type == "initial_data_batch" and not event.has_more:
                break
        seen = 0
        stopwatch = Stopwatch()
        workload.go()
        async for event in stream:
            if event.type not in CHANGES:
                raise RuntimeError(f"unexpected event after {seen} changes: {event}")
            seen += 1
            if seen == workload.changes:
                break
        return stopwatch.read()


async def consume(workload: Workload) -> dict[str, float]:
    """Each record of a topic seen by the loop body, committed by itself."""
    async with connect(workload.url, token="bench-token") as client:
        await client.query("SELECT 1")
        stopwatch = Stopwatch()
        async with client.consumer(*_topic(workload), start="earliest") as consumer:
            async for record in consumer:
                if record.offset == workload.changes - 1:
                    consumer.mark_processed(record)
                    break
            await _committed(consumer, workload)
            return stopwatch.read()


async def consume_run(workload: Workload) -> dict[str, float]:
    """Each record handled by a handler that does nothing."""
    stop = asyncio.Event()

    async def handle(record: Record) -> None:
        if record.offset == workload.changes - 1:
            stop.set()

    async with connect(workload.url, token="bench-token") as client:
        await client.query("SELECT 1")
        stopwatch = Stopwatch()
        async with client.consumer(*_topic(workload), start="earliest") as consumer:
            await consumer.run(handle, stop=stop)
            await _committed(consumer, workload)
            return stopwatch.read()


def _topic(workload: Workload) -> tuple[str, str]:
    return f"bench.records_{workload.changes}", f"ours-{os.getpid()}"


async def _committed(consumer: Consumer, workload: Workload) -> None:
    if (await consumer.commit()).next_offset != workload.changes:
        raise RuntimeError(f"not everything is committed: {consumer.offsets()}")
