// A reporter of node's test runner: a line for each test file that failed.
// Node asks for a default export.
// oxlint-disable-next-line import/no-default-export
export default async function* failedFiles(events) {
  const failed = new Set();
  for await (const { type, data } of events) {
    // A file that ends before it has counted its tests fails by itself.
    const isFailure = type === "test:summary" ? data.file !== undefined && !data.success : type === "test:fail";
    if (isFailure && data.file?.endsWith(".test.ts")) failed.add(data.file);
  }
  for (const file of failed) yield `${file}\n`;
}
