import type { SnapshotRow } from "./snapshot-table.ts";

/**
 * Views of snapshots. They have no directory and end with the process, so that they are no rows of the database: a build
 * looks into a dozen trees, each for some milliseconds.
 */
export class ViewList {
  readonly #views = new Map<string, SnapshotRow>();
  #lastId = 0;

  /** The id is below those of the database. */
  add(name: string, parent: string): number {
    this.#lastId -= 1;
    this.#views.set(name, { id: this.#lastId, name, kind: "view", parent, usage: undefined });
    return this.#lastId;
  }

  find(name: string): SnapshotRow | undefined {
    return this.#views.get(name);
  }

  /** A view of the snapshot, if there is any. */
  findViewOf(parent: string): SnapshotRow | undefined {
    return this.all().find((view) => view.parent === parent);
  }

  remove(name: string): void {
    this.#views.delete(name);
  }

  all(): SnapshotRow[] {
    return [...this.#views.values()];
  }
}
