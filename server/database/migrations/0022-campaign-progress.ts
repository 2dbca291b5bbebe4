import { sql, type Kysely } from "kysely";

/** What the evaluation of campaigns has to know of vehicles, and what it is asked to do by and by. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  // groups: what the vehicle was counted by, so that it can be taken back.
  `alter table campaign_vehicle
    add column groups jsonb not null default '[]',
    add column dtcs jsonb,
    add column command_id uuid`,
  `create index campaign_vehicle_reverting on campaign_vehicle (campaign_id, changed_at)
    where status = 'reverting'`,

  `alter table campaign_counter
    add column updating integer not null default 0,
    add column soaking integer not null default 0`,

  // Done in batches: every vehicle that failed before, every one that succeeded before.
  `alter table campaign
    add column retry_at timestamptz,
    add column revert_at timestamptz,
    add column revert_by text,
    add column revert_per_min integer,
    add column reverted_to timestamptz`,
  `create index campaign_work on campaign (campaign_id)
    where retry_at is not null or revert_at is not null`,
];
