"""The steps of scenarios about consumers of topics."""

from __future__ import annotations

import asyncio
from typing import Any

import kalam_live


class TopicSteps:
    """Part of the player."""

    def __init__(self) -> None:
        self.consumers: dict[str, kalam_live.Consumer] = {}
        # What each was given, by offset.
        self.given: dict[str, dict[int, kalam_live.Record]] = {}

    async def consumer(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        options = dict(step.get("options", {}))
        if "partition" in options:
            options["partition_id"] = options.pop("partition")
        self.consumers[step["consumer"]] = client.consumer(step["topic"], step["group"], **options)
        self.given[step["consumer"]] = {}

    async def poll(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        expected = step.get("records", [])
        consumer = self.consumers[step["poll"]]
        records = await consumer.poll(step.get("timeout"))
        while len(records) < len(expected):
            records += await consumer.poll(step.get("timeout"))
        compare(records, expected)
        self.given[step["poll"]].update((record.offset, record) for record in records)

    async def iterate(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        records: list[kalam_live.Record] = []
        async with self.consumers[step["iterate"]] as consumer:
            async for record in consumer:
                records.append(record)
                if len(records) == len(step["records"]):
                    if "closes_client" not in step:
                        break
                    await client.close()
        compare(records, step["records"])

    async def mark(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        for offset in step["offsets"]:
            self.consumers[step["mark"]].mark_processed(self.given[step["mark"]][offset])

    async def commit(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        done = await self.consumers[step["commit"]].commit()
        among(done._asdict(), step)

    async def commit_later(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        self.consumers[step["commit_later"]].commit_later()

    async def seek(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        await self.consumers[step["seek"]].seek(step["to"])

    async def position(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        assert self.consumers[step["position"]].position == step["is"], step

    async def offsets(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        assert self.consumers[step["offsets"]].offsets()._asdict() == step["are"], step

    async def run(self, client: kalam_live.Client, step: dict[str, Any]) -> None:
        handled: list[str | None] = []
        failed: list[str | None] = []
        attempts = 0
        stop = asyncio.Event()

        def see(record: kalam_live.Record, where: list[str | None]) -> None:
            where.append(record.key)
            if len(handled) + len(failed) >= step["handled"] + step["failed"]:
                stop.set()

        async def handle(record: kalam_live.Record) -> None:
            nonlocal attempts
            attempts += 1
            if record.key in step.get("fails", ()):
                raise ValueError("on purpose")
            see(record, handled)

        def on_failed(record: kalam_live.Record, error: str) -> Any:
            assert error == "ValueError: on purpose"
            see(record, failed)
            return step.get("on_failed", {}).get(record.key)

        summary = await self.consumers[step["run"]].run(
            handle, backoff=(0.001, 0.005), on_failed=on_failed, stop=stop, **step.get("options", {})
        )
        among({**summary._asdict(), "attempts": attempts, "keys": sorted(map(str, handled))}, step)


def among(ours: dict[str, Any], step: dict[str, Any]) -> None:
    """Compares those of our values that the step names."""
    named = {name: value for name, value in ours.items() if name in step}
    assert named == {name: step[name] for name in named}, step


def compare(records: list[kalam_live.Record], expected: list[dict[str, Any]]) -> None:
    """Compares what is named of each record."""
    assert [record.offset for record in records] == [named["offset"] for named in expected]
    for record, named in zip(records, expected, strict=True):
        ours = {name: getattr(record, name) for name in named if name not in ("row", "problem")}
        if "problem" in named:
            ours["problem"] = record.problem is not None
        if "row" in named:
            row = None if record.problem else record.row
            ours["row"] = None if row is None else list(row.values())
        assert ours == named
