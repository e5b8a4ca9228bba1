// The rule that a reader of changes needs.

import assert from "node:assert/strict";
import type { Rows } from "kalam-live";

/** The rows before with the changes applied in order: the very objects of the rows after. */
export function replay<T>(before: readonly T[], rows: Rows<T>): T[] {
  const list = [...before];
  for (const change of rows.changes) {
    switch (change.type) {
      case "reset":
        assert.equal(rows.changes.length, 1);
        return [...rows];
      case "remove":
        assert.equal(list[change.index], change.row, "the very object that was there");
        list.splice(change.index, 1);
        break;
      case "insert":
        list.splice(change.index, 0, change.row);
        break;
      case "update":
        assert.equal(list[change.index], change.old, "the very object that was there");
        list[change.index] = change.row;
        break;
    }
  }
  return list;
}

/** Checks that the changes give the rows, object by object. */
export function checkReplay<T>(before: readonly T[], rows: Rows<T>): void {
  const list = replay(before, rows);
  assert.equal(list.length, rows.length);
  list.forEach((row, i) => {
    assert.equal(row, rows[i]);
  });
}
