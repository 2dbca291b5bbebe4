import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { connectDoip } from "#protocol/doip/client.ts";
import { PayloadType } from "#protocol/doip/codes.ts";
import type { DoipMessage } from "#protocol/doip/frame.ts";
import { frameReader } from "#protocol/doip/frame-reader.ts";
import { manualClock, settle, type ManualClock } from "#test/protocol/doip/manual-clock.ts";
import { createUdsLink, type UdsLink } from "#vmg-sim/vmg/uds-link.ts";

const VMG = 0x0f00;
const ECU = 0x1001;
const OTHER_ECU = 0x1002;
const GROUP = 0xe400;

const READ_VIN = Buffer.from("22f190", "hex");
const VIN_READ = "62f19041";

/** What an entity sends, in hex; the zonal gateway has the address 0x1000. */
const hex = (value: number) => value.toString(16).padStart(4, "0");
const activated = (tester = VMG, code = "10") =>
  `02fd000600000009${hex(tester)}1000${code}00000000`;
const ack = (source = ECU, target = VMG) => `02fd800200000005${hex(source)}${hex(target)}00`;
const nack = (code: string, source = ECU) => `02fd800300000005${hex(source)}${hex(VMG)}${code}`;
const answer = (uds: string, source = ECU, target = VMG) =>
  `02fd8001${(uds.length / 2 + 4).toString(16).padStart(8, "0")}${hex(source)}${hex(target)}${uds}`;
const ALIVE_CHECK = "02fd000700000000";

/** The other side of a connection: what it is sent, and whatever it likes to say. */
interface Peer {
  socket: Socket;
  say(...what: string[]): void;
  /** The next message of this type that comes. */
  heard(type: PayloadType): Promise<DoipMessage>;
  /** Resolves when the client has taken all that was said. */
  caughtUp(): Promise<void>;
}

let server: ReturnType<typeof createServer>;
let clock: ManualClock;
let link: UdsLink;
/** What the entity does with its connections, in their order; later ones are the last one's. */
let scripts: ((peer: Peer) => Promise<void>)[];

beforeEach(async () => {
  scripts = [];
  clock = manualClock();
  server = createServer((socket) => {
    const script = scripts.length > 1 ? scripts.shift() : scripts[0];
    void script?.(peerOf(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  link = createUdsLink({ host: "127.0.0.1", port: port(), clock });
});

afterEach(async () => {
  link.close();
  server.close();
  await once(server, "close");
});

const port = () => (server.address() as AddressInfo).port;

function peerOf(socket: Socket): Peer {
  socket.setNoDelay(true);
  const types = Object.values(PayloadType);
  const reader = frameReader({ versions: [2], types, maxPayload: 0x10000 });
  const messages: DoipMessage[] = [];
  let wake = () => {};
  // The client may reset what it does not want to read.
  socket.on("error", () => {});
  socket.on("data", (segment: Buffer) => {
    reader.push(segment);
    for (let event = reader.next(); event !== undefined; event = reader.next())
      if (event.kind === "message") messages.push(event.message);
    wake();
  });
  const peer: Peer = {
    socket,
    say: (...what) => void socket.write(Buffer.from(what.join(""), "hex")),
    async heard(type) {
      for (;;) {
        const index = messages.findIndex((message) => message.type === type);
        const [found] = index < 0 ? [] : messages.splice(index, 1);
        if (found !== undefined) return found;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    async caughtUp() {
      peer.say(ALIVE_CHECK);
      await peer.heard(PayloadType.aliveCheckResponse);
    },
  };
  return peer;
}

async function activate(peer: Peer): Promise<void> {
  await peer.heard(PayloadType.routingActivationRequest);
  peer.say(activated());
}

/** Activates, waits for the request, then goes on as the test says. */
const onRequest =
  (script: (peer: Peer) => void | Promise<void>) =>
  async (peer: Peer): Promise<void> => {
    await activate(peer);
    await peer.heard(PayloadType.diagnosticMessage);
    await script(peer);
  };

const honest = onRequest((peer) => peer.say(ack(), answer(VIN_READ)));

/** An answer in hex, or the code of the error. */
async function outcomeOf(asked: Promise<Uint8Array>): Promise<string> {
  try {
    return Buffer.from(await asked).toString("hex");
  } catch (error) {
    return (error as { code: string }).code;
  }
}

const ask = (target = ECU) => outcomeOf(link.request(target, READ_VIN));

describe("an entity that answers a request with", () => {
  test.each<[string, string[]]>([
    ["an answer from the wrong ECU", [ack(), answer("62f19042", OTHER_ECU)]],
    ["an answer from itself", [ack(), answer("62f19042", 0x1000)]],
    ["an answer from the group", [ack(), answer("62f19042", GROUP)]],
    ["an answer to another tester", [ack(), answer("62f19042", ECU, 0x0e80)]],
    ["an answer to nobody", [ack(), answer("62f19042", ECU, 0)]],
    ["an answer to another service", [ack(), answer("7e00")]],
    ["an answer to another DID", [ack(), answer("62f19142")]],
    ["a refusal of another service", [ack(), answer("7f3e11")]],
    ["half a negative response", [ack(), answer("7f22")]],
    ["an acknowledgement from another ECU", [ack(OTHER_ECU), ack()]],
    ["an acknowledgement for another tester", [ack(ECU, 0x0e80), ack()]],
    ["a NACK for nothing", [nack("03", OTHER_ECU), ack()]],
    ["a NACK after the acknowledgement", [ack(), nack("03")]],
    ["a second acknowledgement", [ack(), ack()]],
    ["another activation response", [activated(VMG, "00"), ack()]],
    ["a frame of a type that is not for testers", ["02fd400100000000", ack()]],
    ["a frame of no known type", ["02fd123400000002abcd", ack()]],
    ["a frame too large for it", [`02fd800100020000${"00".repeat(0x20000)}`, ack()]],
    ["an alive check", [ack(), ALIVE_CHECK]],
  ])("%s is not taken at its word", async (_, said) => {
    scripts = [onRequest((peer) => peer.say(...said, answer(VIN_READ)))];
    expect(await ask()).toBe(VIN_READ);
  });

  test.each<[string, (peer: Peer) => void]>([
    ["garbage", (peer) => peer.say("ff".repeat(64))],
    ["a wrong inverse version", (peer) => peer.say("02fe800100000005")],
    ["a version it never had", (peer) => peer.say("01fe800100000005")],
    ["an answer without a byte in it", (peer) => peer.say(ack(), "02fd80010000000410010f00")],
    ["a header NACK", (peer) => peer.say("02fd00000000000102")],
    ["a close", (peer) => peer.socket.end()],
    ["a close in the middle of an answer", (peer) => peer.socket.end("02fd8001", "hex")],
    ["a reset", (peer) => peer.socket.resetAndDestroy()],
  ])("%s loses the connection, and the next request makes a new one", async (_, say) => {
    scripts = [onRequest(say), honest];
    expect(await ask()).toBe("DOIP_CONNECT");
    expect(await ask()).toBe(VIN_READ);
  });

  test("a NACK of a code that nobody knows refuses that request alone", async () => {
    scripts = [
      onRequest(async (peer) => {
        peer.say(nack("f7"));
        await peer.heard(PayloadType.diagnosticMessage);
        peer.say(ack(), answer(VIN_READ));
      }),
    ];
    expect(await ask()).toBe("DOIP_NACK");
    expect(await ask()).toBe(VIN_READ);
  });
});

describe("an entity that takes its time", () => {
  /** Empty until the request has come to something. */
  function outcomeOnceKnown(): { outcome?: string } {
    const seen: { outcome?: string } = {};
    void (async () => {
      seen.outcome = await ask();
    })();
    return seen;
  }

  /** What the request comes to when `said` and a part of a frame is all that the entity sends. */
  async function answeredBy(said: string[], part: string) {
    const end = Promise.withResolvers<void>();
    scripts = [
      onRequest(async (peer) => {
        peer.say(...said);
        await peer.caughtUp();
        peer.say(part);
        end.resolve();
      }),
    ];
    const seen = outcomeOnceKnown();
    await end.promise;
    return seen;
  }

  test.each<[string, string[], string, number, string]>([
    ["half an acknowledgement", [], "02fd80020000", 2_000, "DOIP_CONNECT"],
    ["half an answer", [ack()], "02fd80010000000810010f0062", 2_000, "UDS_TIMEOUT"],
    ["4 GiB", [ack()], "02fd8001ffffffff10010f0062f190", 2_000, "UDS_TIMEOUT"],
    ["one 78", [ack(), answer("7f2278")], "", 5_000, "UDS_TIMEOUT"],
  ])("sends %s and then nothing is given up", async (_, said, part, ms, code) => {
    const seen = await answeredBy(said, part);
    clock.advance(ms - 1);
    await settle();
    expect(seen).toEqual({});
    clock.advance(1);
    await settle();
    expect(seen).toEqual({ outcome: code });
  });

  test("says 78 for ever is given up after 30 s", async () => {
    const end = Promise.withResolvers<void>();
    scripts = [
      onRequest(async (peer) => {
        peer.say(ack());
        for (let pending = 0; pending < 29; pending++) {
          peer.say(answer("7f2278"));
          await peer.caughtUp();
          clock.advance(1_000);
        }
        end.resolve();
      }),
    ];
    const seen = outcomeOnceKnown();
    await end.promise;
    expect(seen).toEqual({});
    clock.advance(1_000);
    await settle();
    expect(seen).toEqual({ outcome: "UDS_TIMEOUT" });
  });

  test("acknowledges others and never this one is given up all the same", async () => {
    scripts = [
      onRequest(async (peer) => {
        for (let others = 0; others < 4; others++) {
          await peer.heard(PayloadType.diagnosticMessage);
          clock.advance(600);
          peer.say(ack(OTHER_ECU), answer(VIN_READ, OTHER_ECU));
        }
      }),
      honest,
    ];
    const silent = ask();
    const others: string[] = [];
    for (let asked = 0; asked < 4; asked++) others.push(await ask(OTHER_ECU));
    expect(others).toEqual([VIN_READ, VIN_READ, VIN_READ, "DOIP_CONNECT"]);
    expect(await silent).toBe("DOIP_CONNECT");
    expect(await ask()).toBe(VIN_READ);
  });
});

describe("an entity that does not let a tester in", () => {
  test.each<[string, string]>([
    ["activates another one", activated(0x0e80)],
    ["says again and again that it has to be confirmed", activated(VMG, "11").repeat(50)],
    ["sends half a response", activated().slice(0, 20)],
    ["says nothing", ""],
    ["answers diagnostics right away", ack() + answer(VIN_READ)],
  ])("but %s is given up after 2 s", async (_, said) => {
    scripts = [
      async (peer) => {
        await peer.heard(PayloadType.routingActivationRequest);
        await peer.caughtUp();
        peer.say(said);
        clock.advance(2_000);
      },
      honest,
    ];
    expect(await ask()).toBe("DOIP_CONNECT");
    expect(await ask()).toBe(VIN_READ);
  });
});

test("a flood of answers to a group request is an answer of each ECU, of 256 at the most", async () => {
  scripts = [
    onRequest(async (peer) => {
      peer.say(ack(GROUP));
      for (let source = 0; source < 2_000; source++)
        peer.say(answer(VIN_READ, 0x1000 + source).repeat(5));
      await peer.caughtUp();
      clock.advance(1_000);
    }),
  ];
  const answers = await link.requestFunctional(GROUP, READ_VIN, 1_000);
  expect(answers).toHaveLength(256);
  expect(new Set(answers.map(({ source }) => source)).size).toBe(256);
});

test("a flood of alive checks does not pile up answers that nobody reads", async () => {
  const connected = Promise.withResolvers<Peer>();
  const caughtUp = Promise.withResolvers<void>();
  scripts = [
    async (peer) => {
      await activate(peer);
      connected.resolve(peer);
    },
  ];
  const client = await connectDoip({
    host: "127.0.0.1",
    port: port(),
    source: VMG,
    clock,
    connectMs: 2_000,
    ackMs: 2_000,
    maxPayload: 1_000,
    onMessage: () => caughtUp.resolve(),
    onClosed() {},
  });
  const peer = await connected.promise;
  peer.socket.pause();
  while (!client.congested) {
    client.send(ECU, new Uint8Array(60_000), () => {});
    await settle();
  }
  peer.say(ALIVE_CHECK.repeat(10_000), answer(VIN_READ));
  await caughtUp.promise;
  let answers = 0;
  void (async () => {
    for (; ; answers++) await peer.heard(PayloadType.aliveCheckResponse);
  })();
  peer.socket.resume();
  client.close();
  await once(peer.socket, "close");
  expect(answers).toBeLessThan(10);
});
