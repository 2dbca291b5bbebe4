import { Command } from "commander";
import Type from "typebox";
import {
  Delivery,
  deliveryStatuses,
  Webhook,
  WebhookWithSecret,
  type NewWebhook,
  type WebhookChange,
} from "#protocol/api/webhook.ts";
import { answered, answering, done, path } from "./answering.ts";
import { demandYes } from "./ask.ts";
import { given } from "./given.ts";
import { details } from "./details.ts";
import { listCommand } from "./listing.ts";
import { flag, integer, names, oneOf } from "./option-values.ts";

/** `latticeway webhooks …` */
export function webhooksCommand(): Command {
  return new Command("webhooks")
    .description("Who is told of events")
    .addCommand(webhookList())
    .addCommand(showCommand())
    .addCommand(createCommand())
    .addCommand(updateCommand())
    .addCommand(rotateCommand())
    .addCommand(testCommand())
    .addCommand(deliveriesCommand())
    .addCommand(redeliverCommand())
    .addCommand(deleteCommand());
}

function webhookList(): Command {
  return listCommand(new Command("list").description("All of them"), {
    path: () => "/webhooks",
    item: Webhook,
    whole: true,
    columns: {
      URL: (it) => it.url,
      KINDS: (it) => it.kinds.join(",") || "all",
      VIN: (it) => it.vin,
      ACTIVE: (it) => (it.active ? "yes" : (it.disabled_reason ?? "no")),
      FAILURES: (it) => it.failures,
      "DEAD SINCE": (it) => it.dead_since,
      ID: (it) => it.webhook_id,
    },
    spare: ["DEAD SINCE", "FAILURES"],
    none: "Nobody is told of events.",
    examples: ["latticeway webhooks list"],
  });
}

function showCommand(): Command {
  return answering(new Command("show").description("All of one").argument("<webhook-id>"), {
    examples: ["latticeway webhooks show 0198c7a0-…"],
    run: async (gateway, _options, id = "") =>
      answered(await gateway.get(path`/webhooks/${id}`, Webhook), details),
  });
}

interface Options {
  description?: string;
  kinds?: string[];
  vin?: string;
  active?: boolean;
  url?: string;
}

function withOptions(command: Command): Command {
  return command
    .option("--description <text>", "what it is for")
    .option("--kinds <kinds>", "what it is told of: campaign.*,update.finished", names)
    .option("--vin <id>", "only about this vehicle");
}

function createCommand(): Command {
  const command = new Command("create")
    .description("Tell a URL of events")
    .argument("<url>", "https");
  return answering<Options>(withOptions(command), {
    examples: ["latticeway webhooks create https://example.com/hook --kinds 'campaign.*'"],
    async run(gateway, { description, kinds, vin }, url = "") {
      const body: NewWebhook = { url, ...given({ description, kinds, vin }) };
      return answered(
        await gateway.send("POST", "/webhooks", body, WebhookWithSecret),
        ({ webhook_id, secret }) => `${webhook_id}\nIts secret is shown this once: ${secret}`,
      );
    },
  });
}

function updateCommand(): Command {
  const command = withOptions(
    new Command("update").description("Change one").argument("<webhook-id>"),
  )
    .option("--url <url>", "where it goes")
    .option("--active <true|false>", "put it out of use, or in again", flag);
  return answering<Options>(command, {
    examples: ["latticeway webhooks update 0198c7a0-… --active true"],
    async run(gateway, { description, kinds, vin, url, active }, id = "") {
      const body: WebhookChange = given({ description, kinds, vin, url, active });
      return answered(await gateway.send("PATCH", path`/webhooks/${id}`, body, Webhook), details);
    },
  });
}

function rotateCommand(): Command {
  const command = new Command("rotate-secret")
    .description("Sign by a new secret; by the old one, too, for a while")
    .argument("<webhook-id>")
    .option("--overlap <hours>", "for so long", integer(0, 720), 24);
  return answering<{ overlap: number }>(command, {
    examples: ["latticeway webhooks rotate-secret 0198c7a0-… --overlap 48"],
    async run(gateway, { overlap }, id = "") {
      const to = path`/webhooks/${id}/rotate-secret`;
      const made = await gateway.send("POST", to, { overlap_h: overlap }, WebhookWithSecret);
      return answered(made, ({ secret }) => `The new secret is shown this once: ${secret}`);
    },
  });
}

function testCommand(): Command {
  const command = new Command("test").description("Send a test event").argument("<webhook-id>");
  return answering(command, {
    examples: ["latticeway webhooks test 0198c7a0-…"],
    async run(gateway, _options, id = "") {
      const sent = await gateway.send("POST", path`/webhooks/${id}/test`, undefined, Delivery);
      return answered(
        sent,
        () => `On its way. What came of it: latticeway webhooks deliveries ${id}`,
      );
    },
  });
}

function deliveriesCommand(): Command {
  const command = new Command("deliveries")
    .description("What was sent, newest first")
    .argument("<webhook-id>")
    .addOption(oneOf("--status <status>", "dead: given up", deliveryStatuses));
  return listCommand(command, {
    path: (_gateway, id = "") => path`/webhooks/${id}/deliveries`,
    item: Delivery,
    columns: {
      NUMBER: (it) => it.delivery_id,
      KIND: (it) => it.kind,
      STATUS: (it) => it.status,
      TRIES: (it) => it.attempts,
      ANSWER: (it) => it.answered,
      ERROR: (it) => it.error,
      TRIED: (it) => it.tried_at,
      "NEXT TRY": (it) => it.due_at,
    },
    none: "Nothing was sent.",
    examples: ["latticeway webhooks deliveries 0198c7a0-… --status dead"],
  });
}

function redeliverCommand(): Command {
  const command = new Command("redeliver")
    .description("Send again what was given up, or one delivery")
    .argument("<webhook-id>")
    .argument("[number]", "of a delivery");
  return answering(command, {
    examples: [
      "latticeway webhooks redeliver 0198c7a0-…",
      "latticeway webhooks redeliver 0198c7a0-… 17",
    ],
    async run(gateway, _options, id = "", number?: string) {
      const base = path`/webhooks/${id}`;
      if (number === undefined) {
        const Count = Type.Object({ redelivered: Type.Integer() });
        const again = await gateway.send("POST", `${base}/redeliver`, undefined, Count);
        return answered(again, ({ redelivered }) => `${redelivered} are sent again.`);
      }
      const to = `${base}${path`/deliveries/${number}/redeliver`}`;
      return answered(await gateway.send("POST", to, undefined, Delivery), details);
    },
  });
}

function deleteCommand(): Command {
  const command = new Command("delete")
    .description("Tell it no more; what waits for it is lost")
    .argument("<webhook-id>")
    .option("--yes", "do not ask");
  return answering<{ yes?: true }>(command, {
    examples: ["latticeway webhooks delete 0198c7a0-… --yes"],
    async run(gateway, options, id = "") {
      await demandYes("What waits for it is lost.", options);
      await gateway.delete(path`/webhooks/${id}`);
      return done("It is told no more.");
    },
  });
}
