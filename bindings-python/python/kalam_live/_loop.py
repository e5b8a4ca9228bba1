"""The event loop's side of waiting.

Background threads never touch the interpreter. They put a token on a list and make a file descriptor readable; the
loop, which watches it, then wakes the futures of those tokens. A burst costs one callback.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import weakref
from collections.abc import Callable
from typing import TypeVar, cast

from kalam_live import _logs
from kalam_live._native import Handle, Wakeups

T = TypeVar("T")


async def result(operation: Handle[T]) -> T:
    """The result of a one-shot operation, which is given up when the wait is."""
    try:
        await ready(operation)
    except BaseException:
        operation.close()
        raise
    _logs.drain()
    return taken(operation)


def taken(operation: Handle[T]) -> T:
    """The result of an operation that is ready."""
    try:
        result = operation.take()
    except StopIteration:
        raise RuntimeError("this has been waited for already") from None
    return cast("T", result)  # `None` only where that is the result


async def ready(handle: Handle[object]) -> None:
    """Waits until ``handle.take()`` has something. Giving up loses nothing."""
    await _Waiter.of(asyncio.get_running_loop()).ready(handle)


class _Waiter:
    """Lets the tasks of one event loop wait for handles."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._wakeups = Wakeups()
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._tokens = itertools.count(1)
        try:
            loop.add_reader(self._wakeups.fileno(), self._drain)
        except NotImplementedError:  # Windows' default loop
            arguments = (self._wakeups, weakref.ref(loop), self._drain)
            threading.Thread(target=_stand_in, args=arguments, name="kalam-live-wake", daemon=True).start()
            weakref.finalize(loop, self._wakeups.close)
        self._watch_log()

    @staticmethod
    def of(loop: asyncio.AbstractEventLoop) -> _Waiter:
        """The waiter of a loop, made at its first wait."""
        waiter = _waiters.get(loop)
        if waiter is None:
            with _lock:
                for other in [other for other in _waiters if other.is_closed()]:
                    _waiters.pop(other).close()
                waiter = _waiters.setdefault(loop, _Waiter(loop))
        return waiter

    async def ready(self, handle: Handle[object]) -> None:
        token = next(self._tokens)
        if handle.poll(self._wakeups, token):
            # A loop body that always finds something must still let other tasks run.
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting[token] = future
        try:
            await future
        finally:
            self._waiting.pop(token, None)

    def close(self) -> None:
        self._waiting.clear()
        self._wakeups.close()

    def _drain(self) -> None:
        for token in self._wakeups.drain():
            if token == _LOG:
                self._watch_log()
                continue
            future = self._waiting.pop(token, None)
            if future is not None and not future.done():
                future.set_result(None)

    def _watch_log(self) -> None:
        log = _logs.drain()
        while log.poll(self._wakeups, _LOG):
            _logs.drain()


_LOG = 0
"""The token of the log; those of waits begin at 1."""

_waiters: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Waiter] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def _stand_in(wakeups: Wakeups, loop_ref: weakref.ref[asyncio.AbstractEventLoop], drain: Callable[[], None]) -> None:
    """Watches in place of a loop that can not watch a file descriptor. Ends with the loop."""
    edges = 0
    while (seen := wakeups.wait_for_edge(edges)) is not None:
        edges = seen
        loop = loop_ref()
        if loop is None:
            return
        try:
            loop.call_soon_threadsafe(drain)
        except RuntimeError:  # closed
            return
        del loop


def _forget() -> None:
    """In the child of a fork: its descriptors are the parent's, its locks may be held for ever."""
    global _waiters, _lock
    _waiters = weakref.WeakKeyDictionary()
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
