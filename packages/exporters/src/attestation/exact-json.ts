const { rawJSON } = JSON as unknown as { readonly rawJSON: (text: string) => object };

/** A number that may not come back as the same text: long, with a fraction, or with an exponent. */
const unusualNumber = /[:,[]\s*-?(?:\d{16}|\d+[.eE])/;

/**
 * Parses JSON so that it is written again with the same numbers, whatever their size: those that JavaScript would write
 * in another way keep their text.
 */
export function parseExactly(text: string): unknown {
  // The slow way is several times slower, and hardly ever needed.
  if (!unusualNumber.test(text)) return JSON.parse(text);
  const keepText = (_key: string, value: unknown, context: { readonly source?: string }): unknown =>
    typeof value === "number" && context.source !== undefined && String(value) !== context.source
      ? rawJSON(context.source)
      : value;
  return JSON.parse(text, keepText as (key: string, value: unknown) => unknown);
}
