"""Resume: a program that keeps its checkpoint sees what happened while it was away, and nothing twice."""

import asyncio
import tempfile
from pathlib import Path

import kalam_live


async def read(data: str, checkpoint_file: Path, until: str) -> None:
    """Reads events until `until` has been seen, and keeps the place."""
    checkpoint = checkpoint_file.read_text() if checkpoint_file.exists() else None

    async with kalam_live.connect(f"embedded:{data}") as client:
        await client.execute("CREATE NAMESPACE IF NOT EXISTS app")
        await client.execute("CREATE TABLE IF NOT EXISTS app.orders (id BIGINT PRIMARY KEY, item TEXT)")
        if checkpoint is None:
            await client.execute("INSERT INTO app.orders VALUES (1, 'tea'), (2, 'milk')")
        else:
            await client.execute("INSERT INTO app.orders VALUES (3, 'honey')")  # somebody wrote while we were away
        sql = "SELECT * FROM app.orders"
        async for event in client.live_events(sql, from_=checkpoint, on_checkpoint=checkpoint_file.write_text):
            for row in event.rows:
                print(event.type, row["item"])
                if row["item"] == until:
                    return


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        checkpoint_file = Path(directory) / "checkpoint"
        await read(directory, checkpoint_file, until="milk")
        print("away, and back again")
        await read(directory, checkpoint_file, until="honey")


asyncio.run(main())
