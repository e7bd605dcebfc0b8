/** Receives failures that nobody else can receive, such as those of background work. */
export interface ErrorReporter {
  report(error: unknown, context: string): void;
}
