import { createHash, randomUUIDv7 } from "node:crypto";
import type { CampaignContent, CampaignPatch } from "#protocol/api/campaign.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { appendEntry } from "#server/audit/audit-log.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import type { Operator } from "#server/http/access.ts";
import { asDate, demandCampaign, demandReleases } from "./actions.ts";
import { demandDraft, type Campaign } from "./campaign.ts";
import { checkContent } from "./content.ts";
import { campaignById, changeCampaign, deleteCampaign, insertCampaign } from "./queries.ts";

/** What an operator has said of a campaign, and nothing of its course. */
export type Content = Pick<
  Campaign,
  | "name"
  | "description"
  | "releases"
  | "filter"
  | "vins"
  | "percentage"
  | "waves"
  | "critical"
  | "starts_at"
  | "ends_at"
  | "dynamic"
  | "stop_rule"
  | "deadline_min"
  | "soak_min"
  | "new_dtcs"
  | "min_profile"
>;

/**
 * Makes a draft. It may be without releases yet, but what it says must hold.
 * @throws ProblemError as {@link checkContent} and {@link demandReleases}
 */
export async function createDraft(
  db: Db,
  operator: Operator,
  said: CampaignContent,
): Promise<Campaign> {
  return db.transaction().execute((tx) => insertDraft(tx, operator, contentOf(said), null));
}

/**
 * Makes a draft that says what another campaign did, without its times. Its vehicles are chosen
 * anew: the hash goes over the campaign's id.
 * @throws ProblemError CAMPAIGN_UNKNOWN, and as {@link createDraft} when its releases are gone
 */
export async function cloneCampaign(
  db: Db,
  campaignId: string,
  operator: Operator,
): Promise<Campaign> {
  return db.transaction().execute(async (tx) => {
    const original = await campaignById(tx, campaignId);
    if (original === undefined) throw new ProblemError("CAMPAIGN_UNKNOWN", campaignId);
    const content = { ...contentOfRow(original), starts_at: null, ends_at: null };
    return insertDraft(tx, operator, content, campaignId);
  });
}

/** @throws ProblemError CAMPAIGN_UNKNOWN, CAMPAIGN_STATE, CAMPAIGN_CHANGED, and of its content */
export async function patchDraft(
  db: Db,
  campaignId: string,
  operator: Operator,
  { revision, ...said }: CampaignPatch,
): Promise<Campaign> {
  return db.transaction().execute(async (tx) => {
    const before = await demandCampaign(tx, campaignId, revision);
    demandDraft(before, "patch");
    const content = { ...contentOfRow(before), ...patchOf(said) };
    await check(tx, content);
    const after = await changeCampaign(tx, campaignId, {
      ...rowOf(content),
      state_reason: null,
      authors: [...new Set([...before.authors, operator.name])],
    });
    await append(tx, operator, "campaign.changed", after, { changes: loggable(said) });
    return after;
  });
}

/** @throws ProblemError CAMPAIGN_UNKNOWN, CAMPAIGN_STATE */
export async function deleteDraft(db: Db, campaignId: string, operator: Operator): Promise<void> {
  await db.transaction().execute(async (tx) => {
    const campaign = await demandCampaign(tx, campaignId, undefined);
    demandDraft(campaign, "delete");
    await deleteCampaign(tx, campaignId);
    await append(tx, operator, "campaign.deleted", campaign, {});
  });
}

async function insertDraft(
  tx: Tx,
  operator: Operator,
  content: Content,
  clonedFrom: string | null,
): Promise<Campaign> {
  await check(tx, content);
  const campaign = await insertCampaign(tx, {
    ...rowOf(content),
    campaign_id: randomUUIDv7(),
    cloned_from: clonedFrom,
    created_by: operator.name,
    authors: [operator.name],
  });
  const detail = { cloned_from: clonedFrom, content: loggable(content) };
  await append(tx, operator, "campaign.created", campaign, detail);
  return campaign;
}

async function check(tx: Tx, content: Content): Promise<void> {
  checkContent(content);
  if (content.releases.length > 0) await demandReleases(tx, content);
}

async function append(
  tx: Tx,
  operator: Operator,
  action: string,
  { campaign_id, name, revision }: Campaign,
  detail: Record<string, unknown>,
): Promise<void> {
  await appendEntry(tx, {
    actor: `operator:${operator.name}`,
    action,
    subject: campaign_id,
    detail: { name, revision, ...detail, token_id: operator.token_id },
  });
}

/** A long list of vehicles would be over the limit of an entry: it is held by its hash. */
function loggable<Said extends { vins?: readonly string[] | null }>(said: Said) {
  if (!said.vins) return said;
  const sha256 = createHash("sha256").update(said.vins.join("\n")).digest("hex");
  return { ...said, vins: { count: said.vins.length, sha256 } };
}

/** A campaign's content as parsed from what an operator says. */
export function contentOf(said: CampaignContent): Content {
  return {
    ...said,
    description: said.description ?? null,
    filter: said.filter ?? null,
    vins: said.vins ?? null,
    stop_rule: said.stop_rule ?? null,
    min_profile: said.min_profile ?? null,
    starts_at: asDate(said.starts_at),
    ends_at: asDate(said.ends_at),
  };
}

function patchOf({ starts_at, ends_at, ...said }: Omit<CampaignPatch, "revision">) {
  return {
    ...said,
    ...(starts_at === undefined ? {} : { starts_at: asDate(starts_at) }),
    ...(ends_at === undefined ? {} : { ends_at: asDate(ends_at) }),
  };
}

function contentOfRow(campaign: Campaign): Content {
  const { name, description, releases, filter, vins, percentage, waves, critical } = campaign;
  const { starts_at, ends_at, dynamic, stop_rule, deadline_min, soak_min } = campaign;
  const { new_dtcs, min_profile } = campaign;
  return {
    ...{ name, description, releases, filter, vins, percentage, waves, critical },
    ...{ starts_at, ends_at, dynamic, stop_rule, deadline_min, soak_min },
    ...{ new_dtcs, min_profile },
  };
}

function rowOf(content: Content) {
  const { waves, stop_rule } = content;
  return {
    ...content,
    waves: JSON.stringify(waves),
    stop_rule: stop_rule === null ? null : JSON.stringify(stop_rule),
  };
}
