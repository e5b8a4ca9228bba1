"""Live rows: the loop sees the newest complete list each time something has changed."""

import asyncio

import kalam_live


async def main() -> None:
    async with kalam_live.connect() as client:
        await client.execute("CREATE NAMESPACE app")
        await client.execute("CREATE TABLE app.tasks (id BIGINT PRIMARY KEY, title TEXT, status TEXT)")
        writer = asyncio.create_task(work(client))
        begun = False
        async for rows in client.live("SELECT * FROM app.tasks WHERE status = 'open'", order_by="title"):
            print(f"{len(rows)} open:", ", ".join(row["title"] for row in rows) or "nothing to do")
            begun = begun or len(rows) > 0
            if begun and not rows:
                break
        await writer


async def work(client: kalam_live.Client) -> None:
    for number, title in enumerate(["write", "measure", "ship"]):
        await client.execute("INSERT INTO app.tasks VALUES ($1, $2, 'open')", [number, title])
        await asyncio.sleep(0.3)
    for number in range(3):
        await client.execute("UPDATE app.tasks SET status = 'done' WHERE id = $1", [number])
        await asyncio.sleep(0.3)


asyncio.run(main())
