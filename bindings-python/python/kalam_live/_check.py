"""Checks of options: a mistake is a ``TypeError`` that names the option and says what it must be."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from kalam_live._types import Params

Check = Callable[[object], bool]


def _whole(value: object) -> bool:
    try:
        return not isinstance(value, bool) and 0 <= operator.index(value) < 2**32  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    except TypeError:
        return False


def _of(*kinds: type) -> Check:
    return lambda value: isinstance(value, kinds)


def _texts(value: object) -> bool:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        return False
    return all(isinstance(item, str) for item in cast("Sequence[object]", value))


def _pair(value: object) -> bool:
    return isinstance(value, (tuple, list)) and len(cast("Sequence[object]", value)) == 2


def _mapping_to(*kinds: type) -> Check:
    def check(value: object) -> bool:
        if not isinstance(value, Mapping):
            return False
        items = cast("Mapping[object, object]", value).items()
        return all(isinstance(key, str) and isinstance(item, kinds) for key, item in items)

    return check


_TEXT = ("a str", _of(str))
_FLAG = ("a bool", _of(bool))
_WHOLE = ("a whole number from 0 to 4294967295", _whole)
_SECONDS = ("a number of seconds", _of(int, float))

_SUBSCRIBE: dict[str, tuple[str, Check]] = {
    "id": _TEXT,
    "last_rows": _WHOLE,
    "batch_size": _WHOLE,
    "from_": ("the text of a checkpoint or a last_seq_id", _of(str, int)),
}
_LIVE: dict[str, tuple[str, Check]] = _SUBSCRIBE | {
    "limit": _WHOLE,
    "key_columns": ("a list of str", _texts),
    "order_by": _TEXT,
    "verify": ("a bool or a number of seconds", _of(bool, int, float)),
    "partial": _FLAG,
}
_EVENTS: dict[str, tuple[str, Check]] = _SUBSCRIBE | {"initial_data": _FLAG}
_CONNECT: dict[str, tuple[str, Check]] = {
    **dict.fromkeys(("url", "user", "password", "token", "namespace", "proxy", "user_agent"), _TEXT),
    **dict.fromkeys(("reconnect", "compression"), _FLAG),
    **dict.fromkeys(("reconnect_delay", "reconnect_max_delay"), _SECONDS),
    **dict.fromkeys(("reconnect_attempts", "max_message_bytes"), _WHOLE),
    "urls": ("a list of str; use url for a single one", _texts),
    "timeouts": ("a dict from str to seconds", _mapping_to(int, float)),
    "headers": ("a dict from str to str", _mapping_to(str)),
    "tls_client_cert": ("a pair of the certificate chain and its key", _pair),
}


def live_options(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """``options`` of a live query, if they are all right."""
    return _checked(options, _LIVE)


def event_options(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """``options`` of a stream of events, if they are all right."""
    return _checked(options, _EVENTS)


def connect_options(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """``options`` of a client, if they are all right."""
    return _checked(options, _CONNECT)


def statements(given: Iterable[str | tuple[str, Params]]) -> list[str | tuple[str, Params]]:
    """The statements of a batch, of which a single text would be read letter by letter."""
    if isinstance(given, str):
        raise TypeError("statements must be a list of statements, not a str")
    return list(given)


def _checked(options: Mapping[str, Any], rules: Mapping[str, tuple[str, Check]]) -> Mapping[str, Any]:
    for name, value in options.items():
        if value is None or name not in rules:
            continue  # a name that is not known is Python's own error
        wanted, check = rules[name]
        if not check(value):
            shown = repr(value) if isinstance(value, (bool, int, float)) else type(value).__name__
            raise TypeError(f"{name} must be {wanted}, not {shown}")
    return options
