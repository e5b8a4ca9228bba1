"""The native half of ``kalam_live``. Import from ``kalam_live``, not from here."""

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import GenericAlias
from typing import Any, Generic, Literal, SupportsIndex, TypedDict, final, overload, type_check_only

from typing_extensions import Self, TypeVar, disjoint_base

from kalam_live._types import Change, Checkpoint, Inbox, Model, Params, State

__all__ = [
    "Client",
    "Column",
    "Consumer",
    "EmbeddedServer",
    "Event",
    "FileRef",
    "Handle",
    "Insert",
    "QueryResult",
    "Record",
    "Remove",
    "Reset",
    "Row",
    "RowList",
    "Rows",
    "Subscription",
    "TokenRequest",
    "Update",
    "UploadProgress",
    "Wakeups",
    "Work",
    "connect",
    "error_codes",
    "log",
    "shutdown",
    "start_embedded",
]

_T_co = TypeVar("_T_co", covariant=True, default=Row)
_H_co = TypeVar("_H_co", covariant=True)

@final
class Row(Mapping[str, Any]):
    """One immutable row. Cells are read by name (``row["body"]``, ``row.body``) or position (``row[0]``)."""

    def __getattribute__(self, name: str, /) -> Any: ...
    def __getitem__(self, key: str | int, /) -> Any: ...
    def __len__(self) -> int: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __dir__(self) -> list[str]: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: dict[int, Any], /) -> Self: ...
    def _repr_html_(self) -> str: ...
    def keys(self) -> tuple[str, ...]: ...  # type: ignore[override]
    def values(self) -> tuple[Any, ...]: ...  # type: ignore[override]
    def items(self) -> tuple[tuple[str, Any], ...]: ...  # type: ignore[override]
    def get(self, key: str, default: Any = None) -> Any: ...
    def asdict(self) -> dict[str, Any]:
        """The row as a new dict."""

    @property
    def version(self) -> int | None:
        """The write that this content came with, where the server told it. Not part of equality."""

@disjoint_base
class RowList(Sequence[_T_co]):
    """An immutable sequence of rows, whose Python objects are made when they are looked at."""

    def __class_getitem__(cls, key: Any) -> GenericAlias: ...
    @overload
    def __getitem__(self, key: SupportsIndex, /) -> _T_co: ...
    @overload
    def __getitem__(self, key: slice, /) -> list[_T_co]: ...
    def __len__(self) -> int: ...
    def __contains__(self, value: object, /) -> bool: ...
    def __iter__(self) -> Iterator[_T_co]: ...
    def __reversed__(self) -> Iterator[_T_co]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def index(self, value: Any, start: int = 0, stop: int = ...) -> int: ...
    def count(self, value: Any) -> int: ...
    def _repr_html_(self) -> str: ...
    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the rows. Empty when the server did not tell them."""

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as new dicts."""

    def _with_model(self, model: Model) -> Self: ...

@final
class QueryResult(RowList[_T_co]):
    """The rows of a query."""

    def __class_getitem__(cls, key: Any) -> GenericAlias: ...
    @property
    def row_count(self) -> int:
        """How many rows the statement returned or changed, as the server counted."""

    @property
    def message(self) -> str | None:
        """What the server says, such as ``Inserted 1 row(s)``."""

    @property
    def truncated(self) -> bool:
        """Whether the server probably left rows out: KalamDB returns 50 rows without a LIMIT and 1,000 with any."""

@final
class Column:
    """A column of a result."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str:
        """As SQL spells it: ``BIGINT``, ``DECIMAL(18,4)``."""

    @property
    def primary_key(self) -> bool: ...
    @property
    def not_null(self) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class Rows(RowList[_T_co]):
    """One snapshot of a live query, with what changed since the snapshot before."""

    def __class_getitem__(cls, key: Any) -> GenericAlias: ...
    @property
    def changes(self) -> tuple[Change[_T_co], ...]:
        """What turns the snapshot before into this one, when applied in order: removals from the last to the first,
        insertions from the first to the last, updates. A single ``Reset`` when everything may have changed."""

    @property
    def last_seq_id(self) -> int | None:
        """The newest write that these rows have seen: a number that does not say whose it is."""

    @property
    def checkpoint(self) -> str | None:
        """Where to go on after these rows: keep it, and give it back as ``from_``."""

    @property
    def phase(self) -> Literal["loading", "live", "reconnecting", "unverified", "partial"]:
        """How far these rows can be believed."""

@final
class Insert(Generic[_T_co]):
    """``row`` came in at ``index``."""

    __match_args__ = ("index", "row")
    def __class_getitem__(cls, key: Any) -> GenericAlias: ...
    def __new__(cls, index: int, row: _T_co) -> Self: ...
    @property
    def index(self) -> int: ...
    @property
    def row(self) -> _T_co: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class Update(Generic[_T_co]):
    """``old`` became ``row``, which is at ``index``."""

    __match_args__ = ("index", "row", "old")
    def __class_getitem__(cls, key: Any) -> GenericAlias: ...
    def __new__(cls, index: int, row: _T_co, old: _T_co) -> Self: ...
    @property
    def index(self) -> int: ...
    @property
    def row(self) -> _T_co: ...
    @property
    def old(self) -> _T_co: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class Remove(Generic[_T_co]):
    """``row`` left; it was at ``index``."""

    __match_args__ = ("index", "row")
    def __class_getitem__(cls, key: Any) -> GenericAlias: ...
    def __new__(cls, index: int, row: _T_co) -> Self: ...
    @property
    def index(self) -> int: ...
    @property
    def row(self) -> _T_co: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class Reset:
    """Everything may have changed: the first rows, or more changes than rows. Read the rows anew."""

    __match_args__ = ()
    def __new__(cls) -> Self: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class Event:
    """One thing that a subscription told, in the order in which the server told it.

    What an event of its type does not have is ``None``, or empty.
    """

    @property
    def type(
        self,
    ) -> Literal[
        "ack", "initial_data_batch", "insert", "update", "delete", "resumed", "gap_possible", "lagged", "unknown"
    ]:
        """What happened."""

    @property
    def subscription_id(self) -> str: ...
    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows of a batch, an insert or an update; of a delete the rows as they were."""

    @property
    def old_rows(self) -> tuple[dict[str, Any], ...]:
        """Of an update: for each row the key and the changed columns as they were."""

    @property
    def last_seq_id(self) -> int | None:
        """The newest write among the rows: a number that does not say whose it is."""

    @property
    def checkpoint(self) -> str | None:
        """Where to go on after this event: keep it, and give it back as ``from_``. ``None`` before the first rows, and
        between the pages of what it begins with."""

    @property
    def has_more(self) -> bool | None:
        """Of ``initial_data_batch``: whether another page follows."""

    @property
    def dropped(self) -> int | None:
        """Of ``lagged``: how many events were dropped since the reader was too slow."""

    @property
    def message(self) -> str | None:
        """Of ``gap_possible``: what may be missing, for a person."""

@final
class FileRef:
    """Where the bytes of a FILE column are."""

    @property
    def id(self) -> str: ...
    @property
    def sub(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int:
        """Size in bytes."""

    @property
    def mime(self) -> str:
        """MIME type."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes, in hexadecimal."""

    def __eq__(self, other: object, /) -> bool: ...

@final
class Subscription:
    """An open live query."""

    @property
    def id(self) -> str: ...
    @property
    def query(self) -> str:
        """The SQL as the server gets it: parameters bound, key columns added."""

    @property
    def stage(self) -> Literal["waiting", "subscribing", "loading", "ready"]: ...
    @property
    def last_seq_id(self) -> int | None:
        """The newest write received."""

# What the Python half is built on.

@final
class Wakeups:
    def __new__(cls) -> Self: ...
    def fileno(self) -> int: ...
    def drain(self) -> list[int]: ...
    def wait_for_edge(self, seen: int) -> int | None: ...
    def close(self) -> None: ...

@final
class Handle(Generic[_H_co]):
    def __class_getitem__(cls, key: Any) -> GenericAlias: ...
    def poll(self, wakeups: Wakeups, token: int) -> bool: ...
    def wait(self, timeout: float | None = None) -> bool: ...
    def take(self, max: int = 1024) -> _H_co | None: ...
    def close(self) -> None: ...
    @property
    def id(self) -> str | None: ...

@final
class UploadProgress:
    def __new__(cls) -> Self: ...
    @property
    def sent_bytes(self) -> int: ...

@final
class TokenRequest:
    def resolve(self, token: str) -> None: ...
    def fail(self, reason: str) -> None: ...

@type_check_only
class ConnectOptions(TypedDict):
    user: str | None
    password: str | None
    token: str | None
    token_provider: bool
    lifecycle: bool
    namespace: str | None
    timeouts: dict[str, float]
    reconnect: bool
    reconnect_delay: float | None
    reconnect_max_delay: float | None
    reconnect_attempts: int | None
    headers: dict[str, str]
    tls_ca: bytes | None
    tls_client_cert: tuple[bytes, str] | None
    proxy: str | None
    user_agent: str | None
    compression: bool
    max_message_bytes: int | None

@final
class Client:
    def query(self, sql: str, params: Params | None = None, *, user: str | None = None) -> Handle[QueryResult[Row]]: ...
    def query_all(self, sql: str, params: Params | None = None) -> Handle[RowList[Row]]: ...
    def execute(self, sql: str, params: Params | None = None, *, user: str | None = None) -> Handle[int]: ...
    def execute_with_files(
        self,
        sql: str,
        params: Params | None,
        files: list[tuple[str, str, str | None, bytes]],
        progress: UploadProgress,
    ) -> Handle[int]: ...
    def download_file(self, file: FileRef, table: str, user: str | None = None) -> Handle[tuple[bytes, str | None]]: ...
    def batch(self, statements: list[str | tuple[str, Params]]) -> Handle[int]: ...
    def live(
        self,
        sql: str,
        params: Params | None = None,
        *,
        table: bool = False,
        model: Model | None = None,
        id: str | None = None,
        last_rows: int | None = None,
        batch_size: int | None = None,
        from_: Checkpoint | None = None,
        limit: int | None = None,
        key_columns: Sequence[str] | None = None,
        order_by: str | None = None,
        partial: bool = False,
        verify: bool | float | None = None,
    ) -> Handle[Rows[Any]]: ...
    def live_events(
        self,
        sql: str,
        params: Params | None = None,
        *,
        id: str | None = None,
        last_rows: int | None = None,
        batch_size: int | None = None,
        from_: Checkpoint | None = None,
        initial_data: bool = True,
    ) -> Handle[list[Event]]: ...
    def consumer(self, options: ConsumerOptions) -> Consumer: ...
    def subscriptions(self) -> Handle[list[Subscription]]: ...
    def cancel_subscription(self, id: str) -> Handle[None]: ...
    def connect(self) -> Handle[None]: ...
    def disconnect(self) -> Handle[None]: ...
    def health(self) -> Handle[dict[str, str]]: ...
    def close(self) -> Handle[None]: ...
    def network_changed(self) -> None: ...
    def counters(self) -> dict[str, int]: ...
    @property
    def state(self) -> State: ...

@type_check_only
class ConsumerOptions(TypedDict):
    topic: str
    group_id: str
    start: str
    partition_id: int
    max_poll_records: int
    poll_timeout: float
    auto_commit: bool
    auto_commit_interval: float

@type_check_only
class ConsumerPlace(TypedDict):
    position: int
    committed: int
    held_back: int
    unfinished: int

@final
class Record:
    """One record of a topic: what was done to a row."""

    @property
    def topic(self) -> str:
        """The topic, with its namespace."""

    @property
    def partition(self) -> int:
        """The partition, from 0."""

    @property
    def offset(self) -> int:
        """Its place in the partition."""

    @property
    def key(self) -> str | None:
        """The primary key of the row, as text."""

    @property
    def op(self) -> Literal["insert", "update", "delete"]:
        """What was done to the row."""

    @property
    def timestamp(self) -> datetime:
        """When, in UTC."""

    @property
    def user(self) -> str | None:
        """Owner of the row, where it has one."""

    @property
    def payload(self) -> bytes:
        """The bytes of the record: JSON, unless somebody else writes to the topic."""

    @property
    def problem(self) -> str | None:
        """What of the record could not be read; the rest is as good as it gets."""

    @property
    def row(self) -> Row | None:
        """The payload as a row, each cell typed by its column; ``None`` when it is no row of a table that may be read."""

    def json(self) -> Any:
        """The payload as JSON, without types: a BIGINT is a text."""

@final
class Consumer:
    @property
    def max_poll_records(self) -> int: ...
    def poll(self, timeout: float | None = None) -> Handle[list[Record]]: ...
    def mark(self, offset: int) -> None: ...
    def commit(self) -> Handle[tuple[int, int]]: ...
    def commit_later(self) -> None: ...
    def seek(self, offset: int) -> Handle[None]: ...
    def close(self) -> Handle[None]: ...
    def offsets(self) -> ConsumerPlace: ...
    def run(
        self,
        *,
        concurrency: int,
        max_attempts: int,
        backoff: tuple[float, float],
        dead_letter_topic: str | None,
        on_failed: bool,
    ) -> tuple[Work, Handle[list[tuple[Record, int, str | None]]]]: ...
    @property
    def is_closed(self) -> bool: ...
    @property
    def position(self) -> int: ...

@final
class Work:
    def handled(self, offset: int, error: str | None = None) -> None: ...
    def decide(self, offset: int, action: Literal["skip", "hold"] | None = None) -> None: ...
    def stop(self) -> None: ...
    def abort(self) -> None: ...
    def summary(self) -> tuple[int, int]: ...

@final
class EmbeddedServer:
    @property
    def url(self) -> str: ...
    @property
    def root_password(self) -> str | None: ...
    def stop(self) -> Handle[None]: ...

def connect(
    options: ConnectOptions,
    urls: list[str] | None = None,
    directory: str | os.PathLike[str] | None = None,
    root_password: str | None = None,
) -> tuple[Handle[Client], Inbox]: ...
def start_embedded(
    *,
    directory: str | os.PathLike[str] | None = None,
    root_password: str | None = None,
    port: int = 0,
    topic_visibility: float | None = None,
) -> Handle[EmbeddedServer]: ...
def log(least_level: int) -> Handle[list[tuple[int, str, str]]]: ...
def shutdown(*, exiting: bool = False) -> None: ...
def error_codes() -> list[str]: ...
