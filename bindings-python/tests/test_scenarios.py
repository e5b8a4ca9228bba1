"""Plays ``tests/scenarios`` through the public API, against the embedded server or the one at ``KALAM_TEST_URL``."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest

import kalam_live
from conftest import PASSWORD, run
from kalam_live import sync
from test_live import replay
from topic_steps import TopicSteps

SCENARIOS = sorted((Path(__file__).parents[2] / "tests" / "scenarios").glob("*.json"))
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
_numbers = itertools.count(1)


class Target(NamedTuple):
    url: str
    user: str
    password: str


@contextmanager
def target(server: sync.EmbeddedServer, topic_visibility: float | None) -> Iterator[Target]:
    url = os.environ.get("KALAM_TEST_URL")
    if url:
        if topic_visibility is not None:
            pytest.skip("its visibility timeout is not known")
        yield Target(url, os.environ["KALAM_TEST_USER"], os.environ["KALAM_TEST_PASSWORD"])
    elif topic_visibility is None:
        yield Target(server.url, "root", PASSWORD)
    else:
        with sync.start_embedded(root_password=PASSWORD, topic_visibility=topic_visibility) as own:
            yield Target(own.url, "root", PASSWORD)


def test_there_are_scenarios() -> None:
    assert SCENARIOS


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(path: Path, server: sync.EmbeddedServer) -> None:
    ns = f"s{os.getpid()}_{next(_numbers)}"
    scenario = json.loads(path.read_text().replace("{ns}", ns), object_hook=with_bytes)

    async def main(target: Target) -> None:
        async with kalam_live.connect(target.url, user=target.user, password=target.password) as client:
            await client.execute(f"CREATE NAMESPACE {ns}")
            player = Player(target, client, ns)
            here = "incomplete" if os.environ.get("KALAM_TEST_URL") else "complete"
            try:
                for step in scenario["steps"]:
                    if step.get("only", here) != here:
                        continue
                    await player.play(step)
            finally:
                await player.leave()
                await client.execute(f"DROP NAMESPACE {ns} CASCADE")

    with target(server, scenario.get("topic_visibility")) as there:
        run(lambda: main(there), seconds=120)


def to_wire(value: Any, column_type: str) -> Any:
    """A cell as the wire writes it, which only the Python value of its column type becomes."""
    match column_type.partition("(")[0], value:
        case _, None:
            return None
        case "BOOLEAN", bool():
            return value
        case "SMALLINT" | "INT", int():
            return value
        case "BIGINT", int():
            return str(value)
        case "FLOAT" | "DOUBLE", float():
            return value
        case "DECIMAL", Decimal():
            return str(value)
        case "TEXT", str():
            return value
        case "TIMESTAMP" | "DATETIME", dt.datetime():
            return (value - EPOCH) // dt.timedelta(microseconds=1)
        case "DATE", dt.date():
            return (value - EPOCH.date()).days
        case "TIME", dt.time():
            seconds = (value.hour * 60 + value.minute) * 60 + value.second
            return seconds * 1_000_000 + value.microsecond
        case "UUID", UUID():
            return str(value)
        case "JSON", _:
            return value
        case "BYTES", bytes():
            return list(value)
    raise AssertionError(f"{value!r} is not what a {column_type} column gives")


def with_bytes(value: dict[str, Any]) -> Any:
    """``{"bytes": [0, 255]}`` among parameters are bytes."""
    return bytes(value["bytes"]) if isinstance(value.get("bytes"), list) else value


def content(file: dict[str, Any]) -> bytes:
    return file["text"].encode() if "text" in file else bytes(n * 31 % 251 for n in range(file["bytes"]))


class Player(TopicSteps):
    """The state of one scenario."""

    def __init__(self, target: Target, client: kalam_live.Client, ns: str) -> None:
        super().__init__()
        self.target = target
        self.ns = ns
        self.clients: dict[str | None, kalam_live.Client] = {None: client}
        self.lives: dict[str, kalam_live.LiveRows[kalam_live.Row]] = {}
        self.shown: dict[str, kalam_live.Rows[kalam_live.Row]] = {}
        self.streams: dict[str, kalam_live.LiveEvents] = {}
        self.checkpoints: dict[str, str] = {}
        self.kept: dict[str, str] = {}

    async def leave(self) -> None:
        for client in list(self.clients.values())[1:]:
            await client.close()

    async def play(self, step: dict[str, Any]) -> None:
        what = next(iter(step))
        expected = step.get("error")
        try:
            await getattr(self, what)(self.clients[step.get("on")], step)
        except kalam_live.KalamError as error:
            assert error.code == expected, (step, error)
        else:
            assert expected is None, f"{step} should fail"

    # Statements.

    async def execute(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        affected = await client.execute(step["execute"], step.get("params"))
        assert affected == step.get("affected", affected), step

    async def fill(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        for start in range(step["from"], step["to"], 300):
            values = ", ".join(f"({n}, 'v{n}')" for n in range(start, min(start + 300, step["to"])))
            await client.execute(f"INSERT INTO {step['fill']} (id, v) VALUES {values}")

    async def query(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        queries = client.as_user(step["as_user"]) if "as_user" in step else client
        result = await queries.query(step["query"], step.get("params"))
        types = [column.type for column in result.columns]
        assert types == step.get("types", types)
        names = [column.name for column in result.columns]
        assert names == step.get("columns", names)
        if "rows" in step:
            assert [cells(row, result.columns) for row in result] == step["rows"]

    async def query_one(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        row = await client.query_one(step["query_one"], step.get("params"))
        assert (None if row is None else list(row.values())) == step["row"]

    async def query_all(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        rows = await client.query_all(step["query_all"])
        assert (len(rows), len({row[0] for row in rows})) == (step["count"], step["count"])

    async def batch(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        affected = await client.batch(step["batch"])
        assert affected == sum(step["affected"])

    async def execute_with_files(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        files = {
            placeholder: kalam_live.FileUpload(content(file), file["name"], file.get("mime"))
            for placeholder, file in step["files"].items()
        }
        told: list[kalam_live.UploadProgress] = []
        affected = await client.execute_with_files(
            step["execute_with_files"], step.get("params"), files=files, on_progress=told.append
        )
        total = sum(len(file.content) for file in files.values())
        assert (affected, told[-1]) == (step["affected"], (total, total)), step

    async def download_file(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        row = await client.query_one(step["download_file"])
        assert row is not None
        download = await client.download_file(row[0], step["table"])
        assert (row[0].name, download.mime) == (step["name"], step["mime"])
        assert download.content == content(step)

    # Subscriptions.

    def options(self, step: dict[str, Any]) -> dict[str, Any]:
        options = dict(step.get("options", {}))
        place = options.pop("from", None)
        if place is not None:
            options["from_"] = self.kept[place["checkpoint"]] if isinstance(place, dict) else place
        name = step[next(iter(step))]
        options["on_checkpoint"] = lambda checkpoint: self.checkpoints.update({name: checkpoint})
        return options

    async def live(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        live = client.live(step["sql"], step.get("params"), **self.options(step))
        self.lives[step["live"]] = await live

    async def live_table(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        live = client.live_table(step["table"], **self.options(step))
        self.lives[step["live_table"]] = await live

    async def live_events(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        events = client.live_events(step["sql"], step.get("params"), **self.options(step))
        if "error" in step:
            await anext(events)
        self.streams[step["live_events"]] = events

    async def rows(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        name = step["rows"]
        expected: list[Any] = step.get("are", [])
        in_order = "equal_select" not in step
        if not in_order:
            selected = await client.query_all(step["equal_select"])
            expected = sorted(list(row.values()) for row in selected)

        def shown() -> list[Any] | None:
            rows = self.shown.get(name)
            if rows is None:
                return None
            return (
                [cells(row, rows.columns) for row in rows] if in_order else sorted(list(row.values()) for row in rows)
            )

        async def follow() -> None:
            while shown() != expected or self.shown[name].phase == "loading":
                await self.next_rows(name)

        try:
            await asyncio.wait_for(follow(), 10)
        except asyncio.TimeoutError:
            pytest.fail(f"{step}: the rows stay {shown()}")

    async def next_rows(self, name: str) -> None:
        before = list(self.shown.get(name, ()))
        rows = await anext(self.lives[name])
        after = replay(before, rows)
        assert len(after) == len(rows)
        assert all(a is b for a, b in zip(after, rows, strict=True)), "the changes give the rows"
        self.shown[name] = rows

    async def phase(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        while self.shown[step["phase"]].phase != step["is"]:
            await self.next_rows(step["phase"])

    async def events(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        events = [await anext(self.streams[step["events"]]) for _ in step["types"]]
        assert [event.type for event in events] == step["types"]
        assert [[list(row.values()) for row in event.rows] for event in events] == step["rows"]

    async def checkpoint(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        self.kept[step["as"]] = self.checkpoints[step["checkpoint"]]

    def handle(self, name: str) -> Any:
        return self.lives.get(name) or self.consumers.get(name) or self.streams[name]

    async def close(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        await self.handle(step["close"]).close()

    async def cancel(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        await client.cancel_subscription(step["cancel"])

    async def ended(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        async for _ in self.handle(step["ended"]):
            pass

    async def subscriptions(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        while [s.id for s in await client.subscriptions()] != step["subscriptions"]:
            await asyncio.sleep(0.01)

    # The connection.

    async def client(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        url = self.target.url
        self.clients[step["client"]] = await kalam_live.connect(url, user=step["user"], password=step["password"])

    async def disconnect(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        await client.disconnect()

    async def connect(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        await client.connect()

    async def network_changed(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        client.network_changed()

    async def health(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        assert (await client.health())["status"] == "healthy"

    async def counters(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        assert client.counters()[step["counters"]] == step["is"]

    async def state(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        while client.state != step["state"]:
            await asyncio.sleep(0.01)


def cells(row: kalam_live.Row, columns: Iterable[kalam_live.Column]) -> list[Any]:
    return [to_wire(value, column.type) for value, column in zip(row.values(), columns, strict=True)]
