import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventReader } from "#test/helpers/event-reader.ts";
import { startGateway, type Caller, type TestGateway } from "#test/helpers/gateway.ts";
import { problemOf } from "#test/server/problem-of.ts";
import { isProven, receiver } from "./receiver.ts";

const nothing = "00000000-0000-7000-8000-000000000000";
let gateway: TestGateway;
let admin: Caller;

beforeAll(async () => {
  const webhooks = { allow_private: true, timeout_ms: 2000 };
  gateway = await startGateway({ webhooks, events: { poll_ms: 10 } });
  admin = gateway.admin;
});
afterAll(() => gateway.close());

async function webhook(body: object) {
  const answer = await admin.send("POST", "/api/v1/webhooks", { body });
  expect(answer.status).toBe(201);
  return answer.json as { webhook_id: string; secret: string };
}

describe("webhooks", () => {
  it("are made, tested, changed and deleted; their secrets are shown once", async () => {
    const hook = await receiver((response) => response.end());
    const { webhook_id, secret } = await webhook({ url: hook.url, kinds: ["firmware.*"] });
    const path = `/api/v1/webhooks/${webhook_id}`;
    const test = await admin.send("POST", `${path}/test`);
    expect(test.json).toMatchObject({ kind: "webhook.test", status: "waiting" });
    await hook.got(1);
    expect(hook.received.map((each) => isProven(secret, each, new Date()))).toEqual([true]);
    const deliveries = async (query = "") =>
      (await admin.send("GET", `${path}/deliveries${query}`)).json.items as { status: string }[];
    await expect.poll(() => deliveries("?status=delivered")).toHaveLength(1);
    const id = (test.json as { delivery_id: number }).delivery_id;
    await admin.send("POST", `${path}/deliveries/${id}/redeliver`);
    await hook.got(2);

    const rotated = await admin.send("POST", `${path}/rotate-secret`, { body: {} });
    expect((rotated.json as { secret: string }).secret).toMatch(/^whsec_/);
    for (const get of [path, "/api/v1/webhooks"]) {
      expect((await admin.send("GET", get)).bytes.toString()).not.toContain("whsec_");
    }
    const changed = await admin.send("PATCH", path, { body: { active: false, vin: "VMG-001" } });
    expect(changed.json).toMatchObject({ active: false, vin: "VMG-001", kinds: ["firmware.*"] });
    expect(problemOf(await admin.send("POST", `${path}/test`))).toBe("WEBHOOK_INACTIVE");
    expect((await admin.send("POST", `${path}/redeliver`)).json).toEqual({ redelivered: 0 });
    expect((await admin.send("DELETE", path)).status).toBe(204);
    expect(problemOf(await admin.send("GET", path))).toBe("WEBHOOK_UNKNOWN");
    await hook.close();
  });

  it("are refused where they can't be", async () => {
    const refusals: Record<string, object> = {
      REQUEST_INVALID: { url: "ftp://example.com" },
      WEBHOOK_URL_REFUSED: { url: "https://user:password@example.com" },
      WEBHOOK_SECRET_INVALID: { url: "https://example.com", secret: `whsec_${"A".repeat(33)}` },
    };
    for (const [code, body] of Object.entries(refusals)) {
      expect(problemOf(await admin.send("POST", "/api/v1/webhooks", { body }))).toBe(code);
    }
    const kinds = { url: "https://example.com", kinds: ["*"] };
    expect(problemOf(await admin.send("POST", "/api/v1/webhooks", { body: kinds }))).toBe(
      "REQUEST_INVALID",
    );
    const unknown = `/api/v1/webhooks/${nothing}`;
    expect(problemOf(await admin.send("GET", `${unknown}/deliveries`))).toBe("WEBHOOK_UNKNOWN");
    expect(problemOf(await admin.send("DELETE", unknown))).toBe("WEBHOOK_UNKNOWN");
    const { webhook_id } = await webhook({ url: "https://example.com" });
    const again = `/api/v1/webhooks/${webhook_id}/deliveries/1000/redeliver`;
    expect(problemOf(await admin.send("POST", again))).toBe("WEBHOOK_DELIVERY_UNKNOWN");
    await admin.send("DELETE", `/api/v1/webhooks/${webhook_id}`);
  });
});

it("a webhook that does not answer in time says so, and is tried again", async () => {
  const silent = await receiver(() => {});
  const { webhook_id } = await webhook({ url: silent.url, kinds: ["firmware.*"] });
  const path = `/api/v1/webhooks/${webhook_id}`;
  await admin.send("POST", `${path}/test`);
  const deliveries = async () => (await admin.send("GET", `${path}/deliveries`)).json.items;
  const late = { status: "waiting", answered: null, error: "no answer within 2000 ms" };
  await expect.poll(deliveries, { timeout: 10_000 }).toMatchObject([{ attempts: 1, ...late }]);
  expect(await deliveries()).toMatchObject([{ due_at: expect.any(String) }]);
  expect((await admin.send("GET", path)).json).toMatchObject({ active: true, failures: 1 });
  await admin.send("DELETE", path);
  await silent.close();
});

describe("events", () => {
  it("are listed, and streamed from the last that was read on", async () => {
    const { webhook_id } = await webhook({ url: "http://127.0.0.1:9/hook" });
    const of = `subject=${webhook_id}`;
    const tested = () => admin.send("POST", `/api/v1/webhooks/${webhook_id}/test`);
    const list = async (query = "") =>
      (await admin.send("GET", `/api/v1/events?${of}${query}`)).json as {
        items: { id: string; kind: string }[];
        next_cursor: string | null;
      };
    for (let count = 0; count < 3; count++) await tested();
    await expect.poll(async () => (await list()).items).toHaveLength(3);
    const [third, second, first] = (await list()).items.map(({ id }) => id);
    const page = await list("&limit=2");
    expect(page.next_cursor).toBe(second);
    expect((await list(`&cursor=${second}`)).items.map(({ id }) => id)).toEqual([first]);
    expect((await list(`&since=${first}`)).items.map(({ id }) => id)).toEqual([second, third]);
    const both = await admin.send("GET", `/api/v1/events?since=${first}&cursor=${first}`);
    expect(problemOf(both)).toBe("REQUEST_INVALID");

    const path = `/api/v1/events/stream?${of}&kind=webhook.test`;
    const reader = await eventReader(gateway, path, { lastEventId: first });
    await expect.poll(() => reader.events.map(({ id }) => id)).toEqual([second, third]);
    await tested();
    await expect.poll(() => reader.events.length).toBe(3);
    expect(reader.events.map(({ event }) => event)).toEqual(Array(3).fill("webhook.test"));
    reader.close();
  });
});
