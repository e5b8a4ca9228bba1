// How cells are shown, by the type of their column.

const NUMBERS = new Set(["BigInt", "Int", "SmallInt", "Float", "Double"]);

/** `{"Decimal":{"precision":18,"scale":4}}` is written as `Decimal(18,4)`. */
export function typeName(type) {
  if (typeof type === "string") return type;
  const [name, of] = Object.entries(type)[0];
  return `${name}(${typeof of === "object" ? Object.values(of).join(",") : of})`;
}

export const isNumber = (type) => NUMBERS.has(type) || (typeof type === "object" && "Decimal" in type);

export function show(value, type) {
  if (value === null || value === undefined) return "NULL";
  switch (type) {
    case "Timestamp":
    case "DateTime":
      return instant(value);
    case "Date":
      return new Date(value * 86_400_000).toISOString().slice(0, 10);
    case "Time":
      return new Date(Math.floor(value / 1000)).toISOString().slice(11, 23);
    case "Bytes":
      return `\\x${value.map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
    default:
      return typeof value === "object" ? JSON.stringify(value) : String(value);
  }
}

/**
 * Microseconds, or milliseconds as some system tables have: the magnitude tells. What would be a time of the years 2017 to
 * 2286 in milliseconds is one of early 1970 in microseconds.
 */
export function instant(value) {
  const millis = value > 1.5e12 && value < 1e13 ? value : Math.floor(value / 1000);
  const date = new Date(millis);
  return Number.isNaN(date.getTime()) ? String(value) : date.toISOString().replace("T", " ").replace("Z", "");
}
