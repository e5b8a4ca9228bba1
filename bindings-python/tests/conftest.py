"""One embedded server for all tests; each test has a namespace of its own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

import kalam_live
from kalam_live import sync

T = TypeVar("T")

PASSWORD = "a password that the tests know"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Place:
    """Where a test works."""

    url: str
    ns: str

    def connect(self, **options: Any) -> kalam_live.Opening[kalam_live.Client]:
        return kalam_live.connect(self.url, **{"user": "root", "password": PASSWORD, **options})

    def connect_sync(self, **options: Any) -> sync.Client:
        return sync.connect(self.url, **{"user": "root", "password": PASSWORD, **options})


@pytest.fixture(scope="session")
def server() -> Iterator[sync.EmbeddedServer]:
    with sync.start_embedded(root_password=PASSWORD) as server:
        yield server


@pytest.fixture
def place(server: sync.EmbeddedServer) -> Place:
    """A namespace with the table `t (id BIGINT PRIMARY KEY, v TEXT)`."""
    place = Place(server.url, f"n{next(_numbers)}")
    with place.connect_sync() as client:
        client.execute(f"CREATE NAMESPACE {place.ns}")
        client.execute(f"CREATE TABLE {place.ns}.t (id BIGINT PRIMARY KEY, v TEXT)")
    return place


def run(main: Callable[[], Coroutine[Any, Any, T]], seconds: float = 30) -> T:
    """Runs a coroutine function in an event loop of its own. The time limit is only there so that nothing hangs."""

    async def limited() -> T:
        return await asyncio.wait_for(main(), seconds)

    return asyncio.run(limited())
