const units: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  p: 2 ** 50,
};

/** Reads an amount of memory such as `64m`, `1.5 GiB` or `100`; undefined if it is none. */
export function parseByteSize(text: string): bigint | undefined {
  const match = /^(\d+\.?\d*|\.\d+) ?(?:([kmgtp])(?:i?b)?|(b))?$/i.exec(text);
  if (match === null) return undefined;
  const unit = units[(match[2] ?? match[3] ?? "").toLowerCase()] ?? 1;
  const bytes = Math.trunc(Number(match[1]) * unit);
  return Number.isFinite(bytes) && bytes < 2 ** 63 ? BigInt(bytes) : undefined;
}
