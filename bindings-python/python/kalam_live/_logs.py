"""The core's log, handed to ``logging`` by the threads of Python itself.

The core writes to a bounded queue. It is emptied by the event loop or by a blocking wait; nothing is ever logged from
a background thread.
"""

from __future__ import annotations

import logging
import os

from kalam_live import _native

logger = logging.getLogger("kalam_live")
_log: _native.Handle[list[tuple[int, str, str]]] | None = None
_level: int | None = None


def drain() -> _native.Handle[list[tuple[int, str, str]]]:
    """Logs what has come in, and returns the handle to wait for more."""
    global _log, _level
    level = logger.getEffectiveLevel()
    if _log is None or level != _level:
        _log, _level = _native.log(min(level, 255)), level
    while lines := _log.take():
        for severity, name, text in lines:
            logging.getLogger(name).log(severity, "%s", text)
    return _log


def _forget() -> None:
    """In the child of a fork the handle does not work."""
    global _log
    _log = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
