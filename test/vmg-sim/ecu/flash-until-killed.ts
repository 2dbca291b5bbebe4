import { systemClock } from "#protocol/doip/clock.ts";
import { demoSecrets, hmacKey } from "#protocol/uds/security-key.ts";
import { startEcu } from "#vmg-sim/ecu/ecu.ts";
import { ecuConfig, programmingRequests } from "./ecu-rig.ts";

/**
 * A process of its own that flashes an ECU in the folder it is given and says `done` for every
 * request that was answered, for a test that kills it in between.
 */
const [folder = "", version = ""] = process.argv.slice(2);
const BLOCK = 4_098;
const image = Buffer.alloc(64 * 4_096, version);

const ecu = await startEcu({ config: ecuConfig, stateFolder: folder, clock: systemClock });

async function ask(request: Uint8Array): Promise<Uint8Array> {
  let last: Uint8Array = new Uint8Array(0);
  await ecu.handle(request, { source: 0x0e80, functional: false }, (response) => {
    last = response;
  });
  return last;
}

await ask(Buffer.from("1003", "hex"));
await ask(Buffer.from("1002", "hex"));
const seed = (await ask(Buffer.from("2701", "hex"))).subarray(2);
await ask(Uint8Array.of(0x27, 2, ...hmacKey(demoSecrets)(1, seed)));
for (const request of programmingRequests(image, version, BLOCK)) {
  const response = await ask(request);
  process.stdout.write(response[0] === 0x7f ? "refused\n" : "done\n");
}
await ecu.stop();
