"""Rows as mappings, lists of rows as sequences."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

import kalam_live
from conftest import Place
from kalam_live import QueryResult, Row, sync


@pytest.fixture
def client(place: Place) -> Iterator[sync.Client]:
    with place.connect_sync() as client:
        yield client


@pytest.fixture
def rows(place: Place, client: sync.Client) -> QueryResult[Row]:
    client.execute(f"INSERT INTO {place.ns}.t VALUES (1, 'one'), (2, NULL), (3, '<b>')")
    return client.query(f"SELECT id, v FROM {place.ns}.t ORDER BY id")


def test_a_row_is_a_mapping(rows: QueryResult[Row]) -> None:
    row = rows[0]
    assert isinstance(row, Mapping)
    assert (row["id"], row["v"], row[0], row[1], row[-1]) == (1, "one", 1, "one", "one")
    assert (row.id, row.v, getattr(row, str(b"v", "ascii"))) == (1, "one", "one")
    assert (row.keys(), row.values(), row.items()) == (("id", "v"), (1, "one"), (("id", 1), ("v", "one")))
    assert (list(row), len(row)) == (["id", "v"], 2)
    assert ("v" in row, "w" in row, 0 in row) == (True, False, False)
    assert (row.get("v"), row.get("w"), row.get("w", 7)) == ("one", None, 7)
    assert dict(row) == {**row} == row.asdict() == {"id": 1, "v": "one"}
    assert row.version is None, "not told without _seq"
    assert rows[1]["v"] is None
    match row:
        case {"v": "one", "id": number}:
            assert number == 1
        case _:
            pytest.fail("a row matches as a mapping")


def test_what_a_row_does_not_have(rows: QueryResult[Row]) -> None:
    row = rows[0]
    with pytest.raises(KeyError, match="no column 'w'; the row has id, v"):
        row["w"]
    with pytest.raises(IndexError, match="column 2 of a row with 2 columns"):
        row[2]
    with pytest.raises(IndexError):
        row[-3]
    with pytest.raises(TypeError, match="not by float"):
        row[1.5]  # type: ignore[index]
    with pytest.raises(AttributeError, match="no column 'w'; the row has id, v"):
        _ = row.w
    with pytest.raises(AttributeError, match="_private"):
        _ = row._private
    with pytest.raises(TypeError, match=r"can not be pickled: pickle row.asdict\(\)"):
        pickle.dumps(row)
    assert copy.copy(row) is row
    assert copy.deepcopy({"held": [row]})["held"][0] is row
    with pytest.raises(AttributeError):
        row.v = "two"  # type: ignore[misc]
    with pytest.raises(TypeError, match="unhashable"):
        hash(row)


def test_column_names_that_are_methods(place: Place, client: sync.Client) -> None:
    client.execute(f"CREATE TABLE {place.ns}.c (id BIGINT PRIMARY KEY, keys TEXT, version TEXT, get TEXT)")
    client.execute(f"INSERT INTO {place.ns}.c (id, keys, version, get) VALUES (1, 'k', 'v', 'g')")
    row = client.query_one(f"SELECT keys, version, get FROM {place.ns}.c")
    assert row is not None
    assert row.keys() == ("keys", "version", "get")
    assert (row["keys"], row["version"], row["get"]) == ("k", "v", "g")
    assert row.get("get") == "g"
    assert dict(row) == {"keys": "k", "version": "v", "get": "g"}
    assert isinstance(row.version, int) or row.version is None


def test_rows_are_equal_by_content(place: Place, client: sync.Client, rows: QueryResult[Row]) -> None:
    again = client.query(f"SELECT id, v FROM {place.ns}.t ORDER BY id")
    assert again is not rows
    assert again == rows
    assert again[0] == rows[0] == {"id": 1, "v": "one"}
    assert rows[0] != rows[1]
    assert rows[0] != {"id": 1}
    assert rows[0] != (1, "one")
    assert rows == [{"id": 1, "v": "one"}, {"id": 2, "v": None}, {"id": 3, "v": "<b>"}]
    assert rows != again[:2]
    assert client.query(f"SELECT v, id FROM {place.ns}.t WHERE id = 1")[0] != rows[0]


def test_a_result_is_a_sequence(rows: QueryResult[Row]) -> None:
    assert isinstance(rows, Sequence)
    assert len(rows) == 3
    assert [row["id"] for row in rows] == [1, 2, 3]
    assert [row["id"] for row in reversed(rows)] == [3, 2, 1]
    assert rows[-1]["id"] == 3
    assert [row["id"] for row in rows[::2]] == [1, 3]
    assert [row["id"] for row in rows[5:]] == []
    assert rows[0] in rows
    assert {"id": 2, "v": None} in rows
    assert {"id": 9} not in rows
    assert (rows.index(rows[2]), rows.count(rows[1])) == (2, 1)
    assert rows[1] is rows[1] is list(rows)[1]
    assert rows.to_dicts()[0] == {"id": 1, "v": "one"}
    for index in (3, -4, 2**70, -(2**70)):
        with pytest.raises(IndexError):
            rows[index]
    with pytest.raises(TypeError, match="not by str"):
        rows["id"]  # type: ignore[call-overload]
    match rows:
        case [first, *rest]:
            assert (first["id"], len(rest)) == (1, 2)
        case _:
            pytest.fail("a result matches as a sequence")


def test_how_rows_look(place: Place, client: sync.Client, rows: QueryResult[Row]) -> None:
    assert repr(rows[0]) == "Row(id=1, v='one')"
    assert repr(rows[:1]) == "[Row(id=1, v='one')]"
    assert repr(rows) == "QueryResult([Row(id=1, v='one'), Row(id=2, v=None), Row(id=3, v='<b>')])"
    html = rows._repr_html_()
    assert "<th>id</th><th>v</th>" in html
    assert "<td>&lt;b&gt;</td>" in html
    assert "<td>one</td>" in rows[0]._repr_html_()
    assert {"id", "v", "asdict"} <= set(dir(rows[0]))
    client.execute(f"INSERT INTO {place.ns}.t VALUES " + ", ".join(f"({n}, 'x')" for n in range(10, 50)))
    many = client.query_all(f"SELECT id, v FROM {place.ns}.t")
    assert repr(many).endswith("... and 23 more])")
    assert "and 23 more" in many._repr_html_()
    assert client.query(f"SELECT id FROM {place.ns}.t WHERE id = 0")._repr_html_() == "<pre>()</pre>"


def test_what_a_result_knows(place: Place, client: sync.Client, rows: QueryResult[Row]) -> None:
    assert [(c.name, c.type, c.primary_key) for c in rows.columns] == [("id", "BIGINT", True), ("v", "TEXT", False)]
    assert repr(rows.columns[0]) == 'Column(name="id", type="BIGINT")'
    assert rows.columns[0] == client.query(f"SELECT id FROM {place.ns}.t").columns[0]
    assert (rows.row_count, rows.truncated) == (3, False)
    written = client.query(f"DELETE FROM {place.ns}.t WHERE id = 1")
    assert (len(written), written.row_count, written.columns) == (0, 1, ())
    assert written.message is not None


def test_rows_do_not_leak(place: Place, client: sync.Client, rows: QueryResult[Row]) -> None:
    gone = weakref.ref(rows[0])
    result = weakref.ref(rows)
    del rows
    gc.collect()
    # The fixture holds the result until the end of the test; a second one goes at once.
    assert result() is not None
    other = client.query(f"SELECT id, v FROM {place.ns}.t")
    gone = weakref.ref(other[0])
    del other
    assert gone() is None


def test_a_cycle_through_a_model_is_collected(place: Place, client: sync.Client, rows: QueryResult[Row]) -> None:
    class Model:
        owner: Any = None

        @classmethod
        def model_validate(cls, value: dict[str, Any]) -> Model:
            return cls()

    sql = f"SELECT id, v FROM {place.ns}.t"
    result = client.query(sql, model=Model)
    shown = next(client.live(sql, model=Model))
    for model in result:
        model.owner = result
    for model in shown:
        model.owner = shown
    gone = weakref.ref(result[0]), weakref.ref(shown[0])
    del result, shown, model
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


def test_rows_can_not_be_made_by_hand() -> None:
    with pytest.raises(TypeError):
        kalam_live.Row()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        copy.deepcopy(kalam_live.RowList())  # type: ignore[abstract]
