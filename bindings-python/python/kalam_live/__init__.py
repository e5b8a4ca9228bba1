"""Live rows from KalamDB, kept right.

::

    import asyncio
    import kalam_live

    async def main():
        async with kalam_live.connect() as client:  # an embedded server, in memory
            await client.execute("CREATE NAMESPACE app")
            await client.execute("CREATE TABLE app.messages (id BIGINT PRIMARY KEY, body TEXT)")
            await client.execute("INSERT INTO app.messages VALUES ($1, $2)", [1, "hello"])
            async for rows in client.live("SELECT * FROM app.messages"):
                print(rows)

    asyncio.run(main())

:mod:`kalam_live.sync` has the same as blocking calls.
"""

import atexit

from kalam_live import _native
from kalam_live._callbacks import Repair
from kalam_live._client import Client, EmbeddedServer, Opening, Queries, connect, start_embedded
from kalam_live._consumer import Committed, Consumer, Offsets, RunSummary
from kalam_live._errors import (
    AlreadyExistsError,
    ArgumentError,
    AuthError,
    ClosedError,
    ConfigError,
    DisconnectedError,
    KalamError,
    LaggedError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    ProtocolError,
    RateLimitedError,
    ServerError,
    SqlError,
    SubscriptionLimitError,
    TimeoutError,
    UnavailableError,
)
from kalam_live._files import FileDownload, FileUpload, UploadProgress
from kalam_live._live import LiveEvents, LiveRows
from kalam_live._native import (
    Column,
    Event,
    FileRef,
    Insert,
    QueryResult,
    Record,
    Remove,
    Reset,
    Row,
    RowList,
    Rows,
    Subscription,
    Update,
)
from kalam_live._types import Change, Checkpoint, EventOptions, LiveOptions, OnCheckpoint, State

__all__ = [
    "AlreadyExistsError",
    "ArgumentError",
    "AuthError",
    "Change",
    "Checkpoint",
    "Client",
    "ClosedError",
    "Column",
    "Committed",
    "ConfigError",
    "Consumer",
    "DisconnectedError",
    "EmbeddedServer",
    "Event",
    "EventOptions",
    "FileDownload",
    "FileRef",
    "FileUpload",
    "Insert",
    "KalamError",
    "LaggedError",
    "LiveEvents",
    "LiveOptions",
    "LiveRows",
    "NotFoundError",
    "NotSupportedError",
    "Offsets",
    "OnCheckpoint",
    "Opening",
    "PermissionDeniedError",
    "ProtocolError",
    "Queries",
    "QueryResult",
    "RateLimitedError",
    "Record",
    "Remove",
    "Repair",
    "Reset",
    "Row",
    "RowList",
    "Rows",
    "RunSummary",
    "ServerError",
    "SqlError",
    "State",
    "Subscription",
    "SubscriptionLimitError",
    "TimeoutError",
    "UnavailableError",
    "Update",
    "UploadProgress",
    "connect",
    "start_embedded",
]

atexit.register(_native.shutdown, exiting=True)
