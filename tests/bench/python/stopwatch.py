"""Time and memory of this process."""

import time
from pathlib import Path


class Stopwatch:
    """Wall time, CPU time of the calling thread (how long Python kept it busy) and of the whole process."""

    def __init__(self) -> None:
        self._start = self._now()

    @staticmethod
    def _now() -> tuple[float, float, float]:
        return time.perf_counter(), time.thread_time(), time.process_time()

    def read(self) -> dict[str, float]:
        wall, thread, process = (now - then for now, then in zip(self._now(), self._start, strict=True))
        return {"seconds": wall, "thread_seconds": thread, "cpu_seconds": process}


def resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmRSS in /proc/self/status")
