"""Nothing stays of a subscription, a call or a client that is over."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path

import pytest

import kalam_live
from conftest import Place, run

CYCLES = int(os.environ.get("KALAM_LEAK_CYCLES", "200"))
# Pools of threads and connections grow with what happens at once, here at most this much; a leak grows with the cycles.
POOLS = 8


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Held:
    """What this process holds that a leak would let grow."""

    def __init__(self) -> None:
        gc.collect()
        self.objects = len(gc.get_objects())
        self.threads = len(list(Path("/proc/self/task").iterdir()))
        self.descriptors = len(list(Path("/proc/self/fd").iterdir()))

    def assert_not_more_than(self, before: Held) -> None:
        assert self.objects - before.objects < CYCLES // 2, "less than one object in two cycles"
        assert self.threads <= before.threads + POOLS
        assert self.descriptors <= before.descriptors + POOLS


@pytest.mark.parametrize("leave", ["close", "break", "cancel", "drop before it is open"])
def test_subscriptions(place: Place, leave: str) -> None:
    async def main() -> None:
        sql = f"SELECT * FROM {place.ns}.t"

        async def follow(client: kalam_live.Client) -> None:
            async for _ in client.live(sql):
                if leave == "break":
                    break

        async def cycle(client: kalam_live.Client) -> None:
            if leave == "close":
                async with client.live(sql) as live, client.live_events(sql) as events:
                    assert len(await anext(live)) == 1
                    assert (await anext(events)).type == "ack"
            elif leave == "break":
                await follow(client)
            elif leave == "cancel":
                follower = asyncio.create_task(follow(client))
                await asyncio.sleep(0)
                follower.cancel()
                await asyncio.wait([follower])
            else:
                client.live(sql)

        async with place.connect() as client:
            await client.execute(f"INSERT INTO {place.ns}.t VALUES (1, 'one')")
            for _ in range(20):
                await cycle(client)
            before = Held()
            for _ in range(CYCLES):
                await cycle(client)
            while await client.subscriptions():
                await asyncio.sleep(0.01)
            Held().assert_not_more_than(before)

    run(main, seconds=60 + CYCLES / 10)


def test_clients(place: Place) -> None:
    async def main() -> None:
        async def cycle() -> None:
            client = await place.connect(on_connect=lambda: None)
            await client.query("SELECT 1")
            await client.live(f"SELECT * FROM {place.ns}.t")
            await client.close()

        for _ in range(3):
            await cycle()
        before = Held()
        for _ in range(CYCLES // 10):
            await cycle()
        after = Held()
        assert after.objects - before.objects < CYCLES // 10
        assert after.threads <= before.threads + POOLS

    run(main, seconds=60 + CYCLES / 10)


def test_rows_of_a_long_live_query(place: Place) -> None:
    """The objects of rows that changed or left do not stay with the live query."""

    async def main() -> None:
        async with place.connect() as client, client.live(f"SELECT * FROM {place.ns}.t") as live:
            await anext(live)

            async def cycle(number: int) -> None:
                for statement in (
                    f"INSERT INTO {place.ns}.t VALUES ({number}, 'x')",
                    f"UPDATE {place.ns}.t SET v = 'y' WHERE id = {number}",
                    f"DELETE FROM {place.ns}.t WHERE id = {number}",
                ):
                    await client.execute(statement)
                    rows = await anext(live)
                    assert [row["v"] for row in rows] != None
                    assert rows.changes

            for number in range(10):
                await cycle(number)
            before = resident_bytes()
            for number in range(CYCLES):
                await cycle(number)
            assert resident_bytes() - before < 8 << 20

    run(main, seconds=60 + CYCLES / 10)
