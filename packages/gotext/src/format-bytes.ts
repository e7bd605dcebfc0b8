const units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/** A size in decimal units with two digits, such as `1.23kB`; less than 1,000 as whole bytes. */
export function formatBytes(bytes: bigint | number): string {
  return format(bytes, (value) => value.toFixed(2));
}

/** A size in decimal units with as many digits as it takes, such as `1.2kB`. */
export function formatBytesShort(bytes: bigint | number): string {
  return format(bytes, (value) => String(value));
}

function format(bytes: bigint | number, text: (value: number) => string): string {
  const value = Number(bytes);
  let unit = 0;
  let scaled = value;
  while (Math.abs(scaled) >= 1000 && unit < units.length - 1) {
    unit += 1;
    // From the whole number each time: repeated division would add up rounding errors.
    scaled = value / 1000 ** unit;
  }
  return unit === 0 ? `${value}B` : `${text(scaled)}${units[unit]}`;
}
