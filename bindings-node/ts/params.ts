/** JavaScript values as the parameters `$1`, `$2`, ... of a statement, written as JSON with their types for params.rs. */

const MOST = 2n ** 63n - 1n;
const LEAST = -(2n ** 63n);

/**
 * | JavaScript | parameter |
 * |---|---|
 * | `null`, `undefined`, `boolean`, `string` | NULL, BOOLEAN, TEXT |
 * | `number`: a safe integer; any other | BIGINT; DOUBLE |
 * | `bigint` of 64 bits, `Date` | BIGINT, TIMESTAMP |
 * | `Uint8Array`, `Float32Array` | BYTES, EMBEDDING |
 * | arrays and plain objects | JSON |
 */
export function encodeParams(params: unknown): string | undefined {
  if (params === undefined || params === null) return undefined;
  if (!Array.isArray(params)) {
    throw new TypeError("params must be an array with a value for each of $1, $2, ...");
  }
  return JSON.stringify(params.map((value, i) => encode(value, `params: $${i + 1}`)));
}

function encode(value: unknown, where: string): unknown {
  switch (typeof value) {
    case "undefined":
      return null;
    case "boolean":
      return value;
    case "string":
      return wellFormed(value, where);
    case "number":
      return number(value, where);
    case "bigint":
      if (value > MOST || value < LEAST) throw new RangeError(`${where} does not fit into 64 bits`);
      return { int: value.toString() };
    case "object":
      return value === null ? null : object(value, where);
    default:
      throw new TypeError(`${where} is a ${typeof value}, which no column type holds`);
  }
}

function number(value: number, where: string): unknown {
  if (!Number.isFinite(value)) throw new RangeError(`${where} is ${value}, which is no finite number`);
  return Number.isSafeInteger(value) ? { int: String(value) } : { float: value };
}

function object(value: object, where: string): unknown {
  if (value instanceof Date) {
    const time = value.getTime();
    if (Number.isNaN(time)) throw new RangeError(`${where} is an invalid date`);
    return { timestamp: (BigInt(time) * 1000n).toString() };
  }
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString("base64") };
  if (value instanceof Float32Array) {
    if (!value.every(Number.isFinite)) throw new RangeError(`${where} has a number that is not finite`);
    return { embedding: Array.from(value) };
  }
  const prototype = Object.getPrototypeOf(value);
  const isPlain = Array.isArray(value) || prototype === Object.prototype || prototype === null;
  if (!isPlain) {
    throw new TypeError(`${where} is a ${value.constructor?.name ?? "class"}, which no column type holds`);
  }
  return { json: json(value, where) };
}

function json(value: object, where: string): string {
  let text: string;
  try {
    text = JSON.stringify(value, (_key, part: unknown) => {
      if (typeof part === "number" && !Number.isFinite(part)) throw new RangeError(`it has ${part}`);
      return part;
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message.split("\n")[0] : String(error);
    throw new TypeError(`${where} can not be written as JSON: ${reason}`, { cause: error });
  }
  return text;
}

function wellFormed(text: string, where: string): string {
  if (/\p{Surrogate}/u.test(text)) {
    throw new TypeError(`${where} has half of a surrogate pair, which is no text`);
  }
  return text;
}
