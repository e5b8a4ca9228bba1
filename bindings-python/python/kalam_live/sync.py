"""The same without an event loop: blocking calls and plain iterators.

::

    from kalam_live import sync

    with sync.connect("http://localhost:2900", user="alice", password="...") as client:
        for rows in client.live("SELECT * FROM app.messages"):
            print(rows)

Ctrl-C ends any wait. A client can be used by several threads; each live query by one at a time.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from kalam_live import _callbacks, _check, _consumer, _files, _logs, _loop, _models, _native
from kalam_live._consumer import Committed, RunSummary
from kalam_live._errors import ClosedError, KalamError, TimeoutError
from kalam_live._options import Connecting, open_client

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from kalam_live._consumer import FailedAction, Start
    from kalam_live._files import FileDownload, Files, OnProgress
    from kalam_live._native import Event, FileRef, Handle, QueryResult, Record, Row, RowList, Rows, Subscription
    from kalam_live._types import EventOptions, LiveOptions, OnCheckpoint, Params, State

__all__ = ["Client", "Consumer", "EmbeddedServer", "LiveEvents", "LiveRows", "Queries", "connect", "start_embedded"]

_log = logging.getLogger("kalam_live")

P = ParamSpec("P")
T = TypeVar("T")


def _wait(handle: Handle[object], timeout: float | None = None) -> bool:
    ready = handle.wait(timeout)
    _logs.drain()
    return ready


def _result(operation: Handle[T]) -> T:
    try:
        _wait(operation)
    except BaseException:
        operation.close()
        raise
    return _loop.taken(operation)


class Queries:
    """SQL as one user: the client's own, or the one of :meth:`Client.as_user`."""

    def __init__(self, native: _native.Client, user: str | None = None) -> None:
        self._native = native
        self._user = user

    @overload
    def query(self, sql: str, params: Params | None = None, *, model: type[T]) -> QueryResult[T]: ...
    @overload
    def query(self, sql: str, params: Params | None = None) -> QueryResult[Row]: ...
    def query(self, sql: str, params: Params | None = None, *, model: type[Any] | None = None) -> QueryResult[Any]:
        """The rows that ``sql`` returns, a sequence. ``params`` are the values of ``$1``, ``$2`` and so on.

        With a ``model`` (a dataclass, NamedTuple, TypedDict or pydantic model) each row is one of those.
        """
        return _models.apply(_result(self._native.query(sql, params, user=self._user)), model)

    @overload
    def query_one(self, sql: str, params: Params | None = None, *, model: type[T]) -> T | None: ...
    @overload
    def query_one(self, sql: str, params: Params | None = None) -> Row | None: ...
    def query_one(self, sql: str, params: Params | None = None, *, model: type[Any] | None = None) -> Any:
        """The first row, or ``None`` when there is none."""
        result = _models.apply(_result(self._native.query(sql, params, user=self._user)), model)
        return result[0] if result else None

    def execute(self, sql: str, params: Params | None = None) -> int:
        """Executes ``sql`` and returns how many rows it has changed."""
        return _result(self._native.execute(sql, params, user=self._user))


class Client(Queries):
    """A connection to a server: see :func:`connect`."""

    def __init__(self, native: _native.Client, serving: threading.Thread | None) -> None:
        super().__init__(native)
        self._serving = serving

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @overload
    def query_all(self, sql: str, params: Params | None = None, *, model: type[T]) -> RowList[T]: ...
    @overload
    def query_all(self, sql: str, params: Params | None = None) -> RowList[Row]: ...
    def query_all(self, sql: str, params: Params | None = None, *, model: type[Any] | None = None) -> RowList[Any]:
        """All rows of a SELECT without ORDER BY and LIMIT, fetched in pages: KalamDB returns at most 1,000 at once."""
        return _models.apply(_result(self._native.query_all(sql, params)), model)

    def batch(self, statements: Iterable[str | tuple[str, Params]]) -> int:
        """Executes statements in one transaction: all of them, or on an error none.

        Each is SQL, or a pair of SQL and parameters. Returns how many rows they have changed.
        """
        return _result(self._native.batch(_check.statements(statements)))

    def execute_with_files(
        self, sql: str, params: Params | None = None, *, files: Files, on_progress: OnProgress | None = None
    ) -> int:
        """Executes one statement with files and returns how many rows it has changed.

        ``FILE("name")`` in it stands for the file of that name in ``files``. ``on_progress`` is called now and then while
        they are sent. It is sent once: without an answer it may have been applied.
        """
        parts = _files.parts(files)
        progress = _native.UploadProgress()
        operation = self._native.execute_with_files(sql, params, parts, progress)
        if on_progress is not None:
            told = _files.Told(parts, on_progress)
            try:
                while not _wait(operation, _files.PROGRESS_EVERY):
                    told.now(progress.sent_bytes)
                told.now(progress.sent_bytes)
            except BaseException:
                operation.close()
                raise
        return _result(operation)

    def download_file(self, file: FileRef, table: str, *, user: str | None = None) -> FileDownload:
        """The bytes of the file that a cell of ``table`` refers to; ``user`` is whose table it is, for those who may read it.

        Raises :class:`NotFoundError` when there is no such file.
        """
        return _files.FileDownload(*_result(self._native.download_file(file, table, user)))

    def as_user(self, user: str) -> Queries:
        """``query``, ``query_one`` and ``execute`` as another user, where the rights of this one allow it."""
        return Queries(self._native, user)

    @overload
    def live(
        self,
        sql: str,
        params: Params | None = None,
        *,
        model: type[T],
        on_checkpoint: OnCheckpoint | None = None,
        **options: Unpack[LiveOptions],
    ) -> LiveRows[T]: ...
    @overload
    def live(
        self,
        sql: str,
        params: Params | None = None,
        *,
        on_checkpoint: OnCheckpoint | None = None,
        **options: Unpack[LiveOptions],
    ) -> LiveRows[Row]: ...
    def live(
        self,
        sql: str,
        params: Params | None = None,
        *,
        model: type[Any] | None = None,
        on_checkpoint: OnCheckpoint | None = None,
        **options: Unpack[LiveOptions],
    ) -> LiveRows[Any]:
        """The rows of ``SELECT columns FROM namespace.table [WHERE ...]``, again whenever they have changed.

        See :meth:`kalam_live.Client.live`.
        """
        handle = self._native.live(sql, params, model=_models.converter(model), **_check.live_options(options))
        return LiveRows(self, handle, on_checkpoint)

    @overload
    def live_table(
        self, table: str, *, model: type[T], on_checkpoint: OnCheckpoint | None = None, **options: Unpack[LiveOptions]
    ) -> LiveRows[T]: ...
    @overload
    def live_table(
        self, table: str, *, on_checkpoint: OnCheckpoint | None = None, **options: Unpack[LiveOptions]
    ) -> LiveRows[Row]: ...
    def live_table(
        self,
        table: str,
        *,
        model: type[Any] | None = None,
        on_checkpoint: OnCheckpoint | None = None,
        **options: Unpack[LiveOptions],
    ) -> LiveRows[Any]:
        """All rows and columns of a table, as :meth:`live`."""
        handle = self._native.live(table, table=True, model=_models.converter(model), **_check.live_options(options))
        return LiveRows(self, handle, on_checkpoint)

    def live_events(
        self,
        sql: str,
        params: Params | None = None,
        *,
        on_checkpoint: OnCheckpoint | None = None,
        **options: Unpack[EventOptions],
    ) -> LiveEvents:
        """What the server tells about a query, event by event. See :meth:`kalam_live.Client.live_events`."""
        return LiveEvents(self, self._native.live_events(sql, params, **_check.event_options(options)), on_checkpoint)

    def consumer(
        self,
        topic: str,
        group_id: str,
        *,
        start: Start = "latest",
        partition_id: int = 0,
        max_poll_records: int = 100,
        poll_timeout: float = 30.0,
        auto_commit: bool = True,
        auto_commit_interval: float = 5.0,
    ) -> Consumer:
        """A consumer of a topic: ``with client.consumer("app.orders", "billing") as consumer``.

        ::

            with client.consumer("app.orders", "billing", start="earliest") as consumer:
                for record in consumer:  # asking for the next says that this one is finished
                    print(record.op, record.row)

        Args:
            topic: With its namespace: ``app.orders``.
            group_id: The consumers that share the records; the server keeps their progress.
            start: Where a group begins that is new: ``"latest"``, ``"earliest"`` or an offset.
            partition_id: The partition to read, from 0.
            max_poll_records: The most records that one poll gives.
            poll_timeout: Seconds that a poll waits for records.
            auto_commit: Whether what was marked is committed by itself.
            auto_commit_interval: Seconds that what was marked may wait for that.
        """
        taken = _consumer.options(
            topic,
            group_id,
            start,
            partition_id,
            max_poll_records,
            poll_timeout,
            auto_commit,
            auto_commit_interval,
        )
        return Consumer(self, self._native.consumer(taken))

    def subscriptions(self) -> list[Subscription]:
        """The open live queries, oldest first."""
        return _result(self._native.subscriptions())

    def cancel_subscription(self, id: str) -> None:
        """Ends a live query by its id; a loop over it ends. :class:`NotFoundError` when there is none of that id."""
        _result(self._native.cancel_subscription(id))

    @property
    def state(self) -> State:
        """The state of the connection."""
        return self._native.state

    def counters(self) -> dict[str, int]:
        """What has been counted since the client was made: ``frames`` and ``bytes`` received, messages ``sent``,
        ``connects``, ``unknown_frames``, ``late_frames``, and how often a reader of events ``lagged``."""
        return self._native.counters()

    def health(self) -> dict[str, str]:
        """What the server says about its health. KalamDB answers only to callers on its own machine."""
        return _result(self._native.health())

    def disconnect(self) -> None:
        """Closes the connection. Live queries stay, with their rows, and go on after :meth:`connect`."""
        _result(self._native.disconnect())

    def connect(self) -> None:
        """Connects again after :meth:`disconnect`."""
        _result(self._native.connect())

    def network_changed(self) -> None:
        """Tells that the network has changed: the client tries at once instead of waiting, or tests its connection."""
        self._native.network_changed()

    def close(self) -> None:
        """Ends every live query, closes the connection, and stops the embedded server if there is one."""
        _result(self._native.close())
        if self._serving is not None and self._serving is not threading.current_thread():
            self._serving.join()


class _Subscription(Generic[T]):
    """What both kinds have in common. ``T`` is what their handle gives."""

    def __init__(self, client: object, handle: Handle[T], on_checkpoint: OnCheckpoint | None) -> None:
        self._client = client  # which would close its embedded server if nobody held it
        self._handle = handle
        self._on_checkpoint = on_checkpoint
        self._checkpoint: str | None = None

    @property
    def id(self) -> str | None:
        """The subscription's id, as :meth:`Client.subscriptions` lists it; ``None`` while it is being opened."""
        return self._handle.id

    def close(self) -> None:
        """Ends the subscription. May be called often, and while another thread waits in the loop, which then ends."""
        self._handle.close()

    def __iter__(self) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self, timeout: float | None = None) -> T:
        """Waits for what comes next; ``StopIteration`` at the end."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            if not _wait(self._handle, left):
                raise TimeoutError(f"nothing new within {timeout} seconds", retryable=True)
            taken = self._handle.take()
            if taken is not None:
                return taken

    def _handed_out(self, what: Event | Rows[Any]) -> None:
        if self._on_checkpoint is None:
            return
        checkpoint = what.checkpoint
        if checkpoint is not None and checkpoint != self._checkpoint:
            self._checkpoint = checkpoint
            _callbacks.report_blocking(self._on_checkpoint, checkpoint)


class LiveRows(_Subscription["Rows[T]"], Generic[T]):
    """The rows of a live query: ``for rows in client.live(sql)``.

    Each step of the loop gets the newest complete :class:`Rows`; a slow loop skips the states between.
    """

    def __init__(self, client: object, handle: Handle[Rows[T]], on_checkpoint: OnCheckpoint | None) -> None:
        super().__init__(client, handle, on_checkpoint)
        self._newest: Rows[T] | None = None

    @property
    def rows(self) -> Rows[T] | None:
        """The newest rows there are, without waiting; ``None`` when the first are still to come.

        A loop does not see them again, so its next ``changes`` begin here.
        """
        try:
            taken = self._handle.take()
        except StopIteration:
            taken = None
        if taken is not None:
            self._newest = taken
        return self._newest

    def __next__(self) -> Rows[T]:
        return self.next()

    def next(self, timeout: float | None = None) -> Rows[T]:
        """Waits for the next rows; ``TimeoutError`` after so many seconds, ``StopIteration`` when it was closed."""
        self._newest = rows = self._take(timeout)
        self._handed_out(rows)
        return rows


class LiveEvents(_Subscription["list[Event]"]):
    """The events of a live query: ``for event in client.live_events(sql)``."""

    def __init__(self, client: object, handle: Handle[list[Event]], on_checkpoint: OnCheckpoint | None) -> None:
        super().__init__(client, handle, on_checkpoint)
        self._events: deque[Event] = deque()

    def __next__(self) -> Event:
        return self.next()

    def next(self, timeout: float | None = None) -> Event:
        """Waits for the next event; ``TimeoutError`` after so many seconds, ``StopIteration`` when it was closed."""
        if not self._events:
            self._events.extend(self._take(timeout))
        event = self._events.popleft()
        self._handed_out(event)
        return event

    def take(self, timeout: float | None = None) -> list[Event]:
        """All events that are there, at least one; an empty list when there will be no more. Cheaper than a loop."""
        events = list(self._events)
        self._events.clear()
        if not events:
            try:
                events = self._take(timeout)
            except StopIteration:
                return []
        for event in events:
            self._handed_out(event)
        return events


class Consumer(_consumer.BaseConsumer):
    """One member of a group of consumers that share the records of a topic: see :meth:`Client.consumer`.

    Every record is handed out at least once: what was not finished before the consumer ended, or within the server's
    visibility timeout, is delivered again, to this or another member.
    """

    def poll(self, timeout: float | None = None) -> list[Record]:
        """The next records, at most ``max_poll_records``; none when there were none within ``timeout`` seconds."""
        return self._poll(self._native.poll(timeout), self._native.max_poll_records)

    def _poll(self, handle: Handle[list[Record]], most: int) -> list[Record]:
        try:
            _wait(handle)
        except BaseException:
            handle.close()
            raise
        return handle.take(most) or []

    def commit(self) -> Committed:
        """Commits what is finished, as far as nothing before it is unfinished, and waits for the server.

        What has to be held back is committed later by itself, when the gap before it is closed.
        """
        return Committed(*_result(self._native.commit()))

    def seek(self, offset: int) -> None:
        """Moves the **group** to ``offset``, also back, and goes on there. Stop its other members before."""
        _result(self._native.seek(offset))
        self._forget()

    def close(self) -> None:
        """Commits what may be committed and ends, within five seconds. May be called often, by any thread."""
        _result(self._native.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Record:
        """The next record, however long it takes. Asking for it says that the one before is finished."""
        if not self._finish_current():
            raise StopIteration
        while not self._records:
            try:
                self._records.extend(self._poll(self._native.poll(None), _consumer.MOST))
            except ClosedError:
                raise StopIteration from None
            except KalamError as error:
                if not error.retryable:
                    raise
                _log.warning("no records, still trying: %s", error)
        self._current = self._records.popleft()
        return self._current

    def run(
        self,
        handler: Callable[[Record], object],
        *,
        concurrency: int = 1,
        max_attempts: int = 3,
        backoff: tuple[float, float] = (0.25, 5.0),
        on_failed: Callable[[Record, str], FailedAction] | None = None,
        dead_letter_topic: str | None = None,
        stop: threading.Event | None = None,
    ) -> RunSummary:
        """Handles records until ``stop`` is set or Ctrl-C is pressed; commits what is finished.

        As :meth:`kalam_live.Consumer.run`, with a thread for each record that is handled at the same time; with
        ``concurrency=1`` in the calling thread.
        """
        work, jobs = self._native.run(
            concurrency=concurrency,
            max_attempts=max_attempts,
            backoff=backoff,
            dead_letter_topic=dead_letter_topic,
            on_failed=on_failed is not None,
        )
        failures: list[BaseException] = []

        def attempt(record: Record) -> str | None:
            try:
                handler(record)
            except Exception as error:  # noqa: BLE001 - the user's code
                return _consumer.failure(error)
            return None

        def decide(record: Record, error: str) -> None:
            action: FailedAction = None
            try:
                action = on_failed(record, error) if on_failed is not None else None
            except Exception:  # noqa: BLE001 - the user's code
                _log.exception("on_failed failed; the record is held")
                action = "hold"
            work.decide(record.offset, action)

        def worker() -> None:
            while True:
                if stop is not None and stop.is_set():
                    work.stop()
                try:
                    taken = jobs.take(1)
                except StopIteration:
                    return
                if taken is None:
                    _wait(jobs, None if stop is None else 0.1)
                    continue
                for record, _, error in taken:
                    if error is None:
                        work.handled(record.offset, attempt(record))
                    else:
                        decide(record, error)

        def kept() -> None:
            try:
                worker()
            except BaseException as error:  # noqa: BLE001 - raised in the calling thread
                failures.append(error)
                # Who was interrupted will not answer, so nobody waits for that.
                work.abort()

        threads = [
            threading.Thread(target=kept, name=f"kalam-live-worker-{n}", daemon=True) for n in range(concurrency - 1)
        ]
        for thread in threads:
            thread.start()
        try:
            worker()
        except ClosedError:
            if not failures:
                raise
        except BaseException:
            work.abort()
            raise
        finally:
            for thread in threads:
                thread.join()
        if failures:
            raise failures[0]
        return RunSummary(*work.summary())


def _client(connecting: Connecting) -> Client:
    serving: threading.Thread | None = None
    if connecting.callbacks:
        arguments = (connecting.inbox, connecting.callbacks)
        serving = threading.Thread(
            target=_callbacks.serve_blocking, args=arguments, name="kalam-live-callbacks", daemon=True
        )
        serving.start()
    try:
        return Client(_result(connecting.client), serving)
    except Exception:
        if serving is not None:
            serving.join()  # which tells what failed, and ends
        raise
    except BaseException:  # Ctrl-C
        connecting.inbox.close()
        raise


def _opening(open_client: Callable[P, Connecting]) -> Callable[P, Client]:
    @functools.wraps(open_client)
    def connect(*args: P.args, **kwargs: P.kwargs) -> Client:
        return _client(open_client(*args, **kwargs))

    return connect


connect = _opening(open_client)
connect.__name__ = connect.__qualname__ = "connect"


class EmbeddedServer:
    """An embedded server that other clients connect to: see :func:`start_embedded`."""

    def __init__(self, native: _native.EmbeddedServer) -> None:
        self._native = native

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Where clients connect, such as ``http://127.0.0.1:2900``."""
        return self._native.url

    @property
    def root_password(self) -> str | None:
        """The password of ``root``; ``None`` when it was set by an earlier start on the same directory."""
        return self._native.root_password

    def close(self) -> None:
        """Stops the server. May be called often."""
        _result(self._native.stop())


def start_embedded(
    directory: str | os.PathLike[str] | None = None,
    *,
    port: int = 0,
    root_password: str | None = None,
    topic_visibility: float | None = None,
) -> EmbeddedServer:
    """Starts an embedded server on this machine, with its data in ``directory`` or in memory.

    Port 0 is a free one. Without ``root_password`` one is generated when the data is created. A consumer may hold a
    record of a topic for ``topic_visibility`` seconds (30) before it is delivered again.
    """
    starting = _native.start_embedded(
        directory=directory, port=port, root_password=root_password, topic_visibility=topic_visibility
    )
    return EmbeddedServer(_result(starting))
