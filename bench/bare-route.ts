import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import Fastify from "fastify";
import pg from "pg";
import { serverTlsOptions } from "#crypto/tls.ts";

/**
 * What a check-in is measured against: the same TLS, Fastify with nothing in it but one route, and in
 * that one read by primary key. Prints its port.
 */
const { values } = parseArgs({
  options: {
    url: { type: "string", default: "" },
    key: { type: "string", default: "" },
    certificate: { type: "string", default: "" },
    ca: { type: "string", default: "" },
    pool: { type: "string", default: "10" },
  },
});
const read = (file: string) => readFileSync(file, "utf8");
const pool = new pg.Pool({ connectionString: values.url, max: Number(values.pool) });
const identity = {
  algorithm: "ecdsa-p256" as const,
  key: read(values.key),
  chain: read(values.certificate),
};
const http = Fastify({
  https: serverTlsOptions({
    profiles: [2],
    identities: [identity],
    clientCa: read(values.ca),
    clientCertificates: "optional",
  }),
} as object);
http.post<{ Body: { vin: string } }>("/check", async ({ body }) => {
  const { rows } = await pool.query("select * from vehicle where vin = $1", [body.vin]);
  return rows[0] as unknown;
});
await http.listen({ host: "127.0.0.1", port: 0 });
const address = http.server.address();
process.stdout.write(`${typeof address === "object" ? address?.port : ""}\n`);
