/**
 * All tables. Each slice adds its own in its `table.ts` by declaration merging, so that a slice
 * owns its tables and queries still see one database.
 */
// oxlint-disable-next-line typescript/no-empty-interface, typescript/no-empty-object-type -- filled by declaration merging
export interface Tables {}
