/** Checks of options: a mistake is a `TypeError` that names the option. */

/** What an option must be: says so if a value is not. */
type Check = (value: unknown) => boolean;

export interface Rule {
  readonly is: string;
  readonly check: Check;
}

export const text: Rule = { is: "a string", check: (value) => typeof value === "string" };
export const flag: Rule = { is: "a boolean", check: (value) => typeof value === "boolean" };
export const callback: Rule = { is: "a function", check: (value) => typeof value === "function" };
export const texts: Rule = {
  is: "an array of strings",
  check: (value) => Array.isArray(value) && value.every((item) => typeof item === "string"),
};
/** What fits into 32 bits. */
export const count: Rule = {
  is: "a whole number from 0 to 4294967295",
  check: (value) => Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 32,
};
export const milliseconds: Rule = {
  is: "a number of milliseconds",
  check: (value) => typeof value === "number" && Number.isFinite(value) && value >= 0,
};
export const signal: Rule = {
  is: "an AbortSignal",
  check: (value) => value instanceof AbortSignal,
};
export const schema: Rule = {
  is: "an object with a function `parse`",
  check: (value) =>
    typeof value === "object" && value !== null && typeof (value as { parse?: unknown }).parse === "function",
};
/** PEM, or the path of a file that holds it. */
export const pem: Rule = {
  is: "PEM as a string or Uint8Array, or the path of a PEM file",
  check: (value) => typeof value === "string" || value instanceof Uint8Array,
};

export function oneOf(...words: string[]): Rule {
  return {
    is: words.map((word) => `"${word}"`).join(" or "),
    check: (value) => words.includes(value as string),
  };
}

export function either(a: Rule, b: Rule): Rule {
  return { is: `${a.is} or ${b.is}`, check: (value) => a.check(value) || b.check(value) };
}

/** An object whose values are all of one kind. */
export function record(rule: Rule, keys?: string[]): Rule {
  const is = `an object${keys ? ` with any of ${keys.join(", ")}` : ""}, each ${rule.is}`;
  return {
    is,
    check: (value) =>
      isObject(value) &&
      Object.entries(value).every(
        ([key, field]) =>
          (keys === undefined || keys.includes(key)) && (field === undefined || rule.check(field)),
      ),
  };
}

/** Checks options by their rules; those that are `undefined` are as if they were not there. */
export function checkOptions(options: unknown, rules: Record<string, Rule>, what = "options"): void {
  if (options === undefined) return;
  if (!isObject(options)) throw new TypeError(`${what} must be an object`);
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
    if (!rule) {
      throw new TypeError(`there is no option \`${name}\`; there are ${Object.keys(rules).join(", ")}`);
    }
    if (!rule.check(value)) {
      throw new TypeError(`option \`${name}\` must be ${rule.is}, not ${show(value)}`);
    }
  }
}

export function checkText(name: string, value: unknown): string {
  if (typeof value !== "string") throw new TypeError(`${name} must be a string, not ${show(value)}`);
  return value;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Never a string's content: it may be a password. */
function show(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return typeof value === "number" ? String(value) : `a value of type ${typeof value}`;
}
