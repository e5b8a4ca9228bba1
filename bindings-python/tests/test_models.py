"""Rows as dataclasses, named tuples, typed dicts and pydantic models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypedDict

import pydantic
import pytest

from conftest import Place
from kalam_live import sync


@dataclass
class Task:
    id: int
    v: str | None
    note: str = "none"
    tags: list[str] = field(default_factory=list[str])
    derived: int = field(init=False, default=0)


class Pair(NamedTuple):
    id: int
    v: str | None
    note: str = "none"


class Dict(TypedDict):
    id: int
    v: str | None


class Model(pydantic.BaseModel):
    id: int
    v: str | None


@dataclass
class NeedsMore:
    id: int
    missing: str


@pytest.fixture
def client(place: Place) -> Iterator[sync.Client]:
    with place.connect_sync() as client:
        client.execute(f"INSERT INTO {place.ns}.t VALUES (1, 'a'), (2, NULL)")
        yield client


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Task, [Task(1, "a"), Task(2, None)]),
        (Pair, [Pair(1, "a"), Pair(2, None)]),
        (Dict, [{"id": 1, "v": "a"}, {"id": 2, "v": None}]),
        (dict, [{"id": 1, "v": "a"}, {"id": 2, "v": None}]),
        (Model, [Model(id=1, v="a"), Model(id=2, v=None)]),
    ],
)
def test_each_kind(place: Place, client: sync.Client, model: type[Any], expected: list[Any]) -> None:
    sql = f"SELECT id, v FROM {place.ns}.t"
    rows = client.query(f"{sql} ORDER BY id", model=model)
    assert list(rows) == expected
    assert rows[0] is rows[0]
    assert client.query_one(f"{sql} WHERE id = 1", model=model) == expected[0]
    assert sorted(client.query_all(sql, model=model), key=str) == sorted(expected, key=str)
    assert list(next(client.live(sql, model=model, order_by="id"))) == expected
    assert list(next(client.live_table(f"{place.ns}.t", model=model, order_by="id"))) == expected


def test_what_does_not_fit(place: Place, client: sync.Client) -> None:
    rows = client.query(f"SELECT id, v FROM {place.ns}.t", model=NeedsMore)
    with pytest.raises(KeyError, match="no column 'missing'"):
        list(rows)
    for model in (int, "Task", lambda row: row):
        with pytest.raises(TypeError, match="model must be"):
            client.query(f"SELECT id, v FROM {place.ns}.t", model=model)  # type: ignore[call-overload]

    class Strict(pydantic.BaseModel):
        v: str

    with pytest.raises(pydantic.ValidationError):
        list(client.query(f"SELECT v FROM {place.ns}.t", model=Strict))
