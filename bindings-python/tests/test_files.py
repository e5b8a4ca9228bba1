"""Files: uploaded with their statement, downloaded by reference."""

from __future__ import annotations

from pathlib import Path

import pytest

import kalam_live
from conftest import run
from kalam_live import ArgumentError, FileUpload, NotFoundError, UploadProgress, sync

CONTENT = bytes(n * 31 % 251 for n in range(300_000))
INSERT = 'INSERT INTO app.docs (id, a, b) VALUES ($1, FILE("one"), FILE("two"))'
TABLE = "CREATE TABLE app.docs (id BIGINT PRIMARY KEY, a FILE, b FILE) WITH (TYPE = 'SHARED')"


def test_files_come_back_as_they_were(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "photo.png"
        path.write_bytes(b"not really")
        told: list[UploadProgress] = []
        async with kalam_live.connect() as client:
            await client.execute("CREATE NAMESPACE app")
            await client.execute(TABLE)
            files = {"one": FileUpload(CONTENT, "a b.bin", "application/x-thing"), "two": path}
            assert await client.execute_with_files(INSERT, [1], files=files, on_progress=told.append) == 1
            row = await client.query_one("SELECT a, b FROM app.docs")
            assert row is not None
            assert await client.download_file(row["a"], "app.docs") == (CONTENT, "application/x-thing")
            assert (await client.download_file(row["b"], "app.docs")).content == b"not really"
            assert (row["b"].name, row["b"].mime) == ("photo.png", "image/png")
            with pytest.raises(NotFoundError):
                await client.download_file(row["a"], "app.other")
        total = len(CONTENT) + len(b"not really")
        assert told[-1] == (total, total)
        assert [progress.sent_bytes for progress in told] == sorted({progress.sent_bytes for progress in told})


def test_files_that_do_not_fit_are_refused() -> None:
    async def main() -> None:
        async with kalam_live.connect() as client:
            await client.execute("CREATE NAMESPACE app")
            await client.execute(TABLE)
            for files in ({}, {"one": b"x"}, {"one": b"x", "two": b"x", "three": b"x"}):
                with pytest.raises(ArgumentError):
                    await client.execute_with_files(INSERT, [1], files=files)
            assert await client.query_all("SELECT id FROM app.docs") == []

    run(main)


def test_without_a_loop() -> None:
    told: list[UploadProgress] = []
    with sync.connect() as client:
        client.execute("CREATE NAMESPACE app")
        client.execute(TABLE)
        files = {"one": CONTENT, "two": b""}
        assert client.execute_with_files(INSERT, [1], files=files, on_progress=told.append) == 1
        row = client.query_one("SELECT a FROM app.docs")
        assert row is not None
        assert client.download_file(row["a"], "app.docs").content == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
