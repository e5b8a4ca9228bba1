"""Live queries and streams of events in an event loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from kalam_live import _callbacks, _loop
from kalam_live._errors import ClosedError

if TYPE_CHECKING:
    from typing_extensions import Self

    from kalam_live._native import Event, Handle, Rows
    from kalam_live._types import OnCheckpoint

T = TypeVar("T")


class _Subscription(Generic[T]):
    """What both kinds have in common. ``T`` is what their handle gives."""

    def __init__(self, client: object, handle: Handle[T], on_checkpoint: OnCheckpoint | None) -> None:
        self._client = client  # which would close its embedded server if nobody held it
        self._handle = handle
        self._on_checkpoint = on_checkpoint
        self._checkpoint: str | None = None
        self._waiting = False

    @property
    def id(self) -> str | None:
        """The subscription's id, as :meth:`Client.subscriptions` lists it; ``None`` while it is being opened."""
        return self._handle.id

    async def close(self) -> None:
        """Ends the subscription. May be called often, and while another task waits in the loop, which then ends."""
        self._handle.close()

    def __aiter__(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _take(self) -> T:
        """Waits for what comes next; ``StopAsyncIteration`` at the end. Nothing is lost when the wait is cancelled."""
        if self._waiting:
            raise RuntimeError("another task waits for this already; open a live query for each")
        self._waiting = True
        try:
            while True:
                await _loop.ready(self._handle)
                try:
                    taken = self._handle.take()
                except StopIteration:
                    raise StopAsyncIteration from None
                if taken is not None:
                    return taken
        finally:
            self._waiting = False

    async def _handed_out(self, what: Event | Rows[Any]) -> None:
        if self._on_checkpoint is None:
            return
        checkpoint = what.checkpoint
        if checkpoint is not None and checkpoint != self._checkpoint:
            self._checkpoint = checkpoint
            await _callbacks.report(self._on_checkpoint, checkpoint)


class LiveRows(_Subscription["Rows[T]"], Generic[T]):
    """The rows of a live query: ``async for rows in client.live(sql)``.

    Each step of the loop gets the newest complete :class:`Rows`; a slow loop skips the states between. Leaving the
    loop and dropping this object ends the subscription, and so does ``async with``. ``await`` it to wait until the
    first rows are there: they are then in :attr:`rows`, and the first that a loop sees.
    """

    def __init__(self, client: object, handle: Handle[Rows[T]], on_checkpoint: OnCheckpoint | None) -> None:
        super().__init__(client, handle, on_checkpoint)
        self._first: Rows[T] | None = None
        self._newest: Rows[T] | None = None

    @property
    def rows(self) -> Rows[T] | None:
        """The newest rows there are, without waiting; ``None`` when the first are still to come.

        A loop does not see them again, so its next ``changes`` begin here.
        """
        if self._first is not None:
            return self._first
        try:
            self._newest = self._handle.take() or self._newest
        except StopIteration:
            pass
        return self._newest

    async def __anext__(self) -> Rows[T]:
        if self._first is not None:
            rows, self._first = self._first, None
        else:
            rows = await self._take()
        self._newest = rows
        await self._handed_out(rows)
        return rows

    def __await__(self) -> Generator[object, None, Self]:
        return self._loaded().__await__()

    async def _loaded(self) -> Self:
        if self._newest is None and self._first is None:
            try:
                self._first = await self._take()
            except StopAsyncIteration:
                raise ClosedError("the live query was closed before its rows were there") from None
        return self


class LiveEvents(_Subscription["list[Event]"]):
    """The events of a live query: ``async for event in client.live_events(sql)``."""

    def __init__(self, client: object, handle: Handle[list[Event]], on_checkpoint: OnCheckpoint | None) -> None:
        super().__init__(client, handle, on_checkpoint)
        self._events: deque[Event] = deque()

    async def __anext__(self) -> Event:
        if not self._events:
            self._events.extend(await self._take())
        event = self._events.popleft()
        if self._on_checkpoint is not None:
            await self._handed_out(event)
        return event

    async def take(self) -> list[Event]:
        """All events that are there, at least one; an empty list when there will be no more. Cheaper than a loop."""
        events = list(self._events)
        self._events.clear()
        if not events:
            try:
                events = await self._take()
            except StopAsyncIteration:
                return []
        for event in events if self._on_checkpoint is not None else ():
            await self._handed_out(event)
        return events
