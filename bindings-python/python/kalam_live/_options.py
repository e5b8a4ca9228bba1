"""What ``connect`` takes, for the event loop and for blocking calls alike."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kalam_live import _check, _native
from kalam_live._callbacks import Callbacks
from kalam_live._errors import ConfigError, KalamError

if TYPE_CHECKING:
    from kalam_live._callbacks import Repair
    from kalam_live._native import Client, ConnectOptions, Handle
    from kalam_live._types import Inbox, State

EMBEDDED = "embedded:"


class Connecting(NamedTuple):
    """A client that is being connected."""

    client: Handle[Client]
    inbox: Inbox
    callbacks: Callbacks


def open_client(
    url: str | None = None,
    *,
    urls: Sequence[str] | None = None,
    user: str | None = None,
    password: str | None = None,
    token: str | None = None,
    token_provider: Callable[[], str | Awaitable[str]] | None = None,
    namespace: str | None = None,
    timeouts: Mapping[str, float] | None = None,
    reconnect: bool = True,
    reconnect_delay: float | None = None,
    reconnect_max_delay: float | None = None,
    reconnect_attempts: int | None = None,
    headers: Mapping[str, str] | None = None,
    tls_ca: str | os.PathLike[str] | bytes | None = None,
    tls_client_cert: tuple[str | os.PathLike[str] | bytes, str | os.PathLike[str] | bytes] | None = None,
    proxy: str | None = None,
    user_agent: str | None = None,
    compression: bool = True,
    max_message_bytes: int | None = None,
    on_connect: Callable[[], object] | None = None,
    on_disconnect: Callable[[KalamError], object] | None = None,
    on_error: Callable[[KalamError], object] | None = None,
    on_state: Callable[[State], object] | None = None,
    on_repair: Callable[[Repair], object] | None = None,
) -> Connecting:
    """Connects to a server: ``connect("http://localhost:2900", user="alice", password="...")``.

    Without ``url`` an embedded server is started in this process, in memory; ``"embedded:PATH"`` keeps its data in the
    directory PATH. Either stops with the client, whose user is ``root`` unless ``user`` says otherwise.

    Args:
        url: ``http``, ``https``, ``ws`` or ``wss``.
        urls: Several nodes of one cluster, in place of ``url``; attempts to connect rotate over them.
        user: Logs in with ``password``.
        password: Of ``user``. For an embedded server and the user ``root`` it is also set there.
        token: An access token (JWT) in place of a user.
        token_provider: A function or coroutine function that returns a token; asked again when the server no longer
            accepts the last one.
        namespace: Of tables that are named without one.
        timeouts: Seconds, for any of ``connect`` (10), ``auth`` (10), ``request`` (30), ``subscribe`` (15),
            ``keepalive`` (5) and ``pong`` (5).
        reconnect: Whether to connect again after a loss.
        reconnect_delay: Upper bound of the first wait before that, in seconds (1). It doubles each time.
        reconnect_max_delay: Upper bound of every wait (30).
        reconnect_attempts: Failures in a row after which to give up (never).
        headers: For every request, for gateways in front of the server.
        tls_ca: Certificate authorities to trust beside those of the system: a PEM file, or its content as bytes.
        tls_client_cert: The certificate chain to present and its private key, each as ``tls_ca``.
        proxy: ``http://[user:password@]host:port``.
        user_agent: The ``User-Agent`` header.
        compression: Whether the server may compress what it sends.
        max_message_bytes: Greatest frame or answer that is accepted (64 MiB).
        on_connect: Called when the connection stands, for the first time or again.
        on_disconnect: Called with the error when it is lost.
        on_error: Called with the error when connecting fails, or the server reports one that belongs to no call.
        on_state: Called with the state of the connection when it is another.
        on_repair: Called when rows of a live query were put right: see ``docs/live-rows.md``.

    Raises:
        ConfigError: An option is wrong.
        AuthError: The server refused the user or token.
        DisconnectedError: It can not be reached.
    """
    _check.connect_options(locals())
    callbacks = Callbacks(token_provider, on_connect, on_disconnect, on_error, on_state, on_repair)
    for name, callback in vars(callbacks).items():
        if callback is not None and not callable(callback):
            raise TypeError(f"{name} must be callable, not {type(callback).__name__}")
    options: ConnectOptions = {
        "user": user,
        "password": password,
        "token": token,
        "token_provider": token_provider is not None,
        "lifecycle": any((on_connect, on_disconnect, on_error, on_state, on_repair)),
        "namespace": namespace,
        "timeouts": dict(timeouts or {}),
        "reconnect": reconnect,
        "reconnect_delay": reconnect_delay,
        "reconnect_max_delay": reconnect_max_delay,
        "reconnect_attempts": reconnect_attempts,
        "headers": dict(headers or {}),
        "tls_ca": None if tls_ca is None else _pem("tls_ca", tls_ca),
        "tls_client_cert": None,
        "proxy": proxy,
        "user_agent": user_agent,
        "compression": compression,
        "max_message_bytes": max_message_bytes,
    }
    if tls_client_cert is not None:
        chain, key = tls_client_cert
        options["tls_client_cert"] = (_pem("tls_client_cert", chain), _pem("tls_client_cert", key).decode())
    if urls is None and url is not None and not url.startswith(EMBEDDED):
        urls = [url]
    elif urls is not None and url is not None:
        raise ConfigError("give url or urls, not both")
    if urls is not None:
        client, inbox = _native.connect(options, list(urls))
    else:
        directory = None if url is None else url.removeprefix(EMBEDDED)
        if directory == "":
            raise ConfigError(
                f"{url!r} names no directory: write {EMBEDDED}PATH, or leave the URL out for one in memory"
            )
        root_password = password if user == "root" else None
        client, inbox = _native.connect(options, directory=directory, root_password=root_password)
    return Connecting(client, inbox, callbacks)


# What an error about a wrong keyword calls it.
open_client.__qualname__ = "connect"


def _pem(option: str, source: str | os.PathLike[str] | bytes) -> bytes:
    if isinstance(source, bytes):
        return source
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise ConfigError(f"option {option}: can not read {os.fspath(source)}: {error.strerror}") from error
