"""The frame server: started, told what to do, and ended with the benchmark."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from dataclasses import dataclass
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Workload:
    """One workload at the frame server; `prepare` has it encoded, so that no measurement includes it."""

    url: str
    table: str
    rows: int
    changes: int
    final_seq: int
    marker_id: int

    @classmethod
    def prepare(cls, url: str, table: str) -> Workload:
        answer = _post(url, f"/bench/prepare?table={table}")
        return cls(
            url,
            table,
            answer["rows"],
            answer["changes"],
            answer["final_seq"],
            answer["marker_id"],
        )

    @property
    def sql(self) -> str:
        return f"SELECT id, room, sender, body, n, at FROM bench.{self.table}"

    def go(self) -> None:
        """Lets the changes flow."""
        _post(self.url, f"/bench/go?table={self.table}")


def _post(url: str, path: str) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url + path, method="POST"), timeout=60) as answer:
        return json.load(answer)


class FrameServer:
    """A running frame server; it ends with its standard input, so also when the benchmark is killed."""

    def __init__(self, program: str) -> None:
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        ports = json.loads(self._process.stdout.readline())
        self.plain: str = ports["plain"]
        self.complete: str = ports["complete"]

    def __enter__(self) -> FrameServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
