import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { loadVehicleConfig } from "#config/vehicle.ts";
import { startHardware } from "#vmg-sim/hardware.ts";
import type { Listening } from "./flashing.ts";

/**
 * The receiving side of a transfer, in a process of its own. Prints where it listens.
 * - `hardware FOLDER`: a zonal gateway with one ECU behind it, of config/vehicle.yaml
 * - `blocks BYTES`: TCP; answers each block of so many bytes by a byte
 * - `stream`: TCP; answers the end by a byte
 */
const [kind, argument = ""] = process.argv.slice(2);
const listening =
  kind === "hardware" ? await hardware(argument) : await receive(kind, Number(argument));
console.log(JSON.stringify(listening));

async function hardware(stateFolder: string): Promise<Listening> {
  const { zones, uds, definitions } = loadVehicleConfig({});
  const [zone] = zones;
  const [ecu] = zone?.ecus ?? [];
  if (zone === undefined || ecu === undefined) throw new Error("config/vehicle.yaml has no ECU");
  const started = await startHardware({
    vin: "BENCH-FLASHING",
    zones: [
      {
        ...zone,
        ecus: [
          {
            ...ecu,
            serial_number: ecu.ecu_id,
            security: { secrets: uds.security_secrets },
            definition: definitions[ecu.ecu_type],
          },
        ],
      },
    ],
    stateFolder,
  });
  return { port: started.zones[0]?.port ?? 0, target: ecu.logical_address };
}

async function receive(kind: string | undefined, blockLength: number): Promise<Listening> {
  const server = createServer(
    { allowHalfOpen: true, noDelay: true },
    kind === "stream" ? takeStream : (socket) => takeBlocks(socket, blockLength),
  );
  await once(server.listen(0, "127.0.0.1"), "listening");
  return { port: (server.address() as AddressInfo).port, target: 0 };
}

function takeBlocks(socket: Socket, blockLength: number): void {
  let rest = 0;
  socket.on("data", (chunk: Buffer) => {
    rest += chunk.length;
    for (; rest >= blockLength; rest -= blockLength) socket.write("\0");
  });
  socket.on("end", () => socket.end());
  socket.on("error", () => socket.destroy());
}

function takeStream(socket: Socket): void {
  socket.resume();
  socket.on("end", () => socket.end("\0"));
  socket.on("error", () => socket.destroy());
}
