import { Command } from "commander";
import Type from "typebox";
import { Timestamp, Uuid } from "#protocol/api/identifier.ts";
import { operatorLevels, roles } from "#protocol/api/operator.ts";
import { answered, answering, done, path } from "./answering.ts";
import { demandYes } from "./ask.ts";
import { given } from "./given.ts";
import { listCommand } from "./listing.ts";
import { integer, names, oneOf } from "./option-values.ts";

const Token = Type.Object({
  token_id: Uuid,
  name: Type.String(),
  role: Type.String(),
  scopes: Type.Array(Type.String()),
  created_at: Timestamp,
  expires_at: Type.Union([Timestamp, Type.Null()]),
});
const MadeToken = Type.Object({ token_id: Uuid, token: Type.String() });

/** `latticeway operators tokens …` */
export function tokensCommand(): Command {
  return new Command("tokens")
    .description("API tokens, for scripts and other systems")
    .addCommand(
      listCommand(new Command("list").description("Tokens that are good"), {
        path: () => "/operators/tokens",
        item: Token,
        whole: true,
        columns: {
          NAME: (it) => it.name,
          ROLE: (it) => it.role,
          SCOPES: (it) => it.scopes.join(","),
          MADE: (it) => it.created_at,
          UNTIL: (it) => it.expires_at,
          ID: (it) => it.token_id,
        },
        spare: ["MADE"],
        none: "There is none.",
        examples: ["latticeway operators tokens list"],
      }),
    )
    .addCommand(createCommand())
    .addCommand(revokeCommand());
}

interface Options {
  role?: string;
  account?: string;
  level?: string;
  scopes?: string[];
  days?: number;
}

function createCommand(): Command {
  const command = new Command("create")
    .description("Make a token; it is shown this once")
    .argument("[name]", "who it is for; not with --account")
    .addOption(oneOf("--role <role>", "what it may do", roles))
    .option("--account <id>", "in place of name and role: those of an account")
    .addOption(oneOf("--level <level>", "how far diagnostics may go", operatorLevels))
    .option("--scopes <scopes>", "for less than the role: firmware:write,updates:read", names)
    .option("--days <n>", "how long it is good", integer(1, 3650));
  return answering<Options>(command, {
    examples: [
      "latticeway operators tokens create ci --role release_manager --scopes firmware:write --days 90",
    ],
    async run(gateway, { role, account, level, scopes, days }, name?: string) {
      const body = given({
        name,
        role,
        account_id: account,
        diagnostic_level: level,
        scopes,
        expires_in_days: days,
      });
      return answered(
        await gateway.send("POST", "/operators/tokens", body, MadeToken),
        ({ token }) => token,
      );
    },
  });
}

function revokeCommand(): Command {
  const command = new Command("revoke")
    .description("End a token, and what was begun with it")
    .argument("<token-id>")
    .option("--yes", "do not ask");
  return answering<{ yes?: true }>(command, {
    examples: ["latticeway operators tokens revoke 0198c7a0-… --yes"],
    async run(gateway, options, id = "") {
      await demandYes("Whoever uses this token is out at once.", options);
      await gateway.delete(path`/operators/tokens/${id}`);
      return done("The token is revoked.");
    },
  });
}
