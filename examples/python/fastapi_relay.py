"""A web service that relays live rows to browsers by server-sent events.

    uvicorn fastapi_relay:app

One live query serves each browser tab; a slow tab gets the newest rows and holds up nobody.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, StreamingResponse

import kalam_live

PAGE = """<!doctype html><meta charset="utf-8"><title>Temperatures</title><h1>Temperatures</h1><ul id="rows"></ul>
<script>
  new EventSource("/rows").onmessage = ({ data }) => {
    document.getElementById("rows").replaceChildren(...JSON.parse(data).map((row) => {
      const item = document.createElement("li");
      item.textContent = `${row.room}: ${row.celsius} °C`;
      return item;
    }));
  };
</script>
"""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with kalam_live.connect() as client:
        await client.execute("CREATE NAMESPACE home")
        await client.execute("CREATE TABLE home.temperatures (room TEXT PRIMARY KEY, celsius DOUBLE)")
        await client.execute("INSERT INTO home.temperatures VALUES ('hall', 19.5), ('kitchen', 21.0)")
        app.state.client = client
        measuring = asyncio.create_task(measure(client))
        yield
        measuring.cancel()


async def measure(client: kalam_live.Client) -> None:
    while True:
        await client.execute("UPDATE home.temperatures SET celsius = celsius + 0.1 WHERE room = 'kitchen'")
        await asyncio.sleep(1)


app = FastAPI(lifespan=lifespan)


@app.get("/", response_class=HTMLResponse)
async def page() -> str:
    return PAGE


@app.get("/rows")
async def rows() -> StreamingResponse:
    return StreamingResponse(relay(app.state.client), media_type="text/event-stream")


async def relay(client: kalam_live.Client) -> AsyncIterator[str]:
    # When the browser goes away the generator is closed, and with it the live query.
    async with client.live("SELECT room, celsius FROM home.temperatures", order_by="room") as live:
        async for snapshot in live:
            yield f"data: {json.dumps(snapshot.to_dicts())}\n\n"
