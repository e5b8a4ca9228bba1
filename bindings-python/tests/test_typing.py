"""The types that a program sees are there, and are those of the compiled module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def check(*command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pyright() -> None:
    check("pyright", "--pythonpath", sys.executable)


def test_the_stubs_are_those_of_the_module() -> None:
    check("mypy.stubtest", "kalam_live._native")


def test_every_exported_name_is_there() -> None:
    import kalam_live
    from kalam_live import sync

    for module in (kalam_live, sync):
        assert [name for name in module.__all__ if not hasattr(module, name)] == []
