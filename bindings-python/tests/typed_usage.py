"""What a typed program looks like; pyright checks it, nobody runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

from typing_extensions import assert_type

import kalam_live
from kalam_live import Insert, LiveEvents, LiveRows, QueryResult, Remove, Reset, Row, RowList, Rows, Update, sync


@dataclass
class Task:
    id: int
    title: str


class TaskDict(TypedDict):
    id: int
    title: str


async def with_a_loop() -> None:
    async with kalam_live.connect("http://localhost:2900", user="alice", password="...") as client:
        assert_type(client, kalam_live.Client)
        assert_type(await client.query("SELECT 1"), QueryResult[Row])
        assert_type(await client.query("SELECT 1", [1, "two"], model=Task), QueryResult[Task])
        assert_type(await client.query_one("SELECT 1"), Row | None)
        assert_type(await client.query_one("SELECT 1", model=Task), Task | None)
        assert_type(await client.query_all("SELECT 1", model=TaskDict), RowList[TaskDict])
        assert_type(await client.execute("SELECT 1", (1,)), int)
        assert_type(await client.batch(["SELECT 1", ("SELECT $1", [1])]), int)
        assert_type(client.live("SELECT 1", order_by="id", limit=3), LiveRows[Row])
        assert_type(await client.live("SELECT 1", model=Task), LiveRows[Task])
        assert_type(client.live_events("SELECT 1", from_="1"), LiveEvents)
        async for rows in client.live_table("app.tasks", model=Task):
            assert_type(rows, Rows[Task])
            assert_type(rows[0], Task)
            assert_type(rows[1:], list[Task])
            for change in rows.changes:
                match change:
                    case Insert(index, row):
                        assert_type(index, int)
                        assert_type(row, Task)
                    case Update(_, row, old):
                        assert_type((row, old), tuple[Task, Task])
                    case Remove(row=row):
                        assert_type(row, Task)
                    case Reset():
                        pass
        async for rows in client.live("SELECT 1"):
            assert_type([row["id"] for row in rows], list[Any])
            assert_type(rows[0].asdict(), dict[str, Any])
        async for event in client.live_events("SELECT 1"):
            assert_type(event.rows, tuple[Row, ...])
    client = await kalam_live.connect()
    client.live("SELECT 1", lastrows=1)  # pyright: ignore[reportCallIssue, reportUnknownMemberType]
    kalam_live.connect(usr="x")  # pyright: ignore[reportCallIssue]


def without_a_loop() -> None:
    with sync.connect(token_provider=lambda: "...") as client:
        assert_type(client.query("SELECT 1", model=Task), QueryResult[Task])
        for rows in client.live("SELECT 1", model=Task):
            assert_type(rows, Rows[Task])
        for event in client.live_events("SELECT 1"):
            assert_type(event.type == "insert", bool)
