import dns, { type LookupAddress, type LookupAllOptions } from "node:dns";
import { once } from "node:events";
import { connect } from "node:net";
import { expect, it, onTestFinished, vi } from "vitest";
import { ensureDevelopmentPki } from "#crypto/pki.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { startListeners } from "#test/server/own-listeners.ts";

/** As on a machine where localhost is both ::1 and 127.0.0.1, which not every machine can listen on. */
function giveLocalhostTwoAddresses(): void {
  type Answer = (error: null, addresses: LookupAddress[]) => void;
  const both = ["127.0.0.1", "127.0.0.2"].map((address) => ({ address, family: 4 }));
  const lookup = (name: string, _options: LookupAllOptions, answer: Answer) =>
    answer(null, name === "localhost" ? both : [{ address: name, family: 4 }]);
  vi.spyOn(dns, "lookup").mockImplementation(lookup as typeof dns.lookup);
}

it("the HTTPS listener is one server, also where localhost has several addresses", async () => {
  const folder = testFolder();
  await ensureDevelopmentPki(folder, { algorithms: ["ecdsa-p256"] });
  giveLocalhostTwoAddresses();
  const { ports, close } = await startListeners(folder, [2], "localhost");
  onTestFinished(async () => {
    vi.restoreAllMocks();
    await close();
  });
  const second = connect(ports.https, "127.0.0.2");
  onTestFinished(() => void second.destroy());
  await expect(once(second, "connect")).rejects.toMatchObject({ code: "ECONNREFUSED" });
});
