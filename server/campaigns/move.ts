import type { Updateable } from "kysely";
import type { CampaignReason, CampaignState } from "#protocol/api/campaign.ts";
import { appendEntry } from "#server/audit/audit-log.ts";
import type { Tx } from "#server/database/connection.ts";
import { emit } from "#server/events/outbox.ts";
import { demandNext, type Campaign, type CampaignInput } from "./campaign.ts";
import { changeCampaign } from "./queries.ts";
import type { CampaignTable } from "./table.ts";

export interface Move {
  input: CampaignInput;
  /** For the audit log: `operator:NAME` or `gateway`. */
  actor: string;
  now: Date;
  reason?: CampaignReason | undefined;
  /** What else changes with it. */
  change?: Omit<Updateable<CampaignTable>, "revision" | "changed_at" | "state">;
  /** For the audit log. */
  detail?: Record<string, unknown>;
}

/**
 * Takes a locked campaign to its next state, with event and audit entry. Others wait for the audit
 * log from here on: the transaction's last step.
 * @throws ProblemError CAMPAIGN_STATE
 */
export async function moveCampaign(tx: Tx, campaign: Campaign, move: Move): Promise<Campaign> {
  const { input, actor, now, reason = null, change, detail } = move;
  const to = demandNext(campaign, input);
  const moved = await changeCampaign(tx, campaign.campaign_id, {
    state: to,
    ...(to !== campaign.state && { state_since: now }),
    state_reason: reason === null ? null : JSON.stringify(reason),
    ...timesOf(campaign, to, now),
    ...change,
  });
  const { campaign_id, name, revision } = moved;
  const from = campaign.state;
  await emit(tx, {
    kind: `campaign.${kindOf(input, to)}`,
    subject: campaign_id,
    data: { name, revision, from, to, by: actor, reason },
  });
  await appendEntry(
    tx,
    {
      actor,
      action: `campaign.${input}`,
      subject: campaign_id,
      detail: { name, revision, from, to, ...(reason && { reason }), ...detail },
    },
    now,
  );
  return moved;
}

function timesOf(campaign: Campaign, to: CampaignState, now: Date): Updateable<CampaignTable> {
  switch (to) {
    case "running":
      // Once started it stays so: a pause does not begin it anew.
      return campaign.started_at === null ? { started_at: now, waves_opened: [now] } : {};
    case "finished":
    case "stopped":
      return { ended_at: now };
    case "draft":
      return { submitted_by: null, submitted_at: null, approved_by: null, approved_at: null };
    case "awaiting_approval":
    case "scheduled":
    case "paused":
    case "finishing":
      return {};
  }
}

/** Events are told in the past tense. */
function kindOf(input: CampaignInput, to: CampaignState): string {
  switch (input) {
    case "submit":
      return "submitted";
    case "approve":
      return "approved";
    case "reject":
      return "rejected";
    case "withdraw":
      return "withdrawn";
    case "schedule":
      return "scheduled";
    case "start":
      return "started";
    case "pause":
    case "halt":
      return "paused";
    case "resume":
      return "resumed";
    case "stop":
      return "stopped";
    case "finish":
    case "end":
    case "drain":
      return to;
  }
}
