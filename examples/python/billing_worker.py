"""A worker of a group that shares the records of a topic: each is handled at least once, also when workers crash.

At Ctrl-C it finishes what it is at, commits that, and leaves the rest to the next worker.
"""

import asyncio
import signal

import kalam_live


async def main() -> None:
    async with kalam_live.connect() as client:
        await client.execute("CREATE NAMESPACE app")
        await client.execute("CREATE TABLE app.orders (id BIGINT PRIMARY KEY, item TEXT)")
        await client.execute("CREATE TOPIC app.order_events")
        await client.execute("ALTER TOPIC app.order_events ADD SOURCE app.orders ON INSERT WITH (payload = 'full')")
        await client.execute("INSERT INTO app.orders VALUES (1, 'tea'), (2, 'milk'), (3, 'sugar')")

        stop = asyncio.Event()
        # Without this line Ctrl-C cancels what is being handled, and its records are delivered again. Not on Windows.
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)

        async def bill(record: kalam_live.Record) -> None:
            print(record.op, record.row)
            if record.offset == 2:  # here there is nothing more; a real worker goes on
                stop.set()

        async with client.consumer("app.order_events", "billing", start="earliest") as consumer:
            summary = await consumer.run(bill, concurrency=4, dead_letter_topic="app.dead_orders", stop=stop)
        print(summary)


asyncio.run(main())
