import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { NegativeResponseError } from "#protocol/uds/response.ts";
import { manualClock, settle } from "#test/protocol/doip/manual-clock.ts";
import {
  checkHealth,
  confirmBank,
  flashEcu,
  restartIntoNewBank,
  revertBank,
} from "#vmg-sim/vmg/flash.ts";
import { flashPatiently } from "#vmg-sim/vmg/flash-retry.ts";
import { systemPace, type Pace } from "#vmg-sim/vmg/pace.ts";
import { tcpRelay } from "./tcp-relay.ts";
import {
  FIRST,
  flashOptions,
  SECOND,
  securityKey,
  vehicleRig,
  type VehicleRig,
} from "./vehicle-rig.ts";

const image = randomBytes(300_000);

let rig: VehicleRig;

beforeEach(async () => {
  rig = await vehicleRig();
});

afterEach(() => rig.dispose());

const flash = (target = FIRST, version = "2.0.0", bytes = image) =>
  flashEcu(rig.link, target, flashOptions(bytes, version));

describe("flashing over DoIP, from the VMG through the zone to the ECU", () => {
  test("installs, tries, checks and confirms an image", async () => {
    const progress: number[] = [];
    await flashEcu(rig.link, FIRST, {
      ...flashOptions(image, "2.0.0"),
      onProgress: (sent) => progress.push(sent),
    });
    expect(progress.at(-1)).toBe(image.length);
    expect(progress).toEqual(progress.toSorted((a, b) => a - b));
    expect(await rig.version(FIRST)).toBe("1.0.0");
    await restartIntoNewBank(rig.link, FIRST);
    expect(await rig.version(FIRST)).toBe("2.0.0");
    expect(await checkHealth(rig.link, FIRST)).toBe(true);
    await confirmBank(rig.link, FIRST, { securityKey });
    await restartIntoNewBank(rig.link, FIRST);
    expect(await rig.version(FIRST)).toBe("2.0.0");
    expect(rig.zone.ecus.map(({ software_version }) => software_version)).toEqual([
      "2.0.0",
      "1.0.0",
    ]);
  });

  test("writes down when it programmed the ECU", async () => {
    await flash();
    const today = Temporal.Now.plainDateISO("UTC").toString().replaceAll("-", "");
    expect(await rig.ask(FIRST, "22f199")).toBe(`62f199${today}`);
  });

  test("flashes two ECUs at once over the one connection", async () => {
    await Promise.all([flash(FIRST, "2.0.0"), flash(SECOND, "3.0.0", randomBytes(200_001))]);
    await Promise.all([FIRST, SECOND].map((ecu) => restartIntoNewBank(rig.link, ecu)));
    expect(await rig.version(FIRST)).toBe("2.0.0");
    expect(await rig.version(SECOND)).toBe("3.0.0");
  });

  test("takes 78s while the ECU erases", async () => {
    rig.behave(FIRST, { eraseMs: 300 });
    await flash();
    await restartIntoNewBank(rig.link, FIRST);
    expect(await rig.version(FIRST)).toBe("2.0.0");
  });

  test("finds the ECU again after it has booted for a while", async () => {
    await flash();
    rig.behave(FIRST, { bootMs: 300 });
    await restartIntoNewBank(rig.link, FIRST);
    expect(await rig.version(FIRST)).toBe("2.0.0");
  });

  test("goes back from an image that is not healthy", async () => {
    rig.behave(FIRST, { unhealthyAfterUpdate: true });
    await flash();
    await restartIntoNewBank(rig.link, FIRST);
    expect(await checkHealth(rig.link, FIRST)).toBe(false);
    const confirm = confirmBank(rig.link, FIRST, { securityKey });
    await expect(confirm).rejects.toMatchObject({ wireCode: 0x24 });
    await revertBank(rig.link, FIRST, { securityKey });
    await restartIntoNewBank(rig.link, FIRST);
    expect(await rig.version(FIRST)).toBe("1.0.0");
  });

  test("goes back after the confirmation", async () => {
    await flash();
    await restartIntoNewBank(rig.link, FIRST);
    await checkHealth(rig.link, FIRST);
    await confirmBank(rig.link, FIRST, { securityKey });
    await revertBank(rig.link, FIRST, { securityKey });
    await restartIntoNewBank(rig.link, FIRST);
    expect(await rig.version(FIRST)).toBe("1.0.0");
  });

  test("has nowhere to go back to in the factory", async () => {
    const revert = revertBank(rig.link, FIRST, { securityKey });
    await expect(revert).rejects.toMatchObject({ code: "UDS_NEGATIVE_RESPONSE", wireCode: 0x22 });
  });
});

describe("a flash that is interrupted", () => {
  test("goes on with the block whose answer was lost with the connection", async () => {
    const relay = await tcpRelay(rig.zone.port);
    const link = rig.connect({ port: relay.port, testerAddress: 0x0e81 });
    const progress: number[] = [];
    await flashEcu(link, FIRST, {
      ...flashOptions(image, "2.0.0"),
      onProgress(sent) {
        progress.push(sent);
        if (progress.length === 2 || progress.length === 4) relay.cut();
      },
    });
    // It never began again.
    expect(progress).toEqual(progress.toSorted((a, b) => a - b));
    await restartIntoNewBank(link, FIRST);
    expect(await rig.version(FIRST)).toBe("2.0.0");
    expect(relay.connections()).toBe(3);
  });

  test("begins again after the ECU has restarted", async () => {
    rig.behave(FIRST, { resetAtBlock: 2 });
    const pace: Pace = {
      ...systemPace,
      async wait() {
        rig.behave(FIRST, {});
      },
    };
    let tries = 0;
    const options = () => {
      tries += 1;
      return flashOptions(image, "2.0.0");
    };
    await flashPatiently(rig.link, FIRST, options, pace);
    expect(tries).toBe(2);
    await restartIntoNewBank(rig.link, FIRST);
    expect(await rig.version(FIRST)).toBe("2.0.0");
  });

  test("is given up after some tries, and at once for another reason", async () => {
    let tries = 0;
    const options = () => {
      tries += 1;
      return flashOptions(image, "2.0.0");
    };
    const pace: Pace = { ...systemPace, wait: async () => {} };
    rig.behave(FIRST, { resetAtBlock: 1 });
    const restarting = flashPatiently(rig.link, FIRST, options, pace);
    await expect(restarting).rejects.toMatchObject({ sid: 0x36 });
    expect(tries).toBe(3);
    rig.behave(FIRST, { failAtBlock: 1 });
    const failing = flashPatiently(rig.link, FIRST, options, pace);
    await expect(failing).rejects.toMatchObject({ wireCode: 0x72 });
    expect(tries).toBe(4);
  });
});

describe("a flash that fails leaves the old image running and can be repeated", () => {
  async function expectUnharmed(): Promise<void> {
    rig.behave(FIRST, {});
    expect(await rig.version(FIRST)).toBe("1.0.0");
    await restartIntoNewBank(rig.link, FIRST);
    expect(await rig.version(FIRST)).toBe("1.0.0");
    await flash(FIRST, "4.0.0");
    await restartIntoNewBank(rig.link, FIRST);
    expect(await rig.version(FIRST)).toBe("4.0.0");
  }

  test("at a block the ECU can't write", async () => {
    rig.behave(FIRST, { failAtBlock: 3 });
    await expect(flash()).rejects.toThrow(NegativeResponseError);
    await expect(flash()).rejects.toMatchObject({ sid: 0x36, wireCode: 0x72 });
    await expectUnharmed();
  });

  test("at a restart in the middle of the transfer", async () => {
    rig.behave(FIRST, { resetAtBlock: 2 });
    await expect(flash()).rejects.toMatchObject({ sid: 0x36, wireCode: 0x7f });
    await expectUnharmed();
  });

  test("at a wrong hash", async () => {
    const options = { ...flashOptions(image, "2.0.0"), sha256: new Uint8Array(32) };
    await expect(flashEcu(rig.link, FIRST, options)).rejects.toMatchObject({
      code: "FLASH_CHECK_FAILED",
      message: "check memory: status 1",
    });
    await expectUnharmed();
  });

  test("at a wrong key", async () => {
    const options = { ...flashOptions(image, "2.0.0"), securityKey: () => new Uint8Array(16) };
    await expect(flashEcu(rig.link, FIRST, options)).rejects.toMatchObject({ wireCode: 0x35 });
    await expectUnharmed();
  });

  test.each([
    ["shorter", image.length + 1, "300000 of the announced 300001 bytes"],
    ["longer", image.length - 1, "more than the announced 299999 bytes"],
  ])("at an image %s than announced", async (_, length, detail) => {
    const options = { ...flashOptions(image, "2.0.0"), length };
    await expect(flashEcu(rig.link, FIRST, options)).rejects.toMatchObject({
      code: "FLASH_IMAGE_LENGTH",
      message: expect.stringContaining(detail),
    });
    await expectUnharmed();
  });

  test("at an image that breaks off with an error of its own", async () => {
    async function* broken() {
      yield image.subarray(0, 100_000);
      await settle();
      throw new Error("the disk is gone");
    }
    const options = { ...flashOptions(image, "2.0.0"), image: broken() };
    await expect(flashEcu(rig.link, FIRST, options)).rejects.toThrow("the disk is gone");
    await expectUnharmed();
  });

  test("at an abort, closing the image", async () => {
    const controller = new AbortController();
    let closed = false;
    async function* endless() {
      try {
        for (;;) yield image.subarray(0, 70_000);
      } finally {
        closed = true;
      }
    }
    const options = {
      ...flashOptions(image, "2.0.0"),
      image: endless(),
      signal: controller.signal,
      onProgress: () => controller.abort(new Error("cancelled by the driver")),
    };
    await expect(flashEcu(rig.link, FIRST, options)).rejects.toThrow("cancelled by the driver");
    expect(closed).toBe(true);
    await expectUnharmed();
  });
});

test("keeps the session alive while the image is slow in coming", async () => {
  const clock = manualClock();
  let asked = 0;
  const counting = {
    ...rig.link,
    request(...args: Parameters<typeof rig.link.request>) {
      if (args[1][0] === 0x3e) asked += 1;
      return rig.link.request(...args);
    },
  };
  async function* slow() {
    yield image.subarray(0, 100);
    while (asked < 3) {
      clock.advance(2_000);
      await settle();
    }
    yield image.subarray(100);
  }
  await flashEcu(counting, FIRST, { ...flashOptions(image, "2.0.0"), image: slow(), clock });
  expect(asked).toBeGreaterThanOrEqual(3);
});

test.each([16, 1_000, 0xffff])("fits blocks of %i bytes", async (max_block_length) => {
  const other = await vehicleRig({ max_block_length });
  const bytes = randomBytes(5_000);
  for (const chunkLength of [1, 997, 5_000]) {
    await flashEcu(other.link, FIRST, flashOptions(bytes, `2.0.${chunkLength}`, chunkLength));
    await restartIntoNewBank(other.link, FIRST);
    expect(await other.version(FIRST)).toBe(`2.0.${chunkLength}`);
    await restartIntoNewBank(other.link, FIRST);
  }
  await other.dispose();
});
