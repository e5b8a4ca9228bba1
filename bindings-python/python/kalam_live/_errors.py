"""The exceptions: one base, one subclass for each stable code."""

from __future__ import annotations

import builtins

_by_code: dict[str, type[KalamError]] = {}


class KalamError(Exception):
    """Anything that the client, the connection or the server could not do."""

    code: str = "server"
    """Stable; the same string in every language. The message is for people and may change."""

    message: str
    retryable: bool
    """Whether the same call may succeed when it is made again."""
    server_code: str | None
    """The server's own code, such as ``TABLE_NOT_FOUND``, where it gave one."""

    def __init_subclass__(cls, *, code: str | None = None) -> None:
        super().__init_subclass__()
        if code is not None:
            cls.code = code
            _by_code[code] = cls

    def __init__(self, message: str, *, retryable: bool = False, server_code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retryable = retryable
        self.server_code = server_code

    def __str__(self) -> str:
        return f"{self.message} ({self.server_code})" if self.server_code else self.message

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.message,), vars(self).copy()


class AuthError(KalamError, code="auth_failed"):
    """The server refused the user, password or token."""


class SqlError(KalamError, code="invalid_sql"):
    """The statement can not be parsed, planned or executed as written."""


class ArgumentError(KalamError, ValueError, code="invalid_argument"):
    """A parameter or argument of the call is not acceptable."""


class NotFoundError(KalamError, code="not_found"):
    """The table, topic, file or subscription does not exist."""


class AlreadyExistsError(KalamError, code="already_exists"):
    """A row with this primary key, or a table, namespace or user of this name, is there already."""


class PermissionDeniedError(KalamError, code="permission_denied"):
    """The user may not do this."""


class RateLimitedError(KalamError, code="rate_limited"):
    """The server limits how often or how much."""


class SubscriptionLimitError(KalamError, code="subscription_limit"):
    """No slot for another subscription."""


class TimeoutError(KalamError, builtins.TimeoutError, code="timeout"):
    """No answer within the time allowed. Also a built-in ``TimeoutError``."""


class DisconnectedError(KalamError, ConnectionError, code="disconnected"):
    """The connection failed or was lost. Also a built-in ``ConnectionError``."""


class UnavailableError(KalamError, code="unavailable"):
    """The server can not answer now. Whether a write was applied is not known."""


class LaggedError(KalamError, code="lagged"):
    """The reader was too slow and events were dropped."""


class ClosedError(KalamError, code="closed"):
    """The client or the subscription is closed."""


class ProtocolError(KalamError, code="protocol"):
    """The other side does not speak the protocol, or not this version of it."""


class ConfigError(KalamError, ValueError, code="config"):
    """An option of the client is wrong."""


class NotSupportedError(KalamError, code="not_supported"):
    """The server does not have this feature."""


class ServerError(KalamError, code="server"):
    """The server failed while executing."""


def make_error(code: str, message: str, retryable: bool, server_code: str | None) -> KalamError:
    """The exception for an error of the core."""
    error = _by_code.get(code, KalamError)(message, retryable=retryable, server_code=server_code)
    if error.code != code:  # of a newer core
        error.code = code
    return error
