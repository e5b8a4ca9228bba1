"""Calls of the user's own code. What it raises is reported and ends nothing."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kalam_live import _logs

if TYPE_CHECKING:
    from kalam_live._errors import KalamError
    from kalam_live._native import Handle, TokenRequest


@dataclass(frozen=True)
class Callbacks:
    """What the user wants to be called for. Each may be a function or, in an event loop, a coroutine function."""

    token_provider: Callable[[], object] | None = None
    on_connect: Callable[[], object] | None = None
    on_disconnect: Callable[[KalamError], object] | None = None
    on_error: Callable[[KalamError], object] | None = None

    def __bool__(self) -> bool:
        return any(callback is not None for callback in vars(self).values())

    def call(self, what: str, argument: KalamError | None) -> object:
        """Calls the one for ``what``; returns what it returned, which may be to be awaited."""
        if what == "connect":
            return self.on_connect() if self.on_connect else None
        callback = self.on_disconnect if what == "disconnect" else self.on_error
        return callback(argument) if callback and argument is not None else None


async def report(call: Callable[[], object]) -> None:
    """Calls, awaits where there is something to await, and reports what goes wrong."""
    try:
        result = call()
        if inspect.isawaitable(result):
            await result
    except Exception as error:
        context = {"message": "a callback given to kalam_live failed", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)


def report_blocking(call: Callable[[], object]) -> None:
    """The same without an event loop: reports to ``logging``."""
    try:
        _refuse_awaitable(call())
    except Exception:
        _logs.logger.exception("a callback given to kalam_live failed")
