"""How the departures board looks: a table that updates in place, or plain lines when there is no terminal."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections import Counter
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

import kalam_live

STYLES = {"scheduled": "", "delayed": "yellow", "boarding": "green", "cancelled": "red"}
SHOWN_ROWS = 16
PLAIN_LINE_EVERY = 1.0  # seconds


class Board:
    """Shows rows and what changed between them."""

    def __init__(self, title: str, statements: int) -> None:
        self.rows: list[kalam_live.Row] = []
        self._title = title
        self._statements = statements
        self._console = Console()
        self._live = Live(console=self._console, refresh_per_second=12) if self._console.is_terminal else None
        self._totals: Counter[str] = Counter()
        self._news = ""
        self._next_line = 0.0
        self._changed = asyncio.Event()

    def __enter__(self) -> Board:
        self._console.print(
            f"[bold]Departures {self._title}[/bold] · {self._statements:,} statements replayed at speed"
        )
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, rows: kalam_live.Rows) -> None:
        """Takes a new snapshot."""
        self._count(rows)
        self.rows = list(rows)
        self._changed.set()
        if self._live:
            self._live.update(Group(self._table(), Text(self._news, style="dim"), Text(self._summary(), style="dim")))
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + PLAIN_LINE_EVERY
            self._console.print(
                f"{len(rows):4} flights on the board · {self._summary()} · {self._news}", soft_wrap=True
            )

    async def next_change(self) -> None:
        """Waits until the board has changed since the last call."""
        await self._changed.wait()
        self._changed.clear()

    def conclude(self, equal: bool, selected: int) -> bool:
        """Says how the comparison with the SELECT ended."""
        if self._live:
            self._live.stop()  # what is printed while it runs appears above the table
        if equal:
            self._console.print(f"[green]✓[/green] the board equals the SELECT: {selected} rows", highlight=False)
        else:
            self._console.print(
                f"[red]✗[/red] the board has {len(self.rows)} rows that do not equal the SELECT's {selected}"
            )
        return equal

    def _count(self, rows: kalam_live.Rows) -> None:
        changes = [change for change in rows.changes if not isinstance(change, kalam_live.Reset)]
        # With `order_by`, a row whose place changes is removed and inserted again.
        moved = {c.row["id"] for c in changes if isinstance(c, kalam_live.Remove)}
        moved &= {c.row["id"] for c in changes if isinstance(c, kalam_live.Insert)}
        news: list[str] = []
        for change in changes:
            row = change.row
            match change:
                case kalam_live.Remove() if row["id"] not in moved:
                    self._totals["left"] += 1
                    news.append(f"- {row['flight']}")
                case kalam_live.Insert() if row["id"] not in moved:
                    self._totals["appeared"] += 1
                    news.append(f"+ {row['flight']} to {row['destination']}")
                case kalam_live.Insert() | kalam_live.Update():
                    self._totals["updated"] += 1
                    news.append(f"{row['flight']} {row['status']}, {_clock(row['estimated'])}")
                case _:  # the first half of a move
                    pass
        if news:
            more = f" · and {len(news) - 3} more" if len(news) > 3 else ""
            self._news = " · ".join(news[:3]) + more

    def _summary(self) -> str:
        return ", ".join(f"{self._totals[word]:,} {word}" for word in ("appeared", "updated", "left"))

    def _table(self) -> Table:
        table = Table(expand=True, caption=f"{len(self.rows)} flights on the board", caption_justify="left")
        for heading in ("Flight", "Destination", "Scheduled", "Estimated", "Status"):
            table.add_column(heading, no_wrap=True)
        for row in self.rows[:SHOWN_ROWS]:
            late = "" if row["estimated"] == row["scheduled"] else _clock(row["estimated"])
            table.add_row(
                row["flight"],
                row["destination"],
                _clock(row["scheduled"]),
                late,
                row["status"],
                style=STYLES.get(row["status"], ""),
            )
        return table


def _clock(moment: dt.datetime) -> str:
    return f"{moment:%H:%M}"
