import { after } from "node:test";

/**
 * What a suite starts in its `before` and keeps for all its tests: each is ended after the last of them, in reverse order,
 * also where `before` fails half way.
 */
export function ownedBySuite(): AsyncDisposableStack {
  const owned = new AsyncDisposableStack();
  after(async () => await owned.disposeAsync());
  return owned;
}
