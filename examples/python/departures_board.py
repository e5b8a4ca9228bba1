"""A departures board that is always right: `make demo`.

One task replays a real day of departures into the table ``air.departures`` (flights are announced, estimates change,
departed flights leave the filter, cancelled ones are deleted). Another shows what

    async for rows in client.live("SELECT ... FROM air.departures WHERE status <> 'departed'")

sees. At the end the board is compared with the same SELECT.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import sys
import time
from collections.abc import Iterable

import kalam_live
from board import Board
from flights import SCHEMA, TABLE, Step, read_day, timeline

COLUMNS = "id, flight, destination, scheduled, estimated, status"
ON_THE_BOARD = f"SELECT {COLUMNS} FROM {TABLE} WHERE status <> 'departed'"


async def replay(client: kalam_live.Client, steps: list[Step], seconds: float) -> None:
    """Runs the statements at the pace of the day, which is made to last ``seconds``."""
    first, last = steps[0].at, steps[-1].at
    started = time.monotonic()
    for step in steps:
        due = started + (step.at - first) / (last - first) * seconds
        await asyncio.sleep(due - time.monotonic())
        await client.execute(step.sql, step.params)


async def follow(client: kalam_live.Client, board: Board) -> None:
    """Shows the board for as long as it runs."""
    async for rows in client.live(ON_THE_BOARD, order_by="estimated, flight"):
        board.show(rows)


async def compare(client: kalam_live.Client, board: Board, seconds: float = 5.0) -> bool:
    """Whether the board comes to equal the SELECT within ``seconds``."""
    expected = _by_id(await client.query_all(ON_THE_BOARD))
    try:
        async with asyncio.timeout(seconds):
            while _by_id(board.rows) != expected:
                await board.next_change()
    except TimeoutError:
        pass
    return board.conclude(_by_id(board.rows) == expected, len(expected))


def _by_id(rows: Iterable[kalam_live.Row]) -> dict[int, kalam_live.Row]:
    return {row["id"]: row for row in rows}


async def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--airport", default="JFK", choices=["EWR", "JFK", "LGA"])
    arguments.add_argument("--day", default="2013-07-10", type=dt.date.fromisoformat, help="a day of 2013")
    arguments.add_argument("--seconds", default=14.0, type=float, help="how long the day takes (default: 14)")
    arguments.add_argument("--until", default=19, type=int, help="hour at which the replay stops (default: 19)")
    arguments.add_argument("--url", help="a KalamDB server; without it an embedded one is started")
    arguments.add_argument("--user", help="user name at that server")
    arguments.add_argument("--password", help="password at that server")
    options = arguments.parse_args()

    flights = read_day(options.airport, options.day)
    end = dt.datetime.combine(options.day, dt.time(options.until), dt.timezone.utc)
    steps = [step for step in timeline(flights) if step.at <= end]

    async with kalam_live.connect(options.url, user=options.user, password=options.password) as client:
        await client.execute("CREATE NAMESPACE IF NOT EXISTS air")
        await client.execute(f"DROP TABLE IF EXISTS {TABLE}")
        await client.execute(SCHEMA)
        with Board(f"{options.airport}, {options.day:%-d %B %Y}", len(steps)) as board:
            async with asyncio.TaskGroup() as tasks:  # an error in either ends both
                follower = tasks.create_task(follow(client, board))
                await replay(client, steps, options.seconds)
                equal = await compare(client, board)
                follower.cancel()
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
