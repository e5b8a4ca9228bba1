"""Live queries and streams of events in an event loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar

from kalam_live import _callbacks, _loop

if TYPE_CHECKING:
    from typing_extensions import Self

    from kalam_live._native import Event, Handle, Rows

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741


class _Subscription(Generic[T, I]):
    """What both kinds have in common. ``T`` is what the handle gives, ``I`` what the loop sees."""

    def __init__(self, handle: Handle[T], on_checkpoint: Callable[[str], object] | None) -> None:
        self._handle = handle
        self._on_checkpoint = on_checkpoint
        self._checkpoint: int | None = None
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

    async def _handed_out(self, seq_id: int | None) -> None:
        if self._on_checkpoint is not None and seq_id is not None and seq_id != self._checkpoint:
            self._checkpoint = seq_id
            await _callbacks.report(lambda: callback(str(seq_id)) if (callback := self._on_checkpoint) else None)
