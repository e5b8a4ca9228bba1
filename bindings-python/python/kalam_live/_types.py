"""Types of arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, TypedDict, TypeVar

from kalam_live._native import Handle, Insert, Remove, Reset, Row, Update

T = TypeVar("T")

Change: TypeAlias = Insert[T] | Update[T] | Remove[T] | Reset
"""One difference between two snapshots of live rows."""

Params: TypeAlias = Sequence[Any]
"""The values of ``$1``, ``$2`` and so on."""

Model: TypeAlias = Callable[[Row], Any]

Inbox: TypeAlias = Handle[list[tuple[str, Any]]]

Checkpoint: TypeAlias = int | str
"""Where to go on: ``checkpoint`` of rows or an event, or what ``on_checkpoint`` was called with.

Its text says whose data it is of; at others everything is loaded instead, and ``gap_possible`` says so. A bare
``last_seq_id`` is accepted too, and is unproven."""

OnCheckpoint: TypeAlias = Callable[[str], object]
"""Called with the place to go on from, as text. A coroutine function is awaited in an event loop."""

State: TypeAlias = Literal["idle", "connecting", "connected", "reconnecting", "closed"]


class EventOptions(TypedDict, total=False):
    """What a stream of events begins with."""

    id: str | None
    """A name of your choice, for ``cancel_subscription``; unique among the open ones of a client."""
    last_rows: int | None
    """Begin with so many of the newest rows, rather than all."""
    batch_size: int | None
    """Rows in one page of what it begins with. Without it the client takes what suits the server."""
    from_: Checkpoint | None
    """Begin with what was written after this, rather than with all rows."""
    initial_data: bool
    """``False``: begin with nothing, and see only what happens from now on."""


class LiveOptions(TypedDict, total=False):
    """How live rows are loaded and shown."""

    id: str | None
    """A name of your choice, for ``cancel_subscription``; unique among the open ones of a client."""
    last_rows: int | None
    """Begin with so many of the newest rows, rather than all."""
    batch_size: int | None
    """Rows in one page of the first snapshot. Without it the client takes what suits the server."""
    from_: Checkpoint | None
    """Only rows written after this."""
    limit: int | None
    """Show at most so many rows: with ``order_by`` the first of that order, without it the most recently written."""
    key_columns: Sequence[str] | None
    """The columns that identify a row, rather than the primary key."""
    order_by: str | None
    """Sort, as ``"priority DESC, created_at"``. Without it rows stand in the order in which they arrived."""
    verify: bool | float | None
    """Check the rows against the server: ``False`` never, a number every so many seconds. By default as often as the
    server makes it necessary, which the embedded one does not."""
    partial: bool
    """Also show rows while the first snapshot is loading, in the phase ``loading``."""
