import { lint } from "../subrequests/lint.ts";
import type { Diagnostic } from "./diagnostic.ts";
import type { OfflineOptions } from "./offline-world.ts";
import { locateFinding } from "./suggest-fixes.ts";
import { TextLines } from "./text-range.ts";

/**
 * What an editor shows of a Dockerfile while it is being written: the broken rules and the error that would stop the build, each with
 * its exact place and, where there is one, a way to mend it. By line, errors last.
 *
 * Nothing is asked of a daemon or a registry unless `options.world` does: variables that only a base image sets count as
 * undefined, and no file is known to be ignored.
 */
export async function diagnose(text: string, options: OfflineOptions = {}): Promise<readonly Diagnostic[]> {
  const lines = new TextLines(text);
  const { warnings, error } = await lint(new TextEncoder().encode(text), options);
  const found = warnings.map(({ rule, message, url, location }): Diagnostic => {
    const whole = lines.whole(location);
    return { severity: "warning", rule, message, url, ...locateFinding({ rule, message, whole, text: lines }) };
  });
  found.sort((a, b) => a.range.start.line - b.range.start.line || a.range.start.character - b.range.start.character);
  if (error === undefined) return found;
  const { message, location } = error;
  const place = locateFinding({ rule: undefined, message, whole: lines.whole(location), text: lines });
  return [...found, { severity: "error", rule: undefined, message, url: "", ...place }];
}
