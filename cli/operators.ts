import { Command } from "commander";
import Type, { type Static } from "typebox";
import {
  Account,
  OneTimePassword,
  operatorLevels,
  OperatorSession,
  roles,
  type AccountChange,
  type NewAccount,
} from "#protocol/api/operator.ts";
import { answered, answering, done, path } from "./answering.ts";
import { demandYes } from "./ask.ts";
import { given } from "./given.ts";
import { details } from "./details.ts";
import type { Gateway } from "./gateway.ts";
import { listCommand, readPages } from "./listing.ts";
import { tokensCommand } from "./operator-tokens.ts";
import { flag, oneOf } from "./option-values.ts";
import { shownTime } from "./table.ts";
import { UsageError } from "./usage-error.ts";

/** `latticeway operators …` */
export function operatorsCommand(): Command {
  return new Command("operators")
    .description("Who may do what; an admin's")
    .addCommand(operatorList())
    .addCommand(createCommand())
    .addCommand(updateCommand())
    .addCommand(resetCommand())
    .addCommand(sessionsCommand())
    .addCommand(deleteCommand())
    .addCommand(tokensCommand());
}

function operatorList(): Command {
  return listCommand(new Command("list").description("Accounts by name"), {
    path: () => "/operators/accounts",
    item: Account,
    columns: {
      NAME: (it) => it.name,
      ROLE: (it) => it.role,
      LEVEL: (it) => it.diagnostic_level,
      STATE: (it) =>
        it.disabled ? "disabled" : it.locked_until ? "locked" : it.password_temporary ? "new" : "",
      CALLED: (it) => it.display_name,
      FROM: (it) => (it.external ? "issuer" : "here"),
      MADE: (it) => it.created_at,
      ID: (it) => it.account_id,
    },
    spare: ["ID"],
    none: "There is no account.",
    examples: ["latticeway operators list"],
  });
}

/** More than there are people. */
const MOST = 100_000;

/** @throws UsageError */
async function accountOf(gateway: Gateway, name: string): Promise<Account> {
  const all = { path: "/operators/accounts", most: MOST };
  const { items } = await readPages(gateway, Account, all);
  const found = items.find((each) => each.name === name || each.account_id === name);
  if (found) return found;
  throw new UsageError(`There is no account ${name}: latticeway operators list`);
}

interface CreateOptions {
  role: NewAccount["role"];
  level?: NewAccount["diagnostic_level"];
  displayName?: string;
}

const NewPassword = Type.Object({ ...Account.properties, ...OneTimePassword.properties });

function createCommand(): Command {
  const command = new Command("create")
    .description("Make an account; its first password is made up")
    .argument("<name>")
    .addOption(oneOf("--role <role>", "what they may do", roles).makeOptionMandatory())
    .addOption(oneOf("--level <level>", "how far diagnostics may go", operatorLevels))
    .option("--display-name <text>", "what they are called");
  return answering<CreateOptions>(command, {
    examples: ["latticeway operators create alice --role campaign_manager"],
    async run(gateway, { role, level, displayName }, name = "") {
      const body: NewAccount = {
        name,
        role,
        ...given({ diagnostic_level: level, display_name: displayName }),
      };
      return answered(
        await gateway.send("POST", "/operators/accounts", body, NewPassword),
        firstPassword,
      );
    },
  });
}

function firstPassword(of: Static<typeof OneTimePassword> & { name: string }): string {
  const until = of.password_expires_at === null ? "" : ` by ${shownTime(of.password_expires_at)}`;
  return `${of.name} logs in with this password once${until}, and sets another: ${of.password}`;
}

interface UpdateOptions {
  role?: AccountChange["role"];
  level?: string;
  displayName?: string;
  disabled?: boolean;
}

function updateCommand(): Command {
  const command = new Command("update")
    .description("Change what somebody may do; it holds at once")
    .argument("<name>")
    .addOption(oneOf("--role <role>", "what they may do", roles))
    .addOption(
      oneOf("--level <level>", "of diagnostics; default: what the role has", [
        ...operatorLevels,
        "default",
      ]),
    )
    .option("--display-name <text>", "what they are called; none for nothing")
    .option("--disabled <true|false>", "let them in no more, or again", flag);
  return answering<UpdateOptions>(command, {
    examples: [
      "latticeway operators update alice --role approver",
      "latticeway operators update alice --disabled true",
    ],
    async run(gateway, { role, level, displayName, disabled }, name = "") {
      const diagnostic_level = level === "default" ? null : level;
      const display_name = displayName === "none" ? null : displayName;
      const body: AccountChange = given({ role, diagnostic_level, display_name, disabled });
      if (Object.keys(body).length === 0) {
        throw new UsageError("Say what is to change: latticeway operators update --help");
      }
      const { account_id } = await accountOf(gateway, name);
      const to = path`/operators/accounts/${account_id}`;
      return answered(await gateway.send("PATCH", to, body, Account), details);
    },
  });
}

function resetCommand(): Command {
  const command = new Command("reset-password")
    .description("Give somebody a password that is good once; their sessions end")
    .argument("<name>");
  return answering(command, {
    examples: ["latticeway operators reset-password alice"],
    async run(gateway, _options, name = "") {
      const to = path`/operators/accounts/${(await accountOf(gateway, name)).account_id}/password`;
      return answered(await gateway.send("POST", to, {}, OneTimePassword), (given) =>
        firstPassword({ name, ...given }),
      );
    },
  });
}

function sessionsCommand(): Command {
  const command = new Command("sessions")
    .description("Where somebody is logged in")
    .argument("<name>");
  return listCommand(command, {
    path: async (gateway, name = "") =>
      path`/operators/accounts/${(await accountOf(gateway, name)).account_id}/sessions`,
    item: OperatorSession,
    columns: {
      KIND: (it) => it.kind,
      FROM: (it) => it.source,
      BEGUN: (it) => it.created_at,
      USED: (it) => it.used_at,
      UNTIL: (it) => it.expires_at,
      ID: (it) => it.session_id,
    },
    none: "They are logged in nowhere.",
    examples: ["latticeway operators sessions alice"],
  });
}

function deleteCommand(): Command {
  const command = new Command("delete")
    .description("Delete an account with its sessions and tokens; nobody else gets its name")
    .argument("<name>")
    .option("--yes", "do not ask");
  return answering<{ yes?: true }>(command, {
    examples: ["latticeway operators delete alice --yes"],
    async run(gateway, options, name = "") {
      const { account_id } = await accountOf(gateway, name);
      await demandYes(`${name} is gone for good, and so are their tokens.`, options);
      await gateway.delete(path`/operators/accounts/${account_id}`);
      return done(`${name} is deleted.`);
    },
  });
}
