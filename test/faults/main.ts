// `npm run faults`: breaks the servers that builds depend on in every way, and prints a table of what came of it.

import { type Cell, lastingFaults, passingFaults, runTable } from "./fault-table.ts";
import { FaultWorld } from "./fault-world.ts";
import { operations } from "./operations.ts";

function printTable(title: string, cells: readonly Cell[]): void {
  const names = operations.map(({ name }) => name);
  const rows = [...new Set(cells.map(({ fault }) => fault))].map((fault) => [
    fault,
    ...names.map((name) => {
      const cell = cells.find((one) => one.fault === fault && one.operation === name);
      return cell === undefined ? "–" : `${cell.ok ? "✓" : "✗"} ${cell.text.replaceAll("|", "\\|").slice(0, 160)}`;
    }),
  ]);
  const line = (fields: readonly string[]): string => `| ${fields.join(" | ")} |\n`;
  process.stdout.write(`\n## ${title}\n\n${line(["fault", ...names])}${line(["fault", ...names].map(() => "---"))}`);
  for (const row of rows) process.stdout.write(line(row));
}

await using world = await FaultWorld.open();
let failed = 0;
for (const [title, rows, mustSucceed] of [
  ["Faults that pass", passingFaults, true],
  ["Faults that stay", lastingFaults, false],
] as const) {
  const cells: Cell[] = [];
  for await (const cell of runTable(world, rows)) {
    cells.push(cell);
    if (mustSucceed && !cell.ok) failed += 1;
    process.stderr.write(`${cell.ok ? "ok  " : "FAIL"} ${cell.fault} × ${cell.operation}: ${cell.text}\n`);
  }
  printTable(title, cells);
}
process.exitCode = failed === 0 ? 0 : 1;
