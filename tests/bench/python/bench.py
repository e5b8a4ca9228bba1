"""Measures the Python package against a client written by hand, in interleaved rounds.

    bench.py --server PATH [--rounds N] [--output FILE]     the driver: prints a table
    bench.py run WHO TASK URL TABLE                         one measurement, as one JSON line

Each measurement is a process of its own; ratios are taken within a round, since machines drift.
"""

import argparse
import asyncio
import importlib
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from control import FrameServer, Workload

Sample = dict[str, float]
PEER = "handwritten"


@dataclass(frozen=True)
class Figure:
    what: str
    unit: str
    value: Callable[[Sample], float]


@dataclass(frozen=True)
class Scenario:
    title: str
    table: str
    """(name in the table, module, function in it); the first is what the others are compared with"""
    contestants: list[tuple[str, str, str]]
    figures: list[Figure]


def per_change(sample: Sample) -> float:
    return sample["seconds"] * 1e6 / sample["changes"]


def busy(sample: Sample) -> float:
    return sample["thread_seconds"] / sample["seconds"] * 100


TIME = Figure("time per change", "us", per_change)
BUSY = Figure("Python thread busy", "%", busy)
LOAD = Figure("snapshot", "s", lambda sample: sample["snapshot_seconds"])
HELD = Figure("snapshot, held", "MB", lambda sample: sample["snapshot_bytes"] / 1e6)

SCENARIOS = [
    Scenario(
        "live, 100,000 changes on 10,000 rows",
        "update_10000_100000",
        [
            ("handwritten, rows not read", PEER, "live"),
            ("handwritten, all rows read at each wake", PEER, "live_reading"),
        ],
        [TIME, BUSY],
    ),
    Scenario(
        "events, 100,000", "update_10000_100000", [(PEER, PEER, "events")], [TIME, BUSY]
    ),
    Scenario(
        "live, snapshot of 100,000 rows",
        "update_100000_1000",
        [(PEER, PEER, "live")],
        [LOAD, HELD],
    ),
]


def run(module: str, task: str, url: str, table: str) -> None:
    workload = Workload.prepare(url, table)
    sample = asyncio.run(getattr(importlib.import_module(module), task)(workload))
    print(json.dumps({**sample, "changes": workload.changes}))


def measure(module: str, task: str, url: str, table: str) -> Sample:
    command = [sys.executable, __file__, "run", module, task, url, table]
    return json.loads(
        subprocess.run(command, stdout=subprocess.PIPE, timeout=180, check=True).stdout
    )


def interleaved(
    scenario: Scenario, server: FrameServer, rounds: int
) -> list[list[Sample]]:
    """The samples of each contestant, by round."""
    samples: list[list[Sample]] = [[] for _ in scenario.contestants]
    for _ in range(rounds):
        for at, (_, module, task) in enumerate(scenario.contestants):
            url = server.plain if module == PEER else server.complete
            samples[at].append(measure(module, task, url, scenario.table))
    return samples


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3g} [{min(values):.3g}..{max(values):.3g}]"


def render(scenario: Scenario, samples: list[list[Sample]]) -> str:
    first = scenario.contestants[0][0]
    lines = [
        f"\n### Python: {scenario.title}\n",
        f"| what | who | median [min..max] | unit | times as good as {first} |",
    ]
    lines.append("|---|---|---|---|---|")
    for figure in scenario.figures:
        baseline = [figure.value(sample) for sample in samples[0]]
        for (name, _, _), rounds in zip(scenario.contestants, samples, strict=True):
            values = [figure.value(sample) for sample in rounds]
            ratios = [
                mine / theirs for mine, theirs in zip(baseline, values, strict=True)
            ]
            ratio = "" if name == first else spread(ratios)
            lines.append(
                f"| {figure.what} | {name} | {spread(values)} | {figure.unit} | {ratio} |"
            )
    return "\n".join(lines) + "\n"


def drive(arguments: argparse.Namespace) -> None:
    report = ""
    with FrameServer(arguments.server) as server:
        for scenario in SCENARIOS:
            print(f"{scenario.title} ...", file=sys.stderr)
            report += render(scenario, interleaved(scenario, server, arguments.rounds))
    print(report)
    if arguments.output:
        with Path(arguments.output).open("a") as output:
            output.write(report)


def main() -> None:
    if sys.argv[1:2] == ["run"]:
        run(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(
        description="Python package against a client written by hand"
    )
    parser.add_argument("--server", required=True, help="the frame server's program")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", help="file to append the table to")
    drive(parser.parse_args())


if __name__ == "__main__":
    main()
