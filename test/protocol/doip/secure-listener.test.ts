import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { ActivationCode } from "#protocol/doip/codes.ts";
import type { RoutingActivationRequest } from "#protocol/doip/control-messages.ts";
import type { EntityConfig } from "#protocol/doip/entity-state.ts";
import { listenDoip, type DoipListener } from "#protocol/doip/listener.ts";
import { testPki, type TestPki } from "#test/vmg-sim/vmg/test-pki.ts";
import { config } from "./entity-table.ts";
import { manualClock } from "./manual-clock.ts";
import { rawSocket } from "./raw-socket.ts";

const TLS_TESTER = "0e81";
const CENTRAL_SECURITY = "e0";
const CONFIRMED = "01";

const entity: EntityConfig = {
  ...config,
  activationTypes: [0x00, 0x01, 0xe0],
  needsTls: ({ source }) => source === 0x0e81,
  admit({ activationType }, security) {
    if (activationType === 0x01) return ActivationCode.confirmationPending;
    if (activationType !== 0xe0 || security === "authenticated") return ActivationCode.activated;
    return ActivationCode.authenticationMissing;
  },
};

const request = (source: string, type = "00") => `02fd000500000007${source}${type}00000000`;
const response = (source: string, code: string) => `02fd000600000009${source}1000${code}00000000`;

let pki: TestPki;
let listener: DoipListener;
let confirm: (request: RoutingActivationRequest) => Promise<boolean>;

const options = () => ({
  host: "127.0.0.1",
  port: 0,
  entity,
  clock: manualClock(),
  tls: { port: 0, options: { ...pki.server, rejectUnauthorized: false } },
  confirm: (asked: RoutingActivationRequest) => confirm(asked),
  onDiagnostic() {},
});

beforeAll(async () => {
  pki = await testPki("LATTICE0000000001");
});
afterAll(() => pki.remove());
beforeEach(async () => {
  listener = await listenDoip(options());
});
afterEach(() => listener.close());

/** The answer to an activation, and to what follows it. */
async function activate(source: string, type?: string, tls?: TestPki["vehicle"]) {
  const raw = await rawSocket(tls ? (listener.tlsPort ?? 0) : listener.port, tls);
  raw.send(request(source, type));
  return { raw, answer: await raw.receive(17) };
}

const anonymous = () => ({ ca: pki.vehicle.ca, servername: "localhost" });

test("a tester that must use TLS is told so, and let in by TLS", async () => {
  const { raw, answer } = await activate(TLS_TESTER);
  expect(answer).toBe(response(TLS_TESTER, "07"));
  expect(await raw.closed()).toBe("");
  const secure = await activate(TLS_TESTER, "00", anonymous());
  expect(secure.answer).toBe(response(TLS_TESTER, "10"));
  expect(listener.activeSockets).toBe(1);
});

test("central security needs a certificate of the tester", async () => {
  const without = await activate(TLS_TESTER, CENTRAL_SECURITY, anonymous());
  expect(without.answer).toBe(response(TLS_TESTER, "04"));
  expect(await without.raw.closed()).toBe("");
  const shown = { ...pki.vehicle, servername: "localhost" };
  const { answer } = await activate(TLS_TESTER, CENTRAL_SECURITY, shown);
  expect(answer).toBe(response(TLS_TESTER, "10"));
});

test.each([
  [true, "10"],
  [false, "05"],
])("who has to be confirmed waits for it: %s", async (granted, code) => {
  const asked = Promise.withResolvers<RoutingActivationRequest>();
  const answered = Promise.withResolvers<boolean>();
  confirm = (activation) => {
    asked.resolve(activation);
    return answered.promise;
  };
  const { raw, answer } = await activate("0e80", CONFIRMED);
  expect(answer).toBe(response("0e80", "11"));
  expect(await asked.promise).toMatchObject({ source: 0x0e80, activationType: 1 });
  answered.resolve(granted);
  expect(await raw.receive(17)).toBe(response("0e80", code));
  expect(listener.activeSockets).toBe(granted ? 1 : 0);
});

test("bytes that are no TLS harm nobody else", async () => {
  const raw = await rawSocket(listener.tlsPort ?? 0);
  raw.send(request("0e80"));
  await raw.closed();
  const { answer } = await activate("0e80", "00", anonymous());
  expect(answer).toBe(response("0e80", "10"));
});

test("both ports are opened or none", async () => {
  const [free, taken] = [await listenDoip(options()), listener.port];
  const { port } = free;
  await free.close();
  const other = { ...options(), port };
  const onTaken = { ...other, tls: { ...other.tls, port: taken } };
  await expect(listenDoip(onTaken)).rejects.toMatchObject({ code: "EADDRINUSE" });
  const again = await listenDoip(other);
  expect(again.port).toBe(port);
  await again.close();
});
