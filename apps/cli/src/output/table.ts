/** Lays rows out in columns with tabs, as Go's tabwriter does with a tab width of 8. The last cell of a row ends no column. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const columns = Math.max(0, ...rows.map((row) => row.length - 1));
  const widths = Array.from({ length: columns }, (_unused, column) => columnWidths(rows, column));
  let text = "";
  for (const [index, row] of rows.entries()) {
    for (const [column, cell] of row.entries()) {
      const width = column === row.length - 1 ? 0 : (widths[column]?.[index] ?? 0);
      text += cell + "\t".repeat(Math.ceil(Math.max(0, width - cell.length) / 8));
    }
    text += "\n";
  }
  return text;
}

/** The width of a column in each row: that of its widest cell among the neighbouring rows that have it. */
function columnWidths(rows: readonly (readonly string[])[], column: number): number[] {
  const widths: number[] = [];
  for (let start = 0; start < rows.length; ) {
    let end = start;
    let widest = 0;
    for (; column < (rows[end]?.length ?? 0) - 1; end += 1) {
      widest = Math.max(widest, rows[end]?.[column]?.length ?? 0);
    }
    const width = Math.ceil((widest + 1) / 8) * 8;
    for (; start < end; start += 1) widths.push(width);
    if (start < rows.length) {
      widths.push(0);
      start += 1;
    }
  }
  return widths;
}
