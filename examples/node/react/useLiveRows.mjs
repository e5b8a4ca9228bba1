import { useEffect, useState } from "react";

const LOADING = { rows: [], phase: "loading", error: undefined };

/**
 * The rows of a live query in a React component (Ink, Electron, server components), and again whenever they have changed:
 *
 *     const { rows, phase, error } = useLiveRows(() => client.live("SELECT ... WHERE room = $1", [room]), [room]);
 *     return rows.map((row) => <Message key={row.id} row={row} />);   // memo(Message) skips unchanged rows: same objects
 *
 * The query is opened when the component is shown, anew when `dependencies` change, and closed when it goes.
 */
export function useLiveRows(open, dependencies = []) {
  const [state, setState] = useState(LOADING);
  useEffect(() => {
    const live = open();
    let isShown = true;
    const show = (next) => isShown && setState(next);
    (async () => {
      for await (const rows of live) show({ rows, phase: rows.phase, error: undefined });
    })().catch((error) => show((last) => ({ ...last, error })));
    return () => {
      isShown = false;
      setState(LOADING);
      live.close();
    };
    // biome-ignore lint/correctness/useExhaustiveDependencies: they are the caller's
  }, dependencies);
  return state;
}
