"""The first query: no server to set up, since `connect()` without a URL starts an embedded one."""

import asyncio

import kalam_live


async def main() -> None:
    async with kalam_live.connect() as client:
        await client.execute("CREATE NAMESPACE app")
        await client.execute("CREATE TABLE app.messages (id BIGINT PRIMARY KEY, room TEXT, body TEXT)")
        await client.execute("INSERT INTO app.messages VALUES ($1, $2, $3)", [1, "main", "hello"])
        for row in await client.query("SELECT * FROM app.messages WHERE room = $1", ["main"]):
            print(row["id"], row["body"])


asyncio.run(main())
