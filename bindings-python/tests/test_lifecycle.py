"""What a process may do with live queries open: end, be interrupted, fork, close its loop. Each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from conftest import PASSWORD, Place

HANG = 60
"""Seconds after which a program that should have ended is given up."""

PRELUDE = """
import asyncio, gc, os, pathlib, sys, threading
import kalam_live
from kalam_live import sync

URL, NS, PASSWORD = os.environ["URL"], os.environ["NS"], os.environ["PASSWORD"]
LIVE = f"SELECT * FROM {NS}.t"
keep = []  # what is still referenced when the interpreter exits

def connect():
    return kalam_live.connect(URL, user="root", password=PASSWORD)

def connect_sync():
    return sync.connect(URL, user="root", password=PASSWORD)

async def open_live(client):
    live = client.live(LIVE)
    keep.append((client, live))
    return await live

def threads():
    names = [task.joinpath("comm").read_text().strip() for task in pathlib.Path("/proc/self/task").iterdir()]
    return [name for name in names if name.startswith("kalam")]
"""


class Program:
    """A Python program that runs in a process of its own."""

    def __init__(self, place: Place, body: str) -> None:
        environment = {**os.environ, "URL": place.url, "NS": place.ns, "PASSWORD": PASSWORD}
        command = [sys.executable, "-X", "dev", "-W", "error", "-c", PRELUDE + textwrap.dedent(body)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)

    def wait_for(self, line: str) -> None:
        """Reads until the program has printed ``line``."""
        assert self.process.stdout is not None
        for printed in self.process.stdout:
            if printed.strip() == line:
                return
        pytest.fail(f"the program ended without printing {line!r}: {self.process.communicate()[1]}")

    def end(self, code: int = 0) -> str:
        """What it printed, after it has ended well and quietly."""
        try:
            out, err = self.process.communicate(timeout=HANG)
        except subprocess.TimeoutExpired:
            self.process.kill()
            pytest.fail(f"the program hangs: {self.process.communicate()}")
        assert (self.process.returncode, err) == (code, "")
        return out


def end(place: Place, body: str) -> str:
    return Program(place, body).end()


def test_importing_starts_no_thread(place: Place) -> None:
    assert end(place, "print(threads())") == "[]\n"


@pytest.mark.parametrize(
    "leave", ["return", "sys.exit(0)", "raise SystemExit", "await client.close()", "del client, live; keep.clear()"]
)
def test_exit_with_a_live_query(place: Place, leave: str) -> None:
    end(
        place,
        f"""
        async def main():
            client = await connect()
            live = await open_live(client)
            {leave}

        asyncio.run(main())
        """,
    )


def test_exit_while_tasks_wait(place: Place) -> None:
    end(
        place,
        """
        async def follow(client):
            async for rows in client.live(LIVE):
                pass

        async def main():
            client = await connect()
            keep.append(client)
            keep.extend(asyncio.create_task(follow(client)) for _ in range(3))
            await open_live(client)

        asyncio.run(main())
        """,
    )


def test_exit_with_an_embedded_server(place: Place) -> None:
    end(
        place,
        """
        async def main():
            client = await kalam_live.connect()
            await client.execute("CREATE NAMESPACE app")
            await client.execute("CREATE TABLE app.t (id BIGINT PRIMARY KEY)")
            keep.append(await client.live("SELECT * FROM app.t"))

        asyncio.run(main())
        """,
    )


def test_exit_with_blocking_waits(place: Place) -> None:
    end(
        place,
        """
        client = connect_sync()
        ready = threading.Semaphore(0)

        def follow():
            for rows in client.live(LIVE):
                ready.release()

        for _ in range(3):
            threading.Thread(target=follow, daemon=True).start()
        for _ in range(3):
            ready.acquire()
        """,
    )


def test_exit_of_a_loop_that_was_never_closed(place: Place) -> None:
    # What the unclosed loop itself warns about in development mode is not ours.
    end(
        place,
        """
        loop = asyncio.new_event_loop()

        async def main():
            await open_live(await connect())

        loop.run_until_complete(main())
        keep.append(loop)
        import warnings
        warnings.simplefilter("ignore", ResourceWarning)
        """,
    )


def test_ctrl_c_in_a_loop(place: Place) -> None:
    program = Program(
        place,
        """
        async def main():
            client = await connect()
            async for rows in client.live(LIVE):
                print("waiting", flush=True)

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted")
        """,
    )
    program.wait_for("waiting")
    program.process.send_signal(signal.SIGINT)
    assert program.end() == "interrupted\n"


@pytest.mark.parametrize("wait", ["for rows in live: pass", "live.next(timeout=3600)"])
def test_ctrl_c_in_a_blocking_wait(place: Place, wait: str) -> None:
    program = Program(
        place,
        f"""
        with connect_sync() as client:
            live = client.live(LIVE)
            next(live)
            try:
                print("waiting", flush=True)
                {wait}
            except KeyboardInterrupt:
                print("interrupted")
        """,
    )
    program.wait_for("waiting")
    program.process.send_signal(signal.SIGINT)
    assert program.end() == "interrupted\n"


def make_events(place: Place) -> None:
    """A topic of three records."""
    with place.connect_sync() as client:
        client.execute(f"CREATE TOPIC {place.ns}.events")
        client.execute(f"ALTER TOPIC {place.ns}.events ADD SOURCE {place.ns}.t ON INSERT WITH (payload = 'full')")
        client.execute(f"INSERT INTO {place.ns}.t VALUES (0, 'a'), (1, 'b'), (2, 'c')")


def last_acked(place: Place) -> object:
    with place.connect_sync() as client:
        sql = "SELECT last_acked_offset AS n FROM system.topic_offsets WHERE topic_id = $1"
        row = client.query_one(sql, [f"{place.ns}.events"])
    assert row is not None
    return row["n"]


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("how", ["async", "blocking"])
def test_ctrl_c_in_a_worker_loop(place: Place, how: str, concurrency: int) -> None:
    make_events(place)
    program = Program(
        place,
        f"""
        CONCURRENCY, TOPIC = {concurrency}, f"{{NS}}.events"

        def blocking(record):
            if record.offset == 2:
                print("waiting", flush=True)
                if "{how}" == "blocking" and threading.current_thread() is threading.main_thread():
                    threading.Event().wait(3600)  # is interrupted in it

        async def main():
            asyncio.get_running_loop().slow_callback_duration = 3600
            async with connect() as client, client.consumer(TOPIC, "g", start="earliest") as consumer:
                await consumer.run(blocking, concurrency=CONCURRENCY)

        def main_blocking():
            with connect_sync() as client, client.consumer(TOPIC, "g", start="earliest") as consumer:
                consumer.run(blocking, concurrency=CONCURRENCY)

        try:
            asyncio.run(main()) if "{how}" == "async" else main_blocking()
        except KeyboardInterrupt:
            print("interrupted")
        """,
    )
    program.wait_for("waiting")
    program.process.send_signal(signal.SIGINT)
    assert program.end() == "interrupted\n"
    # The last one may have been interrupted before it was counted.
    assert last_acked(place) in (1, 2)


def test_a_signal_handler_lets_a_worker_finish(place: Place) -> None:
    make_events(place)
    program = Program(
        place,
        """
        import signal

        async def main():
            loop, stop = asyncio.get_running_loop(), asyncio.Event()
            loop.add_signal_handler(signal.SIGINT, stop.set)

            async def handler(record):
                if record.offset == 1:
                    print("waiting", flush=True)
                    await stop.wait()
                print("handled", record.offset)

            async with connect() as client, client.consumer(f"{NS}.events", "g", start="earliest") as consumer:
                print(await consumer.run(handler, stop=stop))

        asyncio.run(main())
        """,
    )
    program.wait_for("waiting")
    program.process.send_signal(signal.SIGINT)
    assert program.end() == "handled 1\nRunSummary(handled=2, failed=0)\n"
    assert last_acked(place) == 1


def test_a_closed_loop_and_the_next_one(place: Place) -> None:
    out = end(
        place,
        """
        async def first():
            client = await connect()
            live = await open_live(client)
            assert await anext(live) == []
            waiting = asyncio.create_task(anext(live))  # cancelled when the loop ends
            await asyncio.sleep(0)

        async def second():
            client, live = keep[0]
            await client.execute(f"INSERT INTO {NS}.t VALUES (1, 'one')")
            print([row["id"] for row in await anext(live)])

        asyncio.run(first())
        asyncio.run(second())
        """,
    )
    assert out == "[1]\n"


def test_a_fork(place: Place) -> None:
    out = end(
        place,
        """
        async def parent():
            client = await connect()
            await open_live(client)
            return client

        async def child():
            client, live = keep[0]
            for use in (lambda: client.query("SELECT 1"), lambda: anext(live), live.close, lambda: client.live(LIVE)):
                try:
                    await use()
                except kalam_live.ClosedError as error:
                    assert "fork" in error.message
            async with connect() as own:
                await own.execute(f"INSERT INTO {NS}.t VALUES (2, 'from the child')")
                async for rows in own.live(LIVE):
                    print([row["id"] for row in rows], flush=True)
                    break
            own = await connect()
            keep.append(await own.live(LIVE))

        async def after():
            client, live = keep[0]
            async for rows in live:
                if rows:
                    print([row["id"] for row in rows])
                    break

        asyncio.run(parent())
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks with threads
        if (pid := os.fork()) == 0:
            asyncio.run(child())
            sys.exit(0)  # through atexit
        assert os.waitpid(pid, 0)[1] == 0
        asyncio.run(after())
        """,
    )
    assert out == "[2]\n[2]\n"


def test_a_fork_from_inside_the_loop(place: Place) -> None:
    end(
        place,
        """
        async def main():
            asyncio.get_running_loop().slow_callback_duration = 3600  # it waits for the child
            client = await connect()
            live = await open_live(client)
            import warnings
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
            if pid == 0:
                keep.clear()
                del client, live
                gc.collect()
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            await client.execute(f"INSERT INTO {NS}.t VALUES (1, 'one')")
            async for rows in live:
                if rows:
                    break
            await client.close()

        asyncio.run(main())
        """,
    )


def test_multiprocessing_by_fork(place: Place) -> None:
    out = end(
        place,
        """
        import multiprocessing, warnings
        warnings.simplefilter("ignore", DeprecationWarning)

        def work(number):
            with connect_sync() as client:
                return client.execute(f"INSERT INTO {NS}.t VALUES ({number}, 'x')")

        with connect_sync() as client:
            with multiprocessing.get_context("fork").Pool(2) as pool:
                assert pool.map(work, range(4)) == [1] * 4
            print(len(client.query(LIVE)))
        """,
    )
    assert out == "4\n"


def test_the_threads_end_with_the_runtime(place: Place) -> None:
    out = end(
        place,
        """
        with connect_sync() as client:
            client.query("SELECT 1")
            assert threads()
        from kalam_live import _native
        _native.shutdown()
        print(threads())
        with connect_sync() as client:  # begins again
            client.query("SELECT 1")
        """,
    )
    assert out == "[]\n"


def test_waits_end_when_the_runtime_stops(place: Place) -> None:
    out = end(
        place,
        """
        from kalam_live import _native
        client = connect_sync()
        live = client.live(LIVE)
        next(live)
        threading.Thread(target=_native.shutdown).start()
        try:
            next(live)
        except kalam_live.ClosedError as error:
            print("closed")
        try:
            client.query("SELECT 1")
        except kalam_live.KalamError as error:
            print(error.code)
        """,
    )
    assert out.startswith("closed\n")


def test_a_loop_that_stops_and_is_collected(place: Place) -> None:
    """The waker of a loop goes with it, and a task that was waiting is not kept alive."""
    out = end(
        place,
        """
        import weakref

        def run():
            loop = asyncio.new_event_loop()
            async def main():
                async with connect() as client:
                    await client.query("SELECT 1")
            loop.run_until_complete(main())
            loop.close()
            return weakref.ref(loop)

        gone = [run() for _ in range(5)]
        gc.collect()
        before = len(os.listdir("/proc/self/fd"))
        gone += [run() for _ in range(20)]
        gc.collect()
        print([ref() for ref in gone] == [None] * 25, len(os.listdir("/proc/self/fd")) - before)
        """,
    )
    assert out == "True 0\n"
