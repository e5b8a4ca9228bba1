"""Every Python example runs as a user would run it, and says what its page promises."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import kalam_live

EXAMPLES = Path(__file__).parents[2] / "examples" / "python"
TIMEOUT = 60


def run(name: str, *arguments: str) -> str:
    finished = subprocess.run(
        [sys.executable, name, *arguments],
        cwd=EXAMPLES,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        env=os.environ | {"PYTHONWARNINGS": "error", "COLUMNS": "200"},
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    return finished.stdout


def test_every_example_has_a_test() -> None:
    modules = {"flights.py", "board.py"}  # imported by the departures board
    tested = set(re.findall(r'"(\w+\.py)"|"(\w+):app"', Path(__file__).read_text()))
    names = {script or f"{app}.py" for script, app in tested}
    assert {path.name for path in EXAMPLES.glob("*.py")} <= names | modules


def test_first_program_of_the_readme() -> None:
    readme = (EXAMPLES.parents[1] / "README.md").read_text()
    program = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert program
    # It loops for ever: what counts is its first line.
    with subprocess.Popen([sys.executable, "-u", "-c", program[1]], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) != 0
    assert "hello" in line


DOCUMENTED = (EXAMPLES.parents[1] / "docs" / "live-queries.md").read_text()

AROUND = """
import asyncio, collections, kalam_live

async def main():
    async with kalam_live.connect() as client:
        await client.execute("CREATE NAMESPACE app")
        await client.execute("CREATE TABLE app.tickets (id BIGINT PRIMARY KEY, status TEXT)")
        await client.execute("INSERT INTO app.tickets VALUES (1, 'open'), (2, 'open'), (3, 'done')")
        steps = iter([
            "UPDATE app.tickets SET status = 'done' WHERE id = 1",
            "DELETE FROM app.tickets WHERE id = 3",
            "INSERT INTO app.tickets VALUES (4, 'new')",
        ])
{dashboard}
            step = next(steps, None)
            if step is None:
                break
            await client.execute(step)

asyncio.run(main())
"""


def test_documented_dashboard(tmp_path: Path) -> None:
    block = re.search(r"```python\n(.*?)```", DOCUMENTED, re.DOTALL)
    assert block
    program = tmp_path / "dashboard.py"
    program.write_text(AROUND.replace("{dashboard}", textwrap.indent(block[1], " " * 8)))
    assert run(str(program)).splitlines() == [
        "{'open': 2, 'done': 1}",
        "{'open': 1, 'done': 2}",
        "{'open': 1, 'done': 1}",
        "{'open': 1, 'done': 1, 'new': 1}",
    ]


def test_documented_errors() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", DOCUMENTED, re.MULTILINE))
    classes = {
        cls.code: name
        for name, cls in vars(kalam_live).items()
        if name in kalam_live.__all__
        and isinstance(cls, type)
        and issubclass(cls, kalam_live.KalamError)
        and name != "KalamError"
    }
    assert rows == classes


def test_billing_worker() -> None:
    lines = run("billing_worker.py").splitlines()
    assert lines.pop() == "RunSummary(handled=3, failed=0)"
    assert [line.split(" ", 1)[0] for line in lines] == ["insert"] * 3
    assert all(any(item in line for line in lines) for item in ("tea", "milk", "sugar"))


def test_first_query() -> None:
    assert run("first_query.py") == "1 hello\n"


def test_live_rows() -> None:
    lines = run("live_rows.py").splitlines()
    assert lines[0].startswith("0 open") or "open: " in lines[0]
    assert lines[-1] == "0 open: nothing to do"


def test_raw_events() -> None:
    lines = run("raw_events.py").splitlines()
    assert [line.split()[0] for line in lines] == ["ack", "initial_data_batch", "insert", "update", "delete"]
    assert "'hello again'" in lines[3]


def test_resume() -> None:
    first, second = run("resume.py").split("away, and back again\n")
    assert [line.split()[-1] for line in first.splitlines()] == ["tea", "milk"]
    assert [line.split()[-1] for line in second.splitlines()] == ["honey"]


def test_departures_board_in_plain_lines() -> None:
    output = run("departures_board.py", "--seconds", "3")
    lines = output.splitlines()
    assert lines[0].startswith("Departures JFK, 10 July 2013")
    assert any("flights on the board" in line for line in lines[1:-1])
    equal = re.fullmatch(r"✓ the board equals the SELECT: (\d+) rows", lines[-1])
    assert equal, lines[-1]
    assert int(equal[1]) > 50, "the replay stops while the board is full"


def test_departures_board_on_a_terminal() -> None:
    """In a terminal the table updates in place: the board is drawn with escape sequences, not line after line."""
    finished = subprocess.run(
        [sys.executable, "departures_board.py", "--seconds", "2"],
        cwd=EXAMPLES,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        env=os.environ | {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"},
    )
    assert finished.returncode == 0, finished.stderr
    assert "\x1b[" in finished.stdout
    assert "Destination" in finished.stdout
    assert "the board equals the SELECT" in finished.stdout


@pytest.fixture
def relay() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "fastapi_relay:app", "--port", str(port), "--log-level", "warning"]
    with subprocess.Popen(command, cwd=EXAMPLES) as server:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, "the server ended"
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.05)  # between tries; the deadline above decides
        yield url
        server.send_signal(signal.SIGINT)
        assert server.wait(TIMEOUT) == 0


def test_fastapi_relay(relay: str) -> None:
    with urllib.request.urlopen(relay, timeout=TIMEOUT) as page:
        assert "EventSource" in page.read().decode()
    with urllib.request.urlopen(f"{relay}/rows", timeout=TIMEOUT) as events:
        snapshots = []
        for line in events:
            if line.startswith(b"data: "):
                snapshots.append(json.loads(line[6:]))
            if len(snapshots) == 2:
                break
    assert [row["room"] for row in snapshots[0]] == ["hall", "kitchen"]
    assert snapshots[1][1]["celsius"] > snapshots[0][1]["celsius"]
