/**
 * A mount as a value: what `mount(8)` would be told, not yet mounted. Lists apply in order, each over the one before.
 *
 * `type: "bind"` uses `source` itself; `"overlay"` has `lowerdir=…`, `upperdir=…`, `workdir=…` among its options.
 */
export interface Mount {
  readonly type: string;
  readonly source: string;
  /** Below the mount target, for lists that mount more than one place; absent means the target itself. */
  readonly target?: string;
  readonly options: readonly string[];
}
