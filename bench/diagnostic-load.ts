import { askThroughGateway } from "./asking.ts";
import type { BenchContext, Figure } from "./figure.ts";
import { openFleet, type Fleet } from "./fleet.ts";
import { startGateway, type Gateway } from "./gateway.ts";
import { cpuSeconds } from "./proc.ts";
import { sampleOf } from "./sample.ts";
import { startSimulated, type Simulated } from "./simulated.ts";
import { until } from "./until.ts";

/** Requests that wait for their result: of one vehicle, and of each of many. */
const IN_FLIGHT = { one: 8, each: 2 };

/** UDS requests a second of operators, to one vehicle and to many side by side. */
export async function measureDiagnosticLoad({
  workspace,
  quick,
  say,
}: BenchContext): Promise<Figure> {
  const vehicles = quick ? 5 : 100;
  await using gateway = await startGateway(workspace, {
    name: "gateway-diagnostic-load",
    anyCore: true,
  });
  const fleet = openFleet(gateway, workspace);
  const measure = async (vins: readonly string[], inFlight: number): Promise<number[]> => {
    await using simulated = await startSimulated(workspace, gateway, vins);
    await Promise.all(vins.map((vin) => reachable(fleet, simulated, vin)));
    const rates: number[] = [];
    for (let round = -1; round < (quick ? 2 : 5); round++) {
      const { rate, busy } = await load(
        { gateway, fleet, simulated, vins },
        inFlight,
        quick ? 1 : 6,
      );
      say(
        `  ${vins.length} at once: ${rate.toFixed(0)} requests/s, gateway ${busy.toFixed(0)}% busy`,
      );
      // The first round finds cold code.
      if (round >= 0) rates.push(rate);
    }
    return rates;
  };
  const one = await measure(["LOAD-ONE"], IN_FLIGHT.one);
  const many = await measure(
    Array.from({ length: vehicles }, (_, index) => `LOAD-${String(index + 1).padStart(4, "0")}`),
    IN_FLIGHT.each,
  );
  await fleet.close();
  return {
    title: "Diagnostic requests a second",
    notes: [
      `UDS 22 F190 to the ECUs of simulated vehicles in turn, by \`POST /diagnostics/send\` with \`wait_ms\`; a request counts when its result is read. The client keeps ${IN_FLIGHT.one} requests of one vehicle in flight, ${IN_FLIGHT.each} of each of ${vehicles}. Each request is checked, recorded, stored (embedded database), sent by MQTT to its VMG, by DoIP to the ECU and back, stored and decoded.`,
      "Gateway, client and all vehicles, the latter in one process, share the machine's cores as the kernel likes.",
    ],
    rows: [
      { what: "1 vehicle", unit: "requests/s", ours: sampleOf(one) },
      { what: `${vehicles} vehicles`, unit: "requests/s", ours: sampleOf(many) },
    ],
  };
}

interface Loaded {
  gateway: Gateway;
  fleet: Fleet;
  simulated: Simulated;
  vins: readonly string[];
}

/** @returns requests a second, and how much of a core the gateway used meanwhile, in percent */
async function load(
  { gateway, fleet, simulated, vins }: Loaded,
  inFlight: number,
  seconds: number,
): Promise<{ rate: number; busy: number }> {
  const { ecuIds } = simulated;
  const used = cpuSeconds(gateway.pid);
  const began = performance.now();
  const end = began + seconds * 1000;
  let completed = 0;
  const asking = async (vin: string, first: number) => {
    for (let turn = first; performance.now() < end; turn++) {
      await askThroughGateway(fleet, readVin(vin, ecuIds[turn % ecuIds.length]));
      completed++;
    }
  };
  await Promise.all(
    vins.flatMap((vin) => Array.from({ length: inFlight }, (_, turn) => asking(vin, turn))),
  );
  // The last ones end after the time is over: they count, and so does their time.
  const elapsed = (performance.now() - began) / 1000;
  const busy = ((cpuSeconds(gateway.pid) - used) / elapsed) * 100;
  return { rate: completed / elapsed, busy };
}

/** Resolves when the vehicle has told its ECUs and takes requests. */
async function reachable(fleet: Fleet, { ecuIds }: Simulated, vin: string): Promise<void> {
  await until(vin, () =>
    askThroughGateway(fleet, readVin(vin, ecuIds[0])).then(
      () => true,
      () => undefined,
    ),
  );
}

function readVin(vin: string, ecu_id = "") {
  return { vin, ecu_id, service_id: "0x22", data: "F190" };
}
