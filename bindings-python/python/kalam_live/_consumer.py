"""Consumers of topics in an event loop."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from kalam_live import _loop
from kalam_live._errors import ClosedError, KalamError

if TYPE_CHECKING:
    from typing_extensions import Self

    from kalam_live import _native
    from kalam_live._native import Handle, Record

_log = logging.getLogger("kalam_live")

Start: TypeAlias = "Literal['latest', 'earliest'] | int"
FailedAction: TypeAlias = 'Literal["skip", "hold"] | None'

MOST = 1024
"""Records that are taken from the native side at once."""


class Committed(NamedTuple):
    """What a commit did."""

    next_offset: int
    """The first offset that the group has not committed, as far as this consumer knows."""
    held_back: int
    """Records that are finished and not committed yet: something before them is not."""


class Offsets(NamedTuple):
    """Where a consumer and its group are."""

    position: int
    """The offset of the next record that will be handed out, as far as is known."""
    committed: int
    """The first offset that the group has not committed, as far as this consumer knows."""
    held_back: int
    """Records that are finished and not committed yet."""
    unfinished: int
    """Records that were handed out and are not finished."""


class RunSummary(NamedTuple):
    """What a worker loop did."""

    handled: int
    """Records that were handled."""
    failed: int
    """Records that failed as often as they may."""


def options(
    topic: str,
    group_id: str,
    start: Start,
    partition_id: int,
    max_poll_records: int,
    poll_timeout: float,
    auto_commit: bool,
    auto_commit_interval: float,
) -> _native.ConsumerOptions:
    return {
        "topic": topic,
        "group_id": group_id,
        "start": str(start),
        "partition_id": partition_id,
        "max_poll_records": max_poll_records,
        "poll_timeout": poll_timeout,
        "auto_commit": auto_commit,
        "auto_commit_interval": auto_commit_interval,
    }


class BaseConsumer:
    """What a consumer is with an event loop and without one."""

    def __init__(self, client: object, native: _native.Consumer) -> None:
        self._client = client  # which would close its embedded server if nobody held it
        self._native = native
        self._records: deque[Record] = deque()
        self._current: Record | None = None

    def mark_processed(self, record: Record) -> None:
        """The record is finished. It is committed with the next commit, once everything before it is finished too."""
        self._native.mark(record.offset)

    def commit_later(self) -> None:
        """As ``commit``, without waiting: a failure is logged, and tried again with the next commit."""
        self._native.commit_later()

    @property
    def position(self) -> int:
        """The offset of the next record that will be handed out, as far as is known."""
        return self._records[0].offset if self._records else self._native.position

    def offsets(self) -> Offsets:
        """Where the consumer and its group are."""
        return Offsets(**self._native.offsets())

    def _finish_current(self) -> bool:
        """The record that a loop is at is finished. Whether there may be a next one."""
        if self._current is not None:
            self._native.mark(self._current.offset)
            self._current = None
        return not self._native.is_closed  # nothing that was taken is begun then: its commit would come too late

    def _forget(self) -> None:
        """What was taken before the group was moved is neither finished nor handed out after it."""
        self._records.clear()
        self._current = None


class Consumer(BaseConsumer):
    """One member of a group of consumers that share the records of a topic: see :meth:`Client.consumer`.

    Every record is handed out at least once: what was not finished before the consumer ended, or within the server's
    visibility timeout, is delivered again, to this or another member.
    """

    async def poll(self, timeout: float | None = None) -> list[Record]:
        """The next records, at most ``max_poll_records``; none when there were none within ``timeout`` seconds.

        A poll may be cancelled at any time: the records that it waited for are there for the next one.
        """
        return await self._poll(self._native.poll(timeout), self._native.max_poll_records)

    async def _poll(self, handle: Handle[list[Record]], most: int) -> list[Record]:
        try:
            await _loop.ready(handle)
        except BaseException:
            handle.close()
            raise
        return handle.take(most) or []

    async def commit(self) -> Committed:
        """Commits what is finished, as far as nothing before it is unfinished, and waits for the server.

        What has to be held back is committed later by itself, when the gap before it is closed.
        """
        return Committed(*await _loop.result(self._native.commit()))

    async def seek(self, offset: int) -> None:
        """Moves the **group** to ``offset``, also back, and goes on there. Stop its other members before."""
        await _loop.result(self._native.seek(offset))
        self._forget()

    async def close(self) -> None:
        """Commits what may be committed and ends, within five seconds. May be called often."""
        await _loop.result(self._native.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Record:
        """The next record, however long it takes. Asking for it says that the one before is finished."""
        if not self._finish_current():
            raise StopAsyncIteration
        while not self._records:
            try:
                self._records.extend(await self._poll(self._native.poll(None), MOST))
            except ClosedError:
                raise StopAsyncIteration from None
            except KalamError as error:
                if not error.retryable:
                    raise
                _log.warning("no records, still trying: %s", error)
        self._current = self._records.popleft()
        return self._current

    async def run(
        self,
        handler: Callable[[Record], Awaitable[object] | object],
        *,
        concurrency: int = 1,
        max_attempts: int = 3,
        backoff: tuple[float, float] = (0.25, 5.0),
        timeout: float | None = None,
        on_failed: Callable[[Record, str], Awaitable[FailedAction] | FailedAction] | None = None,
        dead_letter_topic: str | None = None,
        stop: asyncio.Event | None = None,
    ) -> RunSummary:
        """Handles records until ``stop`` is set or the task is cancelled; commits what is finished.

        ::

            async def handle(record):
                print(record.op, record.row)

            await consumer.run(handle, concurrency=8, dead_letter_topic="app.orders_dead")

        Records of one key are handled one after the other, those of different keys at the same time. A record whose
        handler raises is tried again after a pause.

        Args:
            handler: Called with each record; a coroutine function or a plain one.
            concurrency: Records that are handled at the same time.
            max_attempts: How often a record is handled before it has failed.
            backoff: Seconds between the attempts: a random pause, at most the first at first, twice that each time,
                never more than the second.
            timeout: Seconds that one attempt may take, if the handler is a coroutine function.
            on_failed: Called with a record that failed and the error's text. ``"skip"`` counts it as finished,
                ``"hold"`` keeps it unfinished: no commit passes it, the records of its key that follow wait, and the
                server delivers it again. ``None`` does what happens without this function: the record goes to the
                dead letter topic if there is one, and is held otherwise. When it raises, that is logged and the record
                held; anything else that it answers ends the loop with the code ``invalid_argument``, and the record is held.
            dead_letter_topic: ``namespace.name`` of a table, and of the topic that it feeds; both are made when they
                are missing.
            stop: When it is set nothing more is begun; what runs is finished and committed.
        """
        work, jobs = self._native.run(
            concurrency=concurrency,
            max_attempts=max_attempts,
            backoff=backoff,
            dead_letter_topic=dead_letter_topic,
            on_failed=on_failed is not None,
        )

        ending = False
        clock = asyncio.get_running_loop().time

        async def attempt(record: Record) -> str | None:
            began = 0.0 if timeout is None else clock()
            try:
                result = handler(record)
                if inspect.isawaitable(result):
                    await (result if timeout is None else asyncio.wait_for(result, timeout))
            except asyncio.CancelledError as error:
                if ending:
                    raise
                return failure(error)  # something that the handler waited for was cancelled
            except Exception as error:  # noqa: BLE001 - the user's code
                if isinstance(error, asyncio.TimeoutError) and timeout is not None and clock() - began >= timeout:
                    return f"the handler took longer than {timeout} seconds"
                return failure(error)
            return None

        async def decide(record: Record, error: str) -> None:
            action: FailedAction = None
            try:
                answer = on_failed(record, error) if on_failed is not None else None
                action = await answer if inspect.isawaitable(answer) else answer
            except asyncio.CancelledError:
                if ending:
                    raise
                _log.exception("on_failed was cancelled; the record is held")
                action = "hold"
            except Exception:  # noqa: BLE001 - the user's code
                _log.exception("on_failed failed; the record is held")
                action = "hold"
            work.decide(record.offset, action)

        async def worker() -> None:
            count = 0
            while True:
                if stop is not None and stop.is_set():
                    work.stop()  # now, also while no other task has had a turn
                try:
                    taken = jobs.take(1)
                except StopIteration:
                    return
                if taken is None:
                    await _loop.ready(jobs)
                    continue
                for record, _, error in taken:
                    if error is None:
                        work.handled(record.offset, await attempt(record))
                    else:
                        await decide(record, error)
                count += 1
                if count % 64 == 0:  # a worker that always finds something must still let other tasks run
                    await asyncio.sleep(0)

        stopping = None if stop is None else asyncio.ensure_future(_stop_when(stop, work))
        workers = [asyncio.ensure_future(worker()) for _ in range(concurrency)]
        try:
            # Not `gather`: cancelled, it would cancel the workers before they are told why.
            done, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        except BaseException:
            ending = True
            for task in workers:
                task.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            work.abort()  # who was cancelled will not answer, so nobody waits for that
            raise
        finally:
            if stopping is not None:
                stopping.cancel()
        return RunSummary(*work.summary())


def failure(error: BaseException) -> str:
    """What a handler failed with, as text that can be stored: whatever the user's class says of itself."""
    _log.debug("a handler failed", exc_info=error)
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the user's code
        text = "(its text can not be had)"
    name = type(error).__name__
    return (f"{name}: {text}" if text else name).encode(errors="backslashreplace").decode()


async def _stop_when(stop: asyncio.Event, work: _native.Work) -> None:
    await stop.wait()
    work.stop()
