"""The wake mechanism: what waits is woken, and a wait that is given up loses nothing."""

from __future__ import annotations

import asyncio
import gc
import selectors
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

import kalam_live
from conftest import Place, run


def test_a_cancelled_wait_loses_nothing(place: Place) -> None:
    async def main() -> None:
        async with place.connect() as client:
            seen: list[int] = []
            async with client.live_events(f"SELECT * FROM {place.ns}.t") as events:
                writer = asyncio.create_task(write(client, 50))
                while len(seen) < 50:
                    # Cancelled before, during and after the wake-up, as it happens.
                    wait = asyncio.ensure_future(anext(events))
                    for _ in range(len(seen) % 4):
                        await asyncio.sleep(0)
                    wait.cancel()
                    try:
                        event = await wait
                    except asyncio.CancelledError:
                        event = await anext(events)
                    seen.extend(row["id"] for row in event.rows)
                await writer
            assert seen == list(range(50))

    async def write(client: kalam_live.Client, count: int) -> None:
        for number in range(count):
            await client.execute(f"INSERT INTO {place.ns}.t VALUES ($1, 'x')", [number])

    run(main)


def test_a_timeout_loses_nothing(place: Place) -> None:
    async def main() -> None:
        async with place.connect() as client, client.live(f"SELECT * FROM {place.ns}.t") as live:
            assert await anext(live) == []
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(live), 0.01)
            await client.execute(f"INSERT INTO {place.ns}.t VALUES (1, 'one')")
            assert [row["id"] for row in await anext(live)] == [1]

    run(main)


def test_a_cancelled_operation_is_given_up(place: Place) -> None:
    async def main() -> None:
        async with place.connect() as client:
            query = asyncio.create_task(client.query("SELECT 1"))
            await asyncio.sleep(0)
            query.cancel()
            with pytest.raises(asyncio.CancelledError):
                await query
            assert len(await client.query(f"SELECT * FROM {place.ns}.t")) == 0

    run(main)


def test_many_waits_at_once(place: Place) -> None:
    async def main() -> None:
        async with place.connect() as client:
            lives = [client.live(f"SELECT * FROM {place.ns}.t") for _ in range(20)]
            await asyncio.gather(*lives)
            firsts = await asyncio.gather(*(anext(live) for live in lives))
            assert all(first == [] for first in firsts)
            nexts = asyncio.gather(*(anext(live) for live in lives))
            counts = await asyncio.gather(*(client.query("SELECT 1") for _ in range(50)))
            assert len(counts) == 50
            await client.execute(f"INSERT INTO {place.ns}.t VALUES (1, 'one')")
            assert all(len(rows) == 1 for rows in await nexts)

    run(main)


def test_one_reader_at_a_time(place: Place) -> None:
    async def main() -> None:
        async with place.connect() as client, client.live(f"SELECT * FROM {place.ns}.t") as live:
            await anext(live)
            waiting = asyncio.ensure_future(anext(live))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="another task"):
                await anext(live)
            await client.execute(f"INSERT INTO {place.ns}.t VALUES (1, 'one')")
            assert len(await waiting) == 1

    run(main)


def test_a_busy_loop_lets_others_run(place: Place) -> None:
    """A body that always finds something new does not starve the other tasks, nor its own cancellation."""

    async def main() -> None:
        async with place.connect() as client:
            done = asyncio.Event()

            async def follow() -> None:
                async for event in client.live_events(f"SELECT * FROM {place.ns}.t"):
                    if event.type == "initial_data_batch":
                        await client.execute(f"INSERT INTO {place.ns}.t VALUES (1, 'x')")
                    if event.type == "insert":
                        # Each event makes the next one, which is there before the loop asks for it.
                        await client.execute(f"INSERT INTO {place.ns}.t VALUES ($1, 'x')", [event.rows[0]["id"] + 1])
                        if event.rows[0]["id"] == 20:
                            done.set()

            follower = asyncio.create_task(follow())
            await done.wait()
            follower.cancel()
            with pytest.raises(asyncio.CancelledError):
                await follower

    run(main)


def test_several_loops_use_one_client(place: Place) -> None:
    async def count(client: kalam_live.Client) -> int:
        async for rows in client.live(f"SELECT * FROM {place.ns}.t"):
            return len(rows)
        return -1

    async def main() -> None:
        async with place.connect() as client:
            counts: list[int] = []
            threads = [threading.Thread(target=lambda: counts.append(asyncio.run(count(client)))) for _ in range(4)]
            for thread in threads:
                thread.start()
            assert await count(client) == 0
            await asyncio.gather(*(asyncio.to_thread(thread.join) for thread in threads))
            assert counts == [0] * 4

    run(main)


class NoReaders(asyncio.SelectorEventLoop):
    """A loop that can not watch file descriptors, like the default one of Windows."""

    def __init__(self) -> None:
        super().__init__(selectors.DefaultSelector())

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> Any:
        raise NotImplementedError


def run_in(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, None]) -> None:
    try:
        loop.run_until_complete(asyncio.wait_for(main, 30))
    finally:
        loop.close()


def exercise(place: Place) -> Coroutine[Any, Any, None]:
    async def main() -> None:
        async with place.connect() as client, client.live(f"SELECT * FROM {place.ns}.t") as live:
            for number in range(20):
                assert len(await anext(live)) == number
                await client.execute(f"INSERT INTO {place.ns}.t VALUES ($1, 'x')", [number])

    return main()


def test_a_loop_without_readers(place: Place) -> None:
    def stand_ins() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "kalam-live-wake"]

    run_in(NoReaders(), exercise(place))
    gc.collect()
    for thread in threading.enumerate():
        if thread.name == "kalam-live-wake":
            thread.join(30)
    assert stand_ins() == []


def test_uvloop(place: Place) -> None:
    uvloop = pytest.importorskip("uvloop")
    run_in(uvloop.new_event_loop(), exercise(place))
