"""Measures the Kotlin and Swift packages at the frame server.

bench.py --server PATH [--rounds N] [--output FILE]

Both are built by release before: see `tests/bench/uniffi/run`. The rates must reach what is written here, on a machine
that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
UNIFFI = ROOT / "bindings-uniffi"

# How many rows are held while changes are measured.
HELD = (100, 10_000, 100_000)
# What is measured, its unit, and the least that the median must be.
FIGURES: dict[str, tuple[str, str, int | None]] = {
    "cells": ("snapshot of 100,000 rows as typed cells", "rows/s", 300_000),
    "classes": ("the same as classes (kotlinx.serialization, Codable)", "rows/s", 30_000),
    **{f"change_{held}": (f"a change of a flood, {held:,} rows held", "us", None) for held in HELD},
    **{f"single_{held}": (f"CPU of a list with one to five changes, {held:,} rows held", "us", None) for held in HELD},
}
# How much dearer a list may be with the most rows: more levels of the tree, rows that are in no cache.
MOST_GROWTH = 2.0


def kotlin(url: str, rounds: int) -> list[str]:
    classpath = (UNIFFI / "kotlin/target/classpath").read_text().strip()
    classes = f"{UNIFFI}/kotlin/target/classes:{UNIFFI}/kotlin/target/test-classes"
    return ["java", "-Xmx2g", "-cp", f"{classes}:{classpath}", "dev.kalamlive.bench.BenchKt", url, str(rounds)]


def swift(url: str, rounds: int) -> list[str]:
    run = [str(UNIFFI / "scripts/swift"), "release", "run", "-c", "release", "--skip-build", "Bench"]
    return [*run, url, str(rounds)]


def measure(command: list[str]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
        # The rate of what is measured comes first; what it cost of the processor may follow.
        name, *values = line.split()
        if name in FIGURES:
            found.setdefault(name, []).append(float(values[0]))
    return found


def shown(values: list[float]) -> str:
    middle = statistics.median(values)
    digits = ",.4g" if middle < 100 else ",.0f"
    return f"{middle:{digits}} ({min(values):{digits}} to {max(values):{digits}})"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with subprocess.Popen([options.server], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        assert server.stdin
        url = json.loads(server.stdout.readline())["complete"]
        # The first round warms the JVM up.
        results = {
            "Kotlin": measure(kotlin(url, options.rounds + 1)),
            "Swift": measure(swift(url, options.rounds + 1)),
        }
        server.stdin.close()
    lines = ["", "### Kotlin and Swift", "", "| what | unit | Kotlin | Swift |", "|---|---|---|---|"]
    missed: list[str] = []
    for name, (what, unit, least) in FIGURES.items():
        cells = []
        for language, found in results.items():
            values = found[name][1:]
            cells.append(shown(values))
            if least is not None and statistics.median(values) < least:
                missed.append(f"{language}: {what}: {statistics.median(values):,.0f} {unit}, at least {least:,}")
        lines.append(f"| {what} | {unit} | {' | '.join(cells)} |")
    for language, found in results.items():
        few, many = (statistics.median(found[f"single_{held}"][1:]) for held in (HELD[0], HELD[-1]))
        if many > few * MOST_GROWTH:
            missed.append(
                f"{language}: a list costs {few:.0f} us with {HELD[0]} rows held, {many:.0f} us with {HELD[-1]:,}"
            )
    table = "\n".join(lines)
    print(table)
    if options.output:
        with options.output.open("a") as file:
            file.write(table + "\n")
    for line in missed:
        print(f"MISSED {line}")
    if missed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
