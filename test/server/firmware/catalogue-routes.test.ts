import { createHash } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { publish, uploadForm, type Upload } from "#test/helpers/fleet-data.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { problemOf } from "#test/server/problem-of.ts";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.close());

let counter = 0;
/** An ECU type that no other test uses. */
let ecu_type: string;
beforeEach(() => {
  ecu_type = `type-${++counter}`;
});

const upload = (form: Partial<Upload>) =>
  gateway.admin.send("POST", "/api/v1/firmware", {
    raw: uploadForm({ ecu_type, version: "2.0.0", ...form }),
  });
const path = (id: string, rest = "") => `/api/v1/firmware/${id}${rest}`;
const send = (method: string, to: string, body?: object) =>
  gateway.admin.send(method, to, body === undefined ? {} : { body });
const listed = async (query: string) =>
  ((await send("GET", `/api/v1/firmware?${query}`)).json.items as { version: string }[]).map(
    ({ version }) => version,
  );

describe("an upload", () => {
  it("takes all that can be said of a release, and warns of what the catalogue lacks", async () => {
    const requires = [{ ecu_type: "zone-controller", min_version: "3.1.0" }];
    const fields = {
      build_number: "20261121001",
      requires: JSON.stringify(requires),
      rxswin: "R79 4711-02",
      availability: "campaign",
      min_current_version: "1.5.0",
      release_notes: "Brakes better.",
      critical: "true",
    };
    for (const fileFirst of [false, true]) {
      const version = fileFirst ? "2.0.1" : "2.0.0";
      const answer = await upload({ version, fields, fileFirst });
      expect(answer.status).toBe(201);
      expect(answer.json).toMatchObject({
        ...fields,
        version,
        build_number: 20_261_121_001,
        requires,
        critical: true,
        archived_at: null,
        sbom: null,
      });
      const warnings = answer.json.warnings as { code: string }[];
      expect(warnings.map(({ code }) => code)).toEqual(["CHAIN_BROKEN", "REQUIREMENT_MISSING"]);
    }
  });

  it.each([
    [{ requires: "steering 2.0.0" }, "form/requires"],
    [{ requires: "{}" }, "form/requires"],
    [{ requires: '[{"ecu_type":"a","min_version":"2"}]' }, "form/requires/0/min_version"],
    [{ requires: '[{"ecu_type":"a","min_version":"2.0.0","max":"3"}]' }, "form/requires/0/max"],
    [{ build_number: "-1" }, "form/build_number"],
    [{ build_number: "1e3" }, "form/build_number"],
    [{ build_number: "9007199254740992" }, "form/build_number"],
    [{ rxswin: "" }, "form/rxswin"],
    [{ rxswin: " R79" }, "form/rxswin"],
    [{ rxswin: "R".repeat(65) }, "form/rxswin"],
    [{ availability: "none" }, "form/availability"],
  ])("is refused with %j, at its place", async (fields, place) => {
    const answer = await upload({ fields: fields });
    expect(problemOf(answer)).toBe("REQUEST_INVALID");
    expect((answer.json.errors as { path: string }[])[0]?.path).toBe(place);
  });

  it("is refused with requirements that make no sense", async () => {
    const minimum = (type: string) => ({ ecu_type: type, min_version: "1.0.0" });
    const many = Array.from({ length: 33 }, (_, index) => minimum(`other-${index}`));
    const withRequires = (requires: object[]) =>
      upload({ fields: { requires: JSON.stringify(requires) } });
    expect(problemOf(await withRequires(many))).toBe("REQUEST_INVALID");
    const own = await withRequires([minimum("a"), minimum(ecu_type)]);
    expect(problemOf(own)).toBe("FIRMWARE_REQUIRES_INVALID");
    expect(own.json.errors).toMatchObject([{ path: "form/requires/1/ecu_type" }]);
    const twice = await withRequires([minimum("a"), minimum("a")]);
    expect(problemOf(twice)).toBe("FIRMWARE_REQUIRES_INVALID");
  });
});

describe("a release", () => {
  it("is signed anew with what it requires, and promoted and archived by the manager", async () => {
    const { firmware_id } = await publish(gateway.admin, {
      ecu_type,
      version: "2.0.0",
      fields: { channel: "beta" },
    });
    const signed = async (file: string) =>
      (await send("GET", `/api/v1/uptane/image/${file}`)).json.signed;
    const custom = async () => {
      const timestamp = await signed("timestamp.json");
      const snapshot = await signed(`${timestamp.meta["snapshot.json"].version}.snapshot.json`);
      const { targets } = await signed(`${snapshot.meta["targets.json"].version}.targets.json`);
      return targets[`${ecu_type}/2.0.0.bin`].custom as object;
    };
    expect(await custom()).not.toHaveProperty("requires");
    const requires = [
      { ecu_type: "zone-b", min_version: "1.0.0" },
      { ecu_type: "zone-a", min_version: "1.0.0" },
    ];
    const patched = await send("PATCH", path(firmware_id), { requires, rxswin: "R13" });
    expect(patched.json).toMatchObject({ requires, rxswin: "R13", publication: "published" });
    expect(await custom()).toMatchObject({ requires: requires.toReversed() });
    const own = [{ ecu_type, min_version: "1.0.0" }];
    const refused = await send("PATCH", path(firmware_id), { requires: own });
    expect(problemOf(refused)).toBe("FIRMWARE_REQUIRES_INVALID");

    const promoted = await send("POST", path(firmware_id, "/promote"));
    expect(promoted.json).toMatchObject({ channel: "stable" });
    expect(problemOf(await send("POST", path(firmware_id, "/promote")))).toBe("FIRMWARE_STABLE");
    const archived = await send("POST", path(firmware_id, "/archive"));
    expect(archived.json).toMatchObject({ status: "archived" });
    expect((await send("DELETE", path(firmware_id))).json).toEqual(archived.json);
    expect(problemOf(await send("POST", path(firmware_id, "/promote")))).toBe("FIRMWARE_ARCHIVED");
    const nothing = path("00000000-0000-7000-8000-000000000000");
    for (const action of ["/promote", "/archive"])
      expect(problemOf(await send("POST", `${nothing}${action}`))).toBe("FIRMWARE_UNKNOWN");
  });
});

describe("an SBOM", () => {
  const component = (name: string, purl: string) => ({ type: "library", name, purl });
  /** With blanks that no serializer writes. */
  const document = (...components: object[]) => {
    const head = { bomFormat: "CycloneDX", specVersion: "1.6", version: 1 };
    return Buffer.from(`${JSON.stringify({ ...head, components }, null, 3)}\n\n`);
  };
  const attach = (id: string, body: Buffer, type = "application/vnd.cyclonedx+json") =>
    gateway.admin.send("PUT", path(id, "/sbom"), { raw: { type, body } });

  it("is given back byte for byte, replaced and removed", async () => {
    const { firmware_id } = await publish(gateway.admin, { ecu_type, version: "1.0.0" });
    const to = path(firmware_id, "/sbom");
    expect(problemOf(await send("GET", to))).toBe("SBOM_UNKNOWN");
    const first = document(component("zlib", "pkg:generic/zlib@1.3"));
    const second = document();
    for (const [body, count, type] of [
      [first, 1, "application/json"],
      [second, 0, undefined],
    ] as const) {
      const stored = await attach(firmware_id, body, type);
      const sha256 = createHash("sha256").update(body).digest("hex");
      expect(stored.json).toMatchObject({ firmware_id, sha256, component_count: count });
      expect((await send("GET", path(firmware_id))).json.sbom).toEqual(stored.json);
      const answer = await send("GET", to);
      expect(answer.bytes.equals(body)).toBe(true);
      expect(answer.headers["content-type"]).toBe("application/vnd.cyclonedx+json");
      const etag = String(answer.headers["etag"]);
      const again = await gateway.admin.send("GET", to, { headers: { "if-none-match": etag } });
      expect([again.status, again.bytes.length]).toEqual([304, 0]);
    }
    expect(await listed(`ecu_type=${ecu_type}&component=zlib`)).toEqual([]);
    expect((await send("DELETE", to)).status).toBe(204);
    expect(problemOf(await send("DELETE", to))).toBe("SBOM_UNKNOWN");
  });

  it("tells which firmware contains a component, archived or not", async () => {
    const ids = new Map<string, string>();
    for (const [version, purl] of [
      ["1.0.0", "pkg:deb/debian/openssl@3.0.11?arch=arm64"],
      ["1.1.0", "pkg:deb/debian/openssl@3.0.12"],
      ["1.2.0", "pkg:deb/ubuntu/openssl@3.0.11"],
    ] as const) {
      const { firmware_id } = await publish(gateway.admin, { ecu_type, version });
      ids.set(version, firmware_id);
      const zlib = component("zlib", "pkg:generic/zlib@3.0.11");
      await attach(firmware_id, document(component("OpenSSL", purl), zlib));
    }
    await send("DELETE", path(ids.get("1.0.0") ?? ""));
    const find = (query: string) => listed(`ecu_type=${ecu_type}&sort=version&${query}`);
    expect(await find("component=openssl")).toEqual(["1.0.0", "1.1.0", "1.2.0"]);
    expect(await find("purl=pkg:deb/debian/openssl")).toEqual(["1.0.0", "1.1.0"]);
    expect(await find("purl=pkg:deb/debian/openssl@3.0.11")).toEqual(["1.0.0"]);
    expect(await find("purl=pkg:deb/debian/openssl@3.0.11&status=active")).toEqual([]);
    // One and the same component has to be all of it.
    expect(await find("component=openssl&purl=pkg:generic/zlib@3.0.11")).toEqual([]);
    for (const purl of ["pkg:openssl", "pkg:npm/a@%2500"])
      expect(problemOf(await send("GET", `/api/v1/firmware?purl=${purl}`))).toBe("REQUEST_INVALID");
    const refused = await send("GET", "/api/v1/firmware?purl=pkg:openssl");
    expect(refused.json).toMatchObject({
      code: "REQUEST_INVALID",
      errors: [{ path: "querystring/purl" }],
    });
  });

  it("is refused when it is none, too large, or for nothing", async () => {
    const { firmware_id } = await publish(gateway.admin, { ecu_type, version: "1.0.0" });
    expect(problemOf(await attach(firmware_id, Buffer.from("{}")))).toBe("SBOM_INVALID");
    expect(problemOf(await attach(firmware_id, document(), "application/xml"))).toBe(
      "MEDIA_TYPE_UNSUPPORTED",
    );
    const large = Buffer.alloc(8 * 1024 * 1024 + 1, " ");
    expect(problemOf(await attach(firmware_id, large))).toBe("BODY_TOO_LARGE");
    const nothing = "00000000-0000-7000-8000-000000000000";
    expect(problemOf(await attach(nothing, document()))).toBe("FIRMWARE_UNKNOWN");
    expect(problemOf(await send("GET", path(nothing, "/sbom")))).toBe("FIRMWARE_UNKNOWN");
    expect(problemOf(await send("GET", path(firmware_id, "/sbom")))).toBe("SBOM_UNKNOWN");
  });
});
