"""Raw events: every frame that the server sent, in order, for programs that keep their own state."""

import asyncio

import kalam_live


async def main() -> None:
    async with kalam_live.connect() as client:
        await client.execute("CREATE NAMESPACE app")
        await client.execute("CREATE TABLE app.messages (id BIGINT PRIMARY KEY, body TEXT)")
        async with client.live_events("SELECT * FROM app.messages") as events:
            async for event in events:
                print(event.type, *(row.asdict() for row in event.rows))
                if event.type == "initial_data_batch":  # everything from here on is news
                    await client.execute("INSERT INTO app.messages VALUES (1, 'hello')")
                    await client.execute("UPDATE app.messages SET body = 'hello again' WHERE id = 1")
                    await client.execute("DELETE FROM app.messages WHERE id = 1")
                if event.type == "delete":
                    break


asyncio.run(main())
