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
from dataclasses import dataclass, field
from pathlib import Path

from control import FrameServer, Workload

Sample = dict[str, float]
PEER = "handwritten"
OURS = "ours"


@dataclass(frozen=True)
class Figure:
    what: str
    unit: str
    value: Callable[[Sample], float]
    more_is_better: bool = False

    def values(self, samples: list[Sample]) -> list[float]:
        """By round; empty if this was not measured."""
        try:
            return [self.value(sample) for sample in samples]
        except KeyError:
            return []


@dataclass(frozen=True)
class Contestant:
    name: str
    module: str
    task: str
    at_most: dict[str, float] = field(default_factory=dict[str, float])
    """What a figure's median must not exceed."""
    at_least: dict[str, float] = field(default_factory=dict[str, float])
    """What a figure's median must reach."""
    times_as_good: dict[str, float] = field(default_factory=dict[str, float])
    """How many times as good as the first contestant a figure must be."""


@dataclass(frozen=True)
class Scenario:
    title: str
    table: str
    contestants: list[Contestant]
    """The others are compared with the first."""
    figures: list[Figure]


TIME = Figure("time per change", "us", lambda sample: sample["seconds"] * 1e6 / sample["changes"])
BUSY = Figure(
    "Python thread busy",
    "%",
    lambda sample: sample["thread_seconds"] / sample["seconds"] * 100,
)
TAKES = Figure("times that the loop body ran", "", lambda sample: sample["takes"])
LOAD = Figure("snapshot", "s", lambda sample: sample["snapshot_seconds"])
RATE = Figure("thousand records/s", "", lambda sample: sample["changes"] / sample["seconds"] / 1e3, True)
HELD = Figure("snapshot, memory", "MB", lambda sample: sample["snapshot_bytes"] / 1e6)

SCENARIOS = [
    Scenario(
        "live, 100,000 changes on 10,000 rows",
        "update_10000_100000",
        [
            Contestant("written by hand, rows never read", PEER, "live"),
            Contestant("written by hand, all rows read at each wake", PEER, "live_reading"),
            Contestant("kalam_live", OURS, "live", {BUSY.what: 30}, times_as_good={TIME.what: 3}),
            Contestant(
                "kalam_live, all rows read each time",
                OURS,
                "live_reading",
                times_as_good={TIME.what: 2},
            ),
        ],
        [TIME, BUSY, TAKES],
    ),
    Scenario(
        "live_events, 100,000 events each seen by the loop body",
        "update_10000_100000",
        [
            Contestant("written by hand", PEER, "events"),
            Contestant("kalam_live", OURS, "events", times_as_good={TIME.what: 2.5}),
        ],
        [TIME, BUSY],
    ),
    Scenario(
        "live, snapshot of 100,000 rows",
        "update_100000_1000",
        [
            Contestant("written by hand", PEER, "live"),
            Contestant("kalam_live", OURS, "live"),
            Contestant("kalam_live, a column of all rows read", OURS, "snapshot_read"),
        ],
        [LOAD, HELD],
    ),
    Scenario(
        "consumer, 100,000 records of a topic, each seen by the loop body",
        "insert_0_100000",
        [
            Contestant("written by hand", PEER, "consume"),
            Contestant("kalam_live, async for", OURS, "consume", at_least={RATE.what: 100}),
            Contestant("kalam_live, run", OURS, "consume_run", at_least={RATE.what: 100}),
        ],
        [RATE],
    ),
]


def run(module: str, task: str, url: str, table: str) -> None:
    workload = Workload.prepare(url, table)
    sample = asyncio.run(getattr(importlib.import_module(module), task)(workload))
    print(json.dumps({**sample, "changes": workload.changes}))


def measure(module: str, task: str, url: str, table: str) -> Sample:
    command = [sys.executable, __file__, "run", module, task, url, table]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, timeout=180, check=True).stdout)


def interleaved(scenario: Scenario, server: FrameServer, rounds: int) -> list[list[Sample]]:
    """The samples of each contestant, by round."""
    samples: list[list[Sample]] = [[] for _ in scenario.contestants]
    for _ in range(rounds):
        for contestant, taken in zip(scenario.contestants, samples, strict=True):
            url = server.plain if contestant.module == PEER else server.complete
            taken.append(measure(contestant.module, contestant.task, url, scenario.table))
    return samples


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3g} [{min(values):.3g}..{max(values):.3g}]"


def verdicts(contestant: Contestant, what: str, values: list[float], ratios: list[float]) -> list[str]:
    found = []
    if what in contestant.at_most:
        most = contestant.at_most[what]
        found.append(f"at most {most:g}: {verdict(statistics.median(values) <= most)}")
    if what in contestant.at_least:
        least = contestant.at_least[what]
        found.append(f"at least {least:g}: {verdict(statistics.median(values) >= least)}")
    if what in contestant.times_as_good:
        least = contestant.times_as_good[what]
        found.append(f"{least:g} times as good: {verdict(statistics.median(ratios) >= least)}")
    return found


def verdict(reached: bool) -> str:
    return "met" if reached else "**missed**"


def render(scenario: Scenario, samples: list[list[Sample]]) -> str:
    lines = [
        f"\n### Python: {scenario.title}\n",
        "| what | who | median [min..max] | times as good as written by hand | must reach |",
        "|---|---|---|---|---|",
    ]
    for figure in scenario.figures:
        everything = [figure.values(taken) for taken in samples]
        for contestant, values in zip(scenario.contestants, everything, strict=True):
            if not values:
                continue
            pairs = zip(everything[0], values, strict=False)
            ratios = [mine / theirs if figure.more_is_better else theirs / mine for theirs, mine in pairs]
            ratio = spread(ratios) if ratios and contestant is not scenario.contestants[0] else ""
            unit = f" ({figure.unit})" if figure.unit else ""
            must = "; ".join(verdicts(contestant, figure.what, values, ratios))
            lines.append(f"| {figure.what}{unit} | {contestant.name} | {spread(values)} | {ratio} | {must} |")
    return "\n".join(lines) + "\n"


def drive(arguments: argparse.Namespace) -> None:
    report = ""
    with FrameServer(arguments.server) as server:
        for scenario in (scenario for scenario in SCENARIOS if arguments.only in scenario.title):
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
    parser = argparse.ArgumentParser(description="Python package against a client written by hand")
    parser.add_argument("--server", required=True, help="the frame server's program")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", help="file to append the table to")
    parser.add_argument("--only", default="", help="scenarios whose title holds this")
    drive(parser.parse_args())


if __name__ == "__main__":
    main()
