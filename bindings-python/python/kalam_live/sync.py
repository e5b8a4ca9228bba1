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
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from kalam_live import _callbacks, _files, _logs, _loop, _models, _native
from kalam_live._errors import TimeoutError
from kalam_live._options import Connecting, open_client

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from kalam_live._files import FileDownload, Files, OnProgress
    from kalam_live._native import Event, FileRef, Handle, QueryResult, Row, RowList, Rows, Subscription
    from kalam_live._types import EventOptions, LiveOptions, OnCheckpoint, Params, State

__all__ = ["Client", "EmbeddedServer", "LiveEvents", "LiveRows", "Queries", "connect", "start_embedded"]

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
        return _result(self._native.batch(list(statements)))

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
        handle = self._native.live(sql, params, model=_models.converter(model), **options)
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
        handle = self._native.live(table, table=True, model=_models.converter(model), **options)
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
        return LiveEvents(self, self._native.live_events(sql, params, **options), on_checkpoint)

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
    directory: str | os.PathLike[str] | None = None, *, port: int = 0, root_password: str | None = None
) -> EmbeddedServer:
    """Starts an embedded server on this machine, with its data in ``directory`` or in memory.

    Port 0 is a free one. Without ``root_password`` one is generated when the data is created.
    """
    return EmbeddedServer(_result(_native.start_embedded(directory=directory, port=port, root_password=root_password)))
