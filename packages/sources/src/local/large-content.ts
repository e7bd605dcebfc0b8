import { formatBytes, quote } from "@buildkit-ts/gotext";
import type { ProgressWriter } from "@buildkit-ts/progress";
import type { ExpectedContent, HeavyPart } from "@buildkit-ts/session";

/** Less takes no time worth a word. */
const minBytes = 100e6;

/** Says in the step's log, while a large transfer goes on, where most of it lies: often it is there by mistake. */
export function reportLargeContent(progress: ProgressWriter, content: ExpectedContent): void {
  const { bytes, files, heaviest } = content;
  if (bytes < minBytes) return;
  const lines = [
    `${formatBytes(bytes)} in ${countOf(files)} to transfer${heaviest.length > 0 ? ", most of it in" : ""}`,
    ...heaviest.map(describe),
    "A .dockerignore file can leave out what the build does not need",
  ];
  progress.log(2, Buffer.from(`${lines.join("\n")}\n`));
}

function describe({ path, bytes, files }: HeavyPart): string {
  return `  ${formatBytes(bytes).padStart(9)} ${quote(path).slice(1, -1)} (${countOf(files)})`;
}

function countOf(files: number): string {
  return `${files.toLocaleString("en")} ${files === 1 ? "file" : "files"}`;
}
