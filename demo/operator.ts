import { openAsBlob } from "node:fs";
import { Agent, FormData, request, type buildConnector } from "undici";
import { serverCa } from "#crypto/pki.ts";
import { clientTlsOptions } from "#crypto/tls.ts";

/** An operator at the REST API, with the first admin's token. */
export interface Operator {
  get<Answer>(path: string): Promise<Answer>;
  post<Answer>(path: string, body: object): Promise<Answer>;
  put<Answer>(path: string, body: object): Promise<Answer>;
  delete<Answer>(path: string): Promise<Answer>;
  upload<Answer>(file: string, fields: Record<string, string>): Promise<Answer>;
  close(): Promise<void>;
}

export async function connectOperator(
  url: string,
  token: string,
  certsDir: string,
): Promise<Operator> {
  const tls = clientTlsOptions({ profile: 2, ca: await serverCa(certsDir) });
  const dispatcher = new Agent({ connect: tls as buildConnector.BuildOptions });
  const authorization = `Bearer ${token}`;

  async function send<Answer>(
    method: "GET" | "POST" | "PUT" | "DELETE",
    path: string,
    body?: string | FormData,
  ): Promise<Answer> {
    const answer = await request(`${url}/api/v1${path}`, {
      method,
      dispatcher,
      headers: {
        authorization,
        ...(typeof body === "string" ? { "content-type": "application/json" } : {}),
      },
      body: body ?? null,
    });
    const text = await answer.body.text();
    const json = JSON.parse(text || "null") as Answer & { code?: string; detail?: string };
    if (answer.statusCode >= 400) {
      throw new Error(`${method} ${path}: ${answer.statusCode} ${json.code} ${json.detail ?? ""}`);
    }
    return json;
  }

  return {
    get: (path) => send("GET", path),
    post: (path, body) => send("POST", path, JSON.stringify(body)),
    put: (path, body) => send("PUT", path, JSON.stringify(body)),
    delete: (path) => send("DELETE", path),
    async upload(file, fields) {
      const form = new FormData();
      for (const [name, value] of Object.entries(fields)) form.set(name, value);
      form.set("file", await openAsBlob(file), "image.bin");
      return send("POST", "/firmware", form);
    },
    close: () => dispatcher.close(),
  };
}
