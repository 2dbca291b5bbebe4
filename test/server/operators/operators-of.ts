import { randomUUID } from "node:crypto";
import { expect } from "vitest";
import type { Account, Grant } from "#protocol/api/operator.ts";
import type { Answer, TestGateway } from "#test/helpers/gateway.ts";

export const accounts = "/api/v1/operators/accounts";

/** Of everybody who has logged in once. */
export const password = "correct horse battery";

/** What a login gave. */
export function granted(answer: Answer): Grant {
  expect([answer.status, answer.json?.code]).toEqual([200, undefined]);
  expect(answer.headers["cache-control"]).toBe("no-store");
  return answer.json as Grant;
}

/** Operators of a gateway, as they log in and say who they are. */
export function operatorsOf(gateway: TestGateway) {
  const nobody = gateway.operator("");
  const login = async (body: object) => nobody.send("POST", "/api/v1/auth/login", { body });
  return {
    login,
    refresh: async (refresh_token: string) =>
      nobody.send("POST", "/api/v1/auth/refresh", { body: { refresh_token } }),
    me: async (token: string) => gateway.operator(token).send("GET", "/api/v1/auth/me"),
    async audited(query: string) {
      const { json } = await gateway.admin.send("GET", `/api/v1/audit?${query}`);
      return (json as { items: { actor: string; subject: string; detail: object }[] }).items;
    },
    async accountOf(name: string) {
      const { json } = await gateway.admin.send("GET", `${accounts}?limit=500`);
      return (json as { items: Account[] }).items.find((account) => account.name === name);
    },
    /** Makes an account that has logged in for the first time. */
    async person(role: string, change: object = {}) {
      const name = `${role} ${randomUUID().slice(0, 8)}`;
      const made = await gateway.admin.send("POST", accounts, { body: { name, role, ...change } });
      expect(made.status).toBe(201);
      const { account_id, password: first } = made.json as Account & { password: string };
      const grant = granted(await login({ name, password: first, new_password: password }));
      return { name, account_id, grant, first };
    },
  };
}
