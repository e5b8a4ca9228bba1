"""Files: what is uploaded with a statement, and what comes back."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

PROGRESS_EVERY = 0.05  # seconds


@dataclass(frozen=True)
class FileUpload:
    """Bytes, the name to store them under, and what they are, such as ``image/png``."""

    content: bytes
    name: str
    mime: str | None = None

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> FileUpload:
        """A file of this machine, its type guessed by its name."""
        path = Path(path)
        return cls(path.read_bytes(), path.name, mimetypes.guess_type(path.name)[0])


class FileDownload(NamedTuple):
    """The bytes of a file, and what they are."""

    content: bytes
    mime: str | None


class UploadProgress(NamedTuple):
    """How far an upload is: bytes of all files together."""

    sent_bytes: int
    total_bytes: int


Files: TypeAlias = Mapping[str, FileUpload | bytes | os.PathLike[str]]
"""Files by the name that ``FILE("name")`` has in the statement: a :class:`FileUpload`, bytes, or a path."""

OnProgress: TypeAlias = Callable[[UploadProgress], object]


def parts(files: Files) -> list[tuple[str, str, str | None, bytes]]:
    return [_part(placeholder, file) for placeholder, file in files.items()]


def _part(placeholder: str, file: FileUpload | bytes | os.PathLike[str]) -> tuple[str, str, str | None, bytes]:
    if isinstance(file, bytes):
        file = FileUpload(file, placeholder)
    elif not isinstance(file, FileUpload):
        file = FileUpload.read(file)
    return placeholder, file.name, file.mime, file.content


class Told:
    """Tells progress when there was some."""

    def __init__(self, files: list[tuple[str, str, str | None, bytes]], on_progress: OnProgress) -> None:
        self._total = sum(len(content) for *_, content in files)
        self._sent = -1
        self._on_progress = on_progress

    def now(self, sent: int) -> None:
        if sent != self._sent:
            self._sent = sent
            self._on_progress(UploadProgress(sent, self._total))
