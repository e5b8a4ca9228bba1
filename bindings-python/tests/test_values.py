"""Every column type comes as the Python value of its type, and goes back as a parameter."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from array import array
from decimal import Decimal
from typing import Any

import pytest

import kalam_live
from conftest import Place

UTC = dt.timezone.utc
PLUS_2 = dt.timezone(dt.timedelta(hours=2))

# column type, the value as a parameter, the value that comes back
CASES: list[tuple[str, Any, Any]] = [
    ("BOOLEAN", True, True),
    ("SMALLINT", -32768, -32768),
    ("INT", 2**31 - 1, 2**31 - 1),
    ("BIGINT", -(2**63), -(2**63)),
    ("FLOAT", 1.5, 1.5),
    ("DOUBLE", 0.1, 0.1),
    ("DECIMAL(18,4)", Decimal("-12.3400"), Decimal("-12.3400")),
    ("TEXT", "Grüße, 🚂 'quoted' $1 -- no comment", "Grüße, 🚂 'quoted' $1 -- no comment"),
    ("TEXT", "", ""),
    ("TIMESTAMP", dt.datetime(2026, 1, 2, 3, 4, 5, 6, UTC), dt.datetime(2026, 1, 2, 3, 4, 5, 6, UTC)),
    ("TIMESTAMP", dt.datetime(2026, 1, 2, 3, 4, 5, 0, PLUS_2), dt.datetime(2026, 1, 2, 1, 4, 5, 0, UTC)),
    (
        "TIMESTAMP",
        dt.datetime(1969, 12, 31, 23, 59, 59, 999999, UTC),
        dt.datetime(1969, 12, 31, 23, 59, 59, 999999, UTC),
    ),
    (
        "DATETIME",
        dt.datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
        dt.datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
    ),
    ("DATE", dt.date(2024, 2, 29), dt.date(2024, 2, 29)),
    ("DATE", dt.date(1, 1, 1), dt.date(1, 1, 1)),
    ("TIME", dt.time(23, 59, 59, 999999), dt.time(23, 59, 59, 999999)),
    ("UUID", uuid.UUID(int=1), uuid.UUID(int=1)),
    ("JSON", {"a": [1, None, 2.5, "ü"]}, {"a": [1, None, 2.5, "ü"]}),
    ("JSON", ["x", {"y": False}], ["x", {"y": False}]),
]


@pytest.mark.parametrize(("column_type", "given", "expected"), CASES, ids=lambda case: str(case)[:20])
def test_a_value_goes_and_comes(place: Place, column_type: str, given: Any, expected: Any) -> None:
    with place.connect_sync() as client:
        client.execute(f"CREATE TABLE {place.ns}.c (id BIGINT PRIMARY KEY, v {column_type})")
        client.execute(f"INSERT INTO {place.ns}.c VALUES (1, $1), (2, $2)", [given, None])
        queried = client.query(f"SELECT id, v FROM {place.ns}.c ORDER BY id")
        with client.live(f"SELECT id, v FROM {place.ns}.c", order_by="id") as live:
            shown = next(live)
    for rows in (queried, shown):
        assert rows[0]["v"] == expected
        assert type(rows[0]["v"]) is type(expected)
        assert rows[1]["v"] is None
    assert queried.columns[1].type == column_type


def test_a_value_finds_its_row(place: Place) -> None:
    """Parameters of a live query are written into it as literals."""
    with place.connect_sync() as client:
        for number, (column_type, given, expected) in enumerate(CASES):
            if column_type in ("JSON", "FLOAT"):
                continue  # not compared for equality
            table = f"{place.ns}.c{number}"
            client.execute(f"CREATE TABLE {table} (id BIGINT PRIMARY KEY, v {column_type})")
            client.execute(f"INSERT INTO {table} VALUES (1, $1), (2, NULL)", [given])
            with client.live(f"SELECT v FROM {table} WHERE v = $1", [given]) as live:
                assert next(live).to_dicts() == [{"v": expected}], column_type


def test_bytes_and_embeddings(place: Place) -> None:
    with place.connect_sync() as client:
        client.execute(f"CREATE TABLE {place.ns}.c (id BIGINT PRIMARY KEY, b BYTES, e EMBEDDING(3))")
        client.execute(f"INSERT INTO {place.ns}.c VALUES (1, $1, $2)", [b"\x00\xff", array("f", [1.0, -0.5, 0.25])])
        assert client.query(f"SELECT * FROM {place.ns}.c WHERE b = $1", [b"\x00"]).row_count == 0
        row = client.query_one(f"SELECT b, e FROM {place.ns}.c WHERE b = $1", [b"\x00\xff"])
    assert row is not None
    assert row["b"] == b"\x00\xff"
    assert row["e"] == array("f", [1.0, -0.5, 0.25])
    assert memoryview(row["e"]).format == "f"


def test_parsed_json_is_the_readers_own(place: Place) -> None:
    with place.connect_sync() as client:
        client.execute(f"CREATE TABLE {place.ns}.c (id BIGINT PRIMARY KEY, v JSON)")
        client.execute(f"INSERT INTO {place.ns}.c VALUES (1, $1)", [{"a": [1]}])
        row = client.query_one(f"SELECT v FROM {place.ns}.c")
    assert row is not None
    row["v"]["a"].append(2)
    assert row["v"] == {"a": [1]}


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        (object(), TypeError, r"params: \$2 is object"),
        ({1, 2}, TypeError, r"params: \$2 is set"),
        (2**63, OverflowError, r"params: \$2 does not fit into 64 bits"),
        (dt.datetime(2026, 1, 1), ValueError, r"params: \$2 is a datetime without a time zone"),
        (dt.time(1, tzinfo=UTC), ValueError, r"params: \$2 is a time with a zone"),
        (Decimal("NaN"), ValueError, r"params: \$2 is NaN"),
        ("\ud800", ValueError, r"params: \$2 has half of a surrogate pair"),
        ([math.nan], TypeError, r"params: \$2 can not be written as JSON"),
        ({"a": object()}, TypeError, r"params: \$2 can not be written as JSON"),
        (math.nan, kalam_live.ArgumentError, "finite"),
    ],
)
def test_a_bad_parameter_is_named(place: Place, given: Any, error: type[Exception], says: str) -> None:
    with place.connect_sync() as client:
        with pytest.raises(error, match=says):
            client.query(f"SELECT * FROM {place.ns}.t WHERE id = $1 AND v = $2", [1, given])
        with pytest.raises(error, match=says):
            next(client.live(f"SELECT * FROM {place.ns}.t WHERE id = $1 AND v = $2", [1, given]))


@pytest.mark.parametrize("params", ["abc", {"a": 1}, 5, iter([1])])
def test_params_must_be_a_list(place: Place, params: Any) -> None:
    with place.connect_sync() as client, pytest.raises(TypeError, match="params must be a list or a tuple"):
        client.query("SELECT 1", params)
