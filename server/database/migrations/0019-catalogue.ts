import { sql, type Kysely } from "kysely";

/** What the catalogue says of a release beside its image, and what its software consists of. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  // Text that sorts as versions precede each other (SemVer §11): numbers padded to the 15 digits
  // that they may have, a release after its pre-releases, in these numbers before words, and fewer
  // identifiers before more. Builds (§10) have no precedence.
  `create function semver_key(version text) returns text
    language sql immutable strict parallel safe as $$
      select lpad(part[1], 15, '0') || lpad(part[2], 15, '0') || lpad(part[3], 15, '0') ||
        coalesce((
          select string_agg(
            case
              when word ~ '^[0-9]+$' then '0' || lpad(length(word)::text, 2, '0') || word
              else '1' || word
            end || ' ', '' order by position
          )
          from string_to_table(part[4], '.') with ordinality as each (word, position)
        ), '~')
      from regexp_match(
        version, '^([0-9]+)[.]([0-9]+)[.]([0-9]+)(?:-([^+]*))?(?:[+].*)?$'
      ) as part
    $$`,
  `alter table firmware
    add column build_number bigint check (build_number >= 0),
    add column requires jsonb not null default '[]',
    add column rxswin text,
    add column availability text not null default 'channel'
      check (availability in ('channel', 'campaign')),
    add column archived_at timestamptz,
    add column changed_by xid8 not null default pg_current_xact_id(),
    add column version_key text collate "C" not null
      generated always as (semver_key(version)) stored`,
  `update firmware set archived_at = now() where status = 'archived'`,

  // Whoever follows the catalogue asks for what no transaction before has changed.
  `create index firmware_changed on firmware (changed_by)`,
  `create function note_firmware_change() returns trigger language plpgsql as $$
    begin
      new.changed_by := pg_current_xact_id();
      return new;
    end
  $$`,
  `create trigger firmware_change before update on firmware
    for each row execute function note_firmware_change()`,

  // The orders that the list has, beside that of uploads; each with what breaks ties.
  `create index firmware_by_version on firmware (version_key, firmware_id)`,
  `create index firmware_by_type on firmware (ecu_type, version_key, firmware_id)`,
  `create index firmware_by_build on firmware (coalesce(build_number, -1), firmware_id)`,
  `create index firmware_hardware on firmware using gin (hardware_versions)`,

  `create table firmware_sbom (
    firmware_id uuid primary key references firmware on delete cascade,
    document bytea not null,
    size integer not null,
    sha256 text not null,
    spec_version text not null,
    serial_number text,
    bom_version integer not null,
    component_count integer not null,
    created_by text not null,
    created_at timestamptz not null default now()
  )`,
  // package: the package URL without version, qualifiers and subpath; package_version: its version.
  `create table firmware_component (
    firmware_id uuid not null references firmware_sbom on delete cascade,
    position integer not null,
    name text not null,
    version text,
    purl text,
    package text,
    package_version text,
    primary key (firmware_id, position)
  )`,
  `create index firmware_component_name on firmware_component (lower(name))`,
  `create index firmware_component_package on firmware_component (package)`,
];
