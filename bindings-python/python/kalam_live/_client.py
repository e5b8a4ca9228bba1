"""The client for an event loop."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Coroutine, Generator, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, overload

from kalam_live import _callbacks, _check, _consumer, _files, _loop, _models, _native
from kalam_live._consumer import Consumer
from kalam_live._live import LiveEvents, LiveRows
from kalam_live._options import Connecting, open_client

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from kalam_live._consumer import Start
    from kalam_live._files import FileDownload, Files, OnProgress
    from kalam_live._native import FileRef, Handle, QueryResult, Row, RowList, Subscription
    from kalam_live._types import EventOptions, LiveOptions, OnCheckpoint, Params, State

P = ParamSpec("P")
T = TypeVar("T")


class _Closable(Protocol):
    async def close(self) -> None: ...


C = TypeVar("C", bound=_Closable)


class Queries:
    """SQL as one user: the client's own, or the one of :meth:`Client.as_user`."""

    def __init__(self, native: _native.Client, user: str | None = None) -> None:
        self._native = native
        self._user = user

    @overload
    async def query(self, sql: str, params: Params | None = None, *, model: type[T]) -> QueryResult[T]: ...
    @overload
    async def query(self, sql: str, params: Params | None = None) -> QueryResult[Row]: ...
    async def query(
        self, sql: str, params: Params | None = None, *, model: type[Any] | None = None
    ) -> QueryResult[Any]:
        """The rows that ``sql`` returns, a sequence. ``params`` are the values of ``$1``, ``$2`` and so on.

        With a ``model`` (a dataclass, NamedTuple, TypedDict or pydantic model) each row is one of those.
        """
        result = await _loop.result(self._native.query(sql, params, user=self._user))
        return _models.apply(result, model)

    @overload
    async def query_one(self, sql: str, params: Params | None = None, *, model: type[T]) -> T | None: ...
    @overload
    async def query_one(self, sql: str, params: Params | None = None) -> Row | None: ...
    async def query_one(self, sql: str, params: Params | None = None, *, model: type[Any] | None = None) -> Any:
        """The first row, or ``None`` when there is none."""
        result = _models.apply(await _loop.result(self._native.query(sql, params, user=self._user)), model)
        return result[0] if result else None

    async def execute(self, sql: str, params: Params | None = None) -> int:
        """Executes ``sql`` and returns how many rows it has changed."""
        return await _loop.result(self._native.execute(sql, params, user=self._user))


class Client(Queries):
    """A connection to a server: see :func:`connect`. Can be used by any number of tasks, threads and event loops."""

    def __init__(self, native: _native.Client, serving: asyncio.Task[None] | None) -> None:
        super().__init__(native)
        self._serving = serving

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @overload
    async def query_all(self, sql: str, params: Params | None = None, *, model: type[T]) -> RowList[T]: ...
    @overload
    async def query_all(self, sql: str, params: Params | None = None) -> RowList[Row]: ...
    async def query_all(
        self, sql: str, params: Params | None = None, *, model: type[Any] | None = None
    ) -> RowList[Any]:
        """All rows of a SELECT without ORDER BY and LIMIT, fetched in pages: KalamDB returns at most 1,000 at once."""
        return _models.apply(await _loop.result(self._native.query_all(sql, params)), model)

    async def batch(self, statements: Iterable[str | tuple[str, Params]]) -> int:
        """Executes statements in one transaction: all of them, or on an error none.

        Each is SQL, or a pair of SQL and parameters. Returns how many rows they have changed.
        """
        return await _loop.result(self._native.batch(_check.statements(statements)))

    async def execute_with_files(
        self, sql: str, params: Params | None = None, *, files: Files, on_progress: OnProgress | None = None
    ) -> int:
        """Executes one statement with files and returns how many rows it has changed.

        ``FILE("name")`` in it stands for the file of that name in ``files``. ``on_progress`` is called now and then while
        they are sent. It is sent once: without an answer it may have been applied.
        """
        parts = await asyncio.get_running_loop().run_in_executor(None, _files.parts, files)
        progress = _native.UploadProgress()
        operation = self._native.execute_with_files(sql, params, parts, progress)
        if on_progress is None:
            return await _loop.result(operation)
        told = _files.Told(parts, on_progress)
        result = asyncio.ensure_future(_loop.result(operation))
        try:
            while not result.done():
                told.now(progress.sent_bytes)
                await asyncio.wait({result}, timeout=_files.PROGRESS_EVERY)
            told.now(progress.sent_bytes)
            return await result
        finally:
            result.cancel()

    async def download_file(self, file: FileRef, table: str, *, user: str | None = None) -> FileDownload:
        """The bytes of the file that a cell of ``table`` refers to; ``user`` is whose table it is, for those who may read it.

        Raises :class:`NotFoundError` when there is no such file.
        """
        return _files.FileDownload(*await _loop.result(self._native.download_file(file, table, user)))

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

        ::

            async for rows in client.live("SELECT id, body FROM app.messages WHERE room = $1", ["main"]):
                print(len(rows), rows.changes)

        Args:
            sql: Without ORDER BY and LIMIT: see ``order_by`` and ``limit``.
            params: The values of ``$1``, ``$2`` and so on.
            model: A dataclass, NamedTuple, TypedDict or pydantic model that each row is made.
            on_checkpoint: Called with the place to go on from, as text, when rows are handed out.
            options: See :class:`LiveOptions`.
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
        """What the server tells about a query, event by event, for programs that keep their own state.

        ::

            async for event in client.live_events("SELECT * FROM app.messages"):
                print(event.type, event.rows)

        ``options`` are those of :class:`EventOptions`. A reader that is too slow gets one ``lagged`` event in place of
        those that were dropped; the subscription then goes on after the last one that it took.
        """
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
        """A consumer of a topic: ``async with client.consumer("app.orders", "billing") as consumer``.

        ::

            async with client.consumer("app.orders", "billing", start="earliest") as consumer:
                async for record in consumer:  # asking for the next says that this one is finished
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

    async def subscriptions(self) -> list[Subscription]:
        """The open live queries, oldest first."""
        return await _loop.result(self._native.subscriptions())

    async def cancel_subscription(self, id: str) -> None:
        """Ends a live query by its id; a loop over it ends. :class:`NotFoundError` when there is none of that id."""
        await _loop.result(self._native.cancel_subscription(id))

    @property
    def state(self) -> State:
        """The state of the connection."""
        return self._native.state

    def counters(self) -> dict[str, int]:
        """What has been counted since the client was made: ``frames`` and ``bytes`` received, messages ``sent``,
        ``connects``, ``unknown_frames``, ``late_frames``, and how often a reader of events ``lagged``."""
        return self._native.counters()

    async def health(self) -> dict[str, str]:
        """What the server says about its health. KalamDB answers only to callers on its own machine."""
        return await _loop.result(self._native.health())

    async def disconnect(self) -> None:
        """Closes the connection. Live queries stay, with their rows, and go on after :meth:`connect`."""
        await _loop.result(self._native.disconnect())

    async def connect(self) -> None:
        """Connects again after :meth:`disconnect`."""
        await _loop.result(self._native.connect())

    def network_changed(self) -> None:
        """Tells that the network has changed: the client tries at once instead of waiting, or tests its connection."""
        self._native.network_changed()

    async def close(self) -> None:
        """Ends every live query, closes the connection, and stops the embedded server if there is one."""
        await _loop.result(self._native.close())
        if self._serving is not None and self._serving is not asyncio.current_task():
            await asyncio.wait([self._serving])


class Opening(Generic[C]):
    """What is being opened: ``await`` it once, or use it with ``async with``, which closes it at the end."""

    def __init__(self, opened: Coroutine[Any, Any, C]) -> None:
        self._opening = opened
        self._opened: C | None = None

    def __await__(self) -> Generator[Any, None, C]:
        return self._opening.__await__()

    if not TYPE_CHECKING:  # for whoever has no type checker to say so

        def __getattr__(self, name: str) -> object:
            raise AttributeError(
                f"{name!r}: this is not open yet; write `await connect(...)` or `async with connect(...) as ...`"
            )

        def __enter__(self) -> C:
            raise TypeError("write `async with`; for `with` and no event loop there is kalam_live.sync")

        def __exit__(self, *error: object) -> None: ...

    async def __aenter__(self) -> C:
        self._opened = await self._opening
        return self._opened

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._opened is not None:
            await self._opened.close()


async def _client(connecting: Connecting) -> Client:
    serving: asyncio.Task[None] | None = None
    if connecting.callbacks:
        serving = asyncio.create_task(_callbacks.serve(connecting.inbox, connecting.callbacks))
    try:
        return Client(await _loop.result(connecting.client), serving)
    except Exception:
        if serving is not None:
            await serving  # which tells what failed, and ends
        raise
    except BaseException:  # cancelled
        connecting.inbox.close()
        raise


_client.__qualname__ = "connect"  # what Python calls it when it was never awaited


def _opening(open_client: Callable[P, Connecting]) -> Callable[P, Opening[Client]]:
    @functools.wraps(open_client)
    def connect(*args: P.args, **kwargs: P.kwargs) -> Opening[Client]:
        return Opening(_client(open_client(*args, **kwargs)))

    return connect


connect = _opening(open_client)
connect.__name__ = connect.__qualname__ = "connect"


class EmbeddedServer:
    """An embedded server that other clients connect to: see :func:`start_embedded`."""

    def __init__(self, native: _native.EmbeddedServer) -> None:
        self._native = native

    @property
    def url(self) -> str:
        """Where clients connect, such as ``http://127.0.0.1:2900``."""
        return self._native.url

    @property
    def root_password(self) -> str | None:
        """The password of ``root``; ``None`` when it was set by an earlier start on the same directory."""
        return self._native.root_password

    async def close(self) -> None:
        """Stops the server. May be called often."""
        await _loop.result(self._native.stop())


def start_embedded(
    directory: str | os.PathLike[str] | None = None,
    *,
    port: int = 0,
    root_password: str | None = None,
    topic_visibility: float | None = None,
) -> Opening[EmbeddedServer]:
    """Starts an embedded server on this machine, with its data in ``directory`` or in memory.

    ::

        async with kalam_live.start_embedded(root_password="secret") as server:
            async with kalam_live.connect(server.url, user="root", password="secret") as client:
                ...

    Port 0 is a free one. Without ``root_password`` one is generated when the data is created. A consumer may hold a
    record of a topic for ``topic_visibility`` seconds (30) before it is delivered again.
    """
    starting = _native.start_embedded(
        directory=directory, port=port, root_password=root_password, topic_visibility=topic_visibility
    )
    return Opening(_server(starting))


async def _server(starting: Handle[_native.EmbeddedServer]) -> EmbeddedServer:
    return EmbeddedServer(await _loop.result(starting))
