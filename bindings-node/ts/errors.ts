import type { Failure } from "./native.js";

/** Stable codes of {@link KalamError}; the same strings in every language. */
export type ErrorCode =
  | "already_exists"
  | "auth_failed"
  | "closed"
  | "config"
  | "disconnected"
  | "invalid_argument"
  | "invalid_sql"
  | "lagged"
  | "not_found"
  | "not_supported"
  | "permission_denied"
  | "protocol"
  | "rate_limited"
  | "server"
  | "subscription_limit"
  | "timeout"
  | "unavailable";

/**
 * Anything that the client, the connection or the server could not do.
 *
 * Programs match on {@link code}; the message is for people and may change. It never holds a password or token.
 */
export class KalamError extends Error {
  override readonly name = "KalamError";

  constructor(
    /** Stable, and the same in every language. */
    readonly code: ErrorCode,
    message: string,
    /** Whether the same call may succeed when it is made again. */
    readonly retryable = false,
    /** The server's own code, such as `TABLE_NOT_FOUND`, where it gave one. */
    readonly serverCode?: string,
  ) {
    super(message);
  }

  /** What a log in JSON wants: the message too, which `JSON.stringify` leaves out of other errors. */
  toJSON(): object {
    const { name, code, message, retryable, serverCode } = this;
    return { name, code, message, retryable, serverCode };
  }
}

/** @internal */
export function errorOf(failure: Failure | null | undefined): KalamError {
  // A newer core may know more codes.
  const { code, message, retryable, serverCode } = failure ?? {
    code: "server",
    message: "the call failed",
    retryable: false,
  };
  return new KalamError(code as ErrorCode, message, retryable, serverCode);
}

/** @internal A callback of the user has thrown: that is reported as a warning of the process, and ends nothing. */
export function report(callback: string, error: unknown): void {
  const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.emitWarning(`${callback}, given to kalam-live, failed: ${reason}`, {
    type: "KalamWarning",
    code: "KALAM_CALLBACK",
  });
}
