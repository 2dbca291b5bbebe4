const SECRETS = new Set(["token", "authorization", "cookie", "password", "passphrase", "secret"]);
const MASK = "[Redacted]";
/** Nothing that is logged on purpose is nested deeper. */
const MAX_DEPTH = 5;

/**
 * The fields of a log line without those that may carry a secret, wherever in it they turn up.
 * @returns the same object when it has none
 */
export function maskSecrets<Fields extends object>(fields: Fields): Fields {
  return masked(fields, 0) as Fields;
}

function masked(value: unknown, depth: number): unknown {
  // Errors and other things with a class are written by serializers of their own.
  if (!isPlain(value)) return value;
  if (depth === MAX_DEPTH) return MASK;
  let copy: Record<string, unknown> | undefined;
  for (const key in value) {
    const before = value[key];
    const after = SECRETS.has(key) ? MASK : masked(before, depth + 1);
    if (after === before) continue;
    copy ??= { ...value };
    copy[key] = after;
  }
  return copy === undefined ? value : Array.isArray(value) ? Object.values(copy) : copy;
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === Array.prototype || prototype === null;
}
