import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "#protocol/doip/clock.ts";
import { examine, type Examined } from "#test/protocol/doip/conformance.ts";
import { captured, conversation, dissect } from "#test/protocol/doip/dissection.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { requirePeer } from "#test/helpers/optional.ts";
import { edgeRig, examinedEdge, type EdgeRig } from "./edge-rig.ts";

let rig: EdgeRig;
let connector: Examined;

beforeEach(async () => {
  rig = await edgeRig(systemClock);
  connector = examinedEdge(rig, rig.edge.port);
});

afterEach(() => rig.dispose());

test("the connector speaks by ISO 13400-2", async (context) => {
  requirePeer(context, "python3");
  expect(await examine("conversation", connector, { version: 3 })).toBe("no deviation");
});

test("it refuses by ISO 13400-2", async (context) => {
  requirePeer(context, "python3");
  expect(await examine("refusals", connector, { version: 3 })).toBe("no deviation");
});

test("Wireshark understands what was said to it and by it", async (context) => {
  requirePeer(context, "python3");
  requirePeer(context, "tshark");
  const capture = join(testFolder(), "conversation.pcap");
  expect(await examine("conversation", connector, { capture })).toBe("no deviation");
  expect(dissect(capture)).toEqual(conversation);
});

test("Wireshark finds the faults where there are some", async (context) => {
  requirePeer(context, "python3");
  requirePeer(context, "tshark");
  const capture = join(testFolder(), "refusals.pcap");
  expect(await examine("refusals", connector, { capture })).toBe("no deviation");
  expect(dissect(capture).problems).not.toEqual([]);
});

test("Wireshark understands what it has captured by itself", async (context) => {
  requirePeer(context, "python3");
  requirePeer(context, "capture");
  const file = join(testFolder(), "loopback.pcapng");
  const talk = () => examine("conversation", connector);
  expect(await captured(file, connector, talk)).toBe("no deviation");
  expect(dissect(file, connector)).toEqual(conversation);
});
