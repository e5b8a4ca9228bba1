// Compiling this file is the test: the types of the public API are what they are meant to be.

import { test } from "node:test";
import { expectTypeOf } from "expect-type";
import {
  type Cell,
  type Change,
  type Client,
  connect,
  type KalamError,
  type KalamEvent,
  type LiveEvents,
  type LiveRows,
  type QueryResult,
  type Row,
  type RowList,
  type Rows,
  type State,
} from "kalam-live";

interface Task {
  id: bigint;
  title: string;
}

// Never called.
async function typed(client: Client): Promise<void> {
  expectTypeOf(connect).returns.resolves.toEqualTypeOf<Client>();
  expectTypeOf(await client.query("SELECT 1")).toEqualTypeOf<QueryResult<Row>>();
  expectTypeOf(
    await client.query<Task>("SELECT 1", [1, 2n, "a", null, new Date(), { a: [1] }]),
  ).toEqualTypeOf<QueryResult<Task>>();
  expectTypeOf((await client.query("SELECT 1"))[0]!.a).toEqualTypeOf<Cell | undefined>();
  expectTypeOf(await client.queryOne<Task>("SELECT 1")).toEqualTypeOf<Task | undefined>();
  expectTypeOf(await client.queryAll<Task>("SELECT 1")).toEqualTypeOf<RowList<Task>>();
  expectTypeOf(client.execute).returns.resolves.toEqualTypeOf<number>();
  expectTypeOf(client.asUser("a").query<Task>("SELECT 1")).resolves.toEqualTypeOf<QueryResult<Task>>();

  const live = client.live<Task>("SELECT 1", { limit: 3, orderBy: "id", signal: AbortSignal.timeout(1) });
  expectTypeOf(live).toEqualTypeOf<LiveRows<Task>>();
  for await (const rows of live) {
    expectTypeOf(rows).toEqualTypeOf<Rows<Task>>();
    expectTypeOf(rows[0]).toEqualTypeOf<Task | undefined>();
    expectTypeOf(rows.lastSeqId).toEqualTypeOf<bigint | undefined>();
    expectTypeOf(rows.changes).toEqualTypeOf<readonly Change<Task>[]>();
    for (const change of rows.changes) {
      if (change.type === "update") expectTypeOf(change.old).toEqualTypeOf<Task>();
      if (change.type !== "reset") expectTypeOf(change.index).toEqualTypeOf<number>();
      // @ts-expect-error a reset has no row
      if (change.type === "reset") change.row;
    }
    // @ts-expect-error rows can not be changed
    rows.push(rows[0]!);
    // @ts-expect-error nor can their places
    rows[0] = rows[1]!;
  }
  expectTypeOf(client.live<Task>("SELECT 1", [1])).toEqualTypeOf<LiveRows<Task>>();
  expectTypeOf(client.live<Task>("SELECT 1", null, { partial: true })).toEqualTypeOf<LiveRows<Task>>();
  expectTypeOf(client.liveTable("a.b")).toEqualTypeOf<LiveRows<Row>>();
  const schema = { parse: (row: unknown) => row as Task };
  expectTypeOf(client.live("SELECT 1", { schema })).toEqualTypeOf<LiveRows<Task>>();
  expectTypeOf(client.query("SELECT 1", [], { schema })).resolves.toEqualTypeOf<QueryResult<Task>>();

  const events = client.liveEvents<Task>("SELECT 1", { initialData: false });
  expectTypeOf(events).toEqualTypeOf<LiveEvents<Task>>();
  for await (const event of events) {
    expectTypeOf(event).toEqualTypeOf<KalamEvent<Task>>();
    if (event.type === "update") expectTypeOf(event.oldRows).toEqualTypeOf<readonly Partial<Task>[]>();
    if (event.type === "lagged") expectTypeOf(event.dropped).toEqualTypeOf<number>();
  }

  client.on("state", (state) => expectTypeOf(state).toEqualTypeOf<State>());
  client.on("disconnect", (error) => expectTypeOf(error).toEqualTypeOf<KalamError>());
  expectTypeOf(client.state).toEqualTypeOf<State>();

  // @ts-expect-error there is no such option
  connect({ ulr: "http://localhost" });
  // @ts-expect-error it is a number
  client.live("SELECT 1", { limit: "3" });
  // @ts-expect-error events are not limited
  client.liveEvents("SELECT 1", { limit: 3 });
  // @ts-expect-error a function is no parameter
  client.query("SELECT $1", [() => 1]);
  await using scoped = client;
  await using query = live;
  expectTypeOf([scoped, query]).toBeArray();
}

test("types", () => {
  expectTypeOf(typed).parameter(0).toEqualTypeOf<Client>();
});
