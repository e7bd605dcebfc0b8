/** Rows with their columns aligned; the last column is not padded. */
export function alignColumns(rows: readonly (readonly string[])[], padding: number): string {
  const widths: number[] = [];
  for (const row of rows)
    for (const [i, cell] of row.slice(0, -1).entries())
      widths[i] = Math.max(widths[i] ?? 0, Array.from(cell).length + padding);
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === row.length - 1 ? cell : cell + " ".repeat((widths[i] ?? 0) - Array.from(cell).length)))
        .join(""),
    )
    .map((line) => `${line}\n`)
    .join("");
}
