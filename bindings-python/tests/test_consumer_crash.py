"""Workers that are killed at random moments: every record is handled, none is skipped."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from conftest import PASSWORD
from kalam_live import sync

RECORDS = 20_000
KILLS = 50
VISIBILITY = 1.0

WORKER = """
import os, sys
from kalam_live import sync

url, password, log = sys.argv[1:]
out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
with sync.connect(url, user="root", password=password) as client:
    with client.consumer("app.events", "crash", start="earliest", auto_commit=False, poll_timeout=0.3) as consumer:
        while True:
            records = consumer.poll()
            for record in records:
                os.write(out, b"%d\\n" % record.offset)  # handled: it survives the kill
                consumer.mark_processed(record)
            if records:
                done = consumer.commit()
                os.write(out, b"c%d\\n" % done.next_offset)
"""


def test_a_worker_is_killed_fifty_times(tmp_path: Path) -> None:
    log = tmp_path / "handled"
    log.touch()
    rng = random.Random(7)
    with (
        sync.start_embedded(root_password=PASSWORD, topic_visibility=VISIBILITY) as server,
        sync.connect(server.url, user="root", password=PASSWORD) as client,
    ):
        client.execute("CREATE NAMESPACE app")
        client.execute("CREATE TABLE app.t (id BIGINT PRIMARY KEY)")
        client.execute("CREATE TOPIC app.events")
        client.execute("ALTER TOPIC app.events ADD SOURCE app.t ON INSERT WITH (payload = 'full')")
        written = 0

        def write() -> None:
            """The next part of the records: they pass while workers come and go."""
            nonlocal written
            part = min(RECORDS // KILLS, RECORDS - written)
            values = ", ".join(f"({id})" for id in range(written, written + part))
            client.execute(f"INSERT INTO app.t VALUES {values}")
            written += part

        def start() -> subprocess.Popen[bytes]:
            command = [sys.executable, "-c", WORKER, server.url, PASSWORD, str(log)]
            return subprocess.Popen(command, env={**os.environ, "PYTHONUNBUFFERED": "1"})

        def handled() -> int:
            return log.stat().st_size

        for _ in range(KILLS):
            write()
            before = handled()
            worker = start()
            # Killed somewhere in its work: once it has handled something, a random moment later.
            limit = time.monotonic() + 20
            while handled() == before and time.monotonic() < limit:
                time.sleep(0.002)
            time.sleep(rng.random() * 0.02)
            worker.kill()
            worker.wait()
        while written < RECORDS:
            write()
        # One that is left alone finishes what all of them have left.
        worker = start()
        limit = time.monotonic() + 60
        sql = "SELECT last_acked_offset AS n FROM system.topic_offsets"
        while time.monotonic() < limit:
            row = client.query_one(sql)
            if row is not None and row["n"] == RECORDS - 1:
                break
            time.sleep(0.05)
        worker.kill()
        worker.wait()
        row = client.query_one(sql)
        assert row is not None and row["n"] == RECORDS - 1

    seen: set[int] = set()
    count = 0
    for line in log.read_text().split():
        if line.startswith("c"):
            # A commit is told after the fact, so everything before it must have been handled by then.
            committed = int(line[1:])
            assert all(offset in seen for offset in range(max(0, committed - 500), committed)), committed
            continue
        seen.add(int(line))
        count += 1
    assert seen == set(range(RECORDS)), f"{RECORDS - len(seen)} records were skipped"
    print(f"{count} handled for {RECORDS} records: {count - RECORDS} twice or more often, over {KILLS} kills")
