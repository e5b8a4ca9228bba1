"""What a user would write by hand: websockets, httpx, orjson and a dict. No reconnect, no resume, no checks."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import websockets
from control import Workload
from stopwatch import Stopwatch, resident_bytes

BATCH = 1000

Row = dict[str, Any]


async def connect(url: str) -> websockets.ClientConnection:
    socket = await websockets.connect(
        url.replace("http", "ws", 1) + "/v1/ws?compression=none",
        additional_headers={"Authorization": "Bearer bench-token"},
        compression=None,
        max_size=None,
    )
    if (await receive(socket))["type"] != "auth_success":
        raise RuntimeError("the server did not accept the token")
    return socket


async def receive(socket: websockets.ClientConnection) -> Row:
    return orjson.loads(await socket.recv(decode=False))


async def send(socket: websockets.ClientConnection, message: Row) -> None:
    await socket.send(orjson.dumps(message), text=True)


async def load(socket: websockets.ClientConnection, sql: str) -> dict[str, Row]:
    """Subscribes and returns the rows of the snapshot by key."""
    rows: dict[str, Row] = {}
    subscription = {"id": "bench-1", "sql": sql, "options": {"batch_size": BATCH}}
    await send(socket, {"type": "subscribe", "subscription": subscription})
    while True:
        frame = await receive(socket)
        if frame["type"] == "subscription_ack":
            continue
        for row in frame["rows"]:
            rows[row["id"]] = row
        control = frame["batch_control"]
        if not control["has_more"]:
            return rows
        last = control["last_seq_id"]
        await send(
            socket,
            {"type": "next_batch", "subscription_id": "bench-1", "last_seq_id": last},
        )


def apply(rows: dict[str, Row], frame: Row) -> None:
    if frame["change_type"] == "delete":
        for row in frame["old_values"]:
            rows.pop(row["id"], None)
    else:
        for row in frame["rows"]:
            rows[row["id"]] = row


async def live(workload: Workload) -> dict[str, float]:
    """Changes applied to the dict until the last one is there; nobody reads the rows."""
    socket = await connect(workload.url)
    before, loading = resident_bytes(), Stopwatch()
    rows = await load(socket, workload.sql)
    loaded, held = loading.read(), resident_bytes() - before
    marker = str(workload.marker_id)
    stopwatch = Stopwatch()
    workload.go()
    while marker not in rows:
        apply(rows, await receive(socket))
    return {
        **stopwatch.read(),
        "snapshot_seconds": loaded["seconds"],
        "snapshot_bytes": held,
    }


async def live_reading(workload: Workload) -> dict[str, float]:
    """A task applies the changes; the loop body is woken when there are some and reads every row."""
    socket = await connect(workload.url)
    rows = await load(socket, workload.sql)
    changed = asyncio.Event()

    async def keep_up_to_date() -> None:
        while True:
            apply(rows, await receive(socket))
            changed.set()

    marker = str(workload.marker_id)
    reader = asyncio.create_task(keep_up_to_date())
    takes = 0
    stopwatch = Stopwatch()
    workload.go()
    while marker not in rows:
        await changed.wait()
        changed.clear()
        takes += 1
        total = 0
        for row in rows.values():
            total += row["n"]
    result = {**stopwatch.read(), "takes": takes}
    reader.cancel()
    return result


async def events(workload: Workload) -> dict[str, float]:
    """Each change seen by the loop body."""

    async def stream() -> AsyncIterator[Row]:
        while True:
            yield await receive(socket)

    socket = await connect(workload.url)
    await load(socket, workload.sql)
    seen = 0
    stopwatch = Stopwatch()
    workload.go()
    async for event in stream():
        seen += event["type"] == "change"
        if seen == workload.changes:
            break
    return stopwatch.read()


async def consume(workload: Workload) -> dict[str, float]:
    """Each record of a topic seen by the loop body, acknowledged batch by batch."""
    headers = {"Authorization": "Bearer bench-token"}
    place = {"topic_id": f"bench.records_{workload.changes}", "group_id": f"hand-{os.getpid()}", "partition_id": 0}
    seen = 0
    async with httpx.AsyncClient(base_url=workload.url, headers=headers) as http:
        stopwatch = Stopwatch()
        while seen < workload.changes:
            wish = {**place, "start": "Earliest", "limit": 100, "timeout_seconds": 20}
            answer = await http.post("/v1/api/topics/consume", json=wish)
            for record in orjson.loads(answer.content)["messages"]:
                orjson.loads(base64.b64decode(record["payload"]))
                seen += 1
            await http.post("/v1/api/topics/ack", json={**place, "upto_offset": seen - 1})
        return stopwatch.read()
