"""Calls of the user's own code. What it raises is reported and ends nothing."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from kalam_live import _logs, _loop

if TYPE_CHECKING:
    from kalam_live._errors import KalamError
    from kalam_live._native import Handle, TokenRequest
    from kalam_live._types import State


class Repair(NamedTuple):
    """Rows of a live query were wrong, since the server had left something out, and were put right."""

    subscription: str
    """The id of the subscription."""
    reason: str
    """What it was that showed: ``unconfirmed``, ``mismatch``, ``newest_rows``, ``schema``, ``reconnect`` or ``traffic``."""
    queries: int
    """HTTP queries that it took."""
    bytes: int
    """Bytes of their answers."""
    added: int
    """Rows that were missing."""
    changed: int
    """Rows with other content."""
    removed: int
    """Rows that were gone."""


TokenProvider = Callable[[], "str | Awaitable[str]"]


@dataclass(frozen=True)
class Callbacks:
    """What the user wants to be called for. Each may be a function or, in an event loop, a coroutine function."""

    token_provider: TokenProvider | None = None
    on_connect: Callable[[], object] | None = None
    on_disconnect: Callable[[KalamError], object] | None = None
    on_error: Callable[[KalamError], object] | None = None
    on_state: Callable[[State], object] | None = None
    on_repair: Callable[[Repair], object] | None = None

    def __bool__(self) -> bool:
        return any(callback is not None for callback in vars(self).values())

    def of(self, what: str) -> Callable[..., object] | None:
        """The one for ``connect``, ``disconnect``, ``error``, ``state`` or ``repair``."""
        callback: Callable[..., object] | None = getattr(self, f"on_{what}")
        return callback


async def report(callback: Callable[..., object], *arguments: object) -> None:
    """Calls, awaits where there is something to await, and reports what goes wrong."""
    try:
        result = callback(*arguments)
        if inspect.isawaitable(result):
            await result
    except Exception as error:
        context = {"message": f"{callback!r}, given to kalam_live, failed", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)


def report_blocking(callback: Callable[..., object], *arguments: object) -> None:
    """The same without an event loop: reports to ``logging``."""
    try:
        _refuse_coroutine(callback(*arguments))
    except Exception:
        _logs.logger.exception("%r, given to kalam_live, failed", callback)


def _refuse_coroutine(result: object) -> object:
    if inspect.iscoroutine(result):
        result.close()
        raise TypeError("kalam_live.sync calls functions, not coroutine functions")
    return result


def _arguments(what: str, argument: Any) -> tuple[object, ...]:
    if what == "repair":
        return (Repair(*argument),)
    return () if argument is None else (argument,)


async def serve(inbox: Handle[list[tuple[str, Any]]], callbacks: Callbacks) -> None:
    """Calls the user's code from the event loop until the client is closed."""
    while True:
        await _loop.ready(inbox)
        try:
            tidings = inbox.take() or ()
        except StopIteration:
            return
        for what, argument in tidings:
            if what == "token":
                await _answer(argument, callbacks.token_provider)
            elif callback := callbacks.of(what):
                await report(callback, *_arguments(what, argument))


async def _answer(request: TokenRequest, provider: TokenProvider | None) -> None:
    try:
        token = provider() if provider else None
        request.resolve(_checked(await token if inspect.isawaitable(token) else token))
    except Exception as error:
        request.fail(_reason(error))


def serve_blocking(inbox: Handle[list[tuple[str, Any]]], callbacks: Callbacks) -> None:
    """Calls the user's code from a thread of its own until the client is closed."""
    while True:
        inbox.wait()
        try:
            tidings = inbox.take() or ()
        except StopIteration:
            return
        for what, argument in tidings:
            if what == "token":
                _answer_blocking(argument, callbacks.token_provider)
            elif callback := callbacks.of(what):
                report_blocking(callback, *_arguments(what, argument))


def _answer_blocking(request: TokenRequest, provider: TokenProvider | None) -> None:
    try:
        request.resolve(_checked(_refuse_coroutine(provider()) if provider else None))
    except Exception as error:
        request.fail(_reason(error))


def _checked(token: object) -> str:
    if not isinstance(token, str):
        raise TypeError(f"token_provider must return a str, not {type(token).__name__}")
    return token


def _reason(error: Exception) -> str:
    # The text of the user's own exception; it is shown in the error of the call that needed the token.
    return f"token_provider failed: {type(error).__name__}: {error}"
