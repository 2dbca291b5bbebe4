import { describe, expect, it } from "vitest";
import {
  createPasswords,
  isOutdated,
  judgePassword,
  randomPassword,
} from "#server/operators/password.ts";

const passwords = createPasswords();

describe("a password", () => {
  // Of the reference implementation's own tests.
  const golden =
    "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

  it("is right under the hash that argon2's authors give for it, and no other is", async () => {
    expect(await passwords.verify("password", golden)).toBe(true);
    expect(await passwords.verify("Password", golden)).toBe(false);
    expect(isOutdated(golden)).toBe(true);
  });

  it("is hashed with fresh salt, and with its parameters beside it", async () => {
    const [one, two] = await Promise.all([passwords.hash("a b c"), passwords.hash("a b c")]);
    expect(one).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[\w+/]{22}\$[\w+/]{43}$/);
    expect(two).not.toBe(one);
    expect(isOutdated(one)).toBe(false);
    expect(await passwords.verify("a b c", one)).toBe(true);
    // As another keyboard composes it, and with another blank.
    const typed = await passwords.hash("stra\u00DFe caf\u00E9 x");
    expect(await passwords.verify("stra\u00DFe cafe\u0301\u00A0x", typed)).toBe(true);
  });

  it.each(["", "x", "x".repeat(10_000), "\u{1F511}".repeat(300)])(
    "is never right where there is no hash (%#)",
    async (password) => {
      expect(await passwords.verify(password, null)).toBe(false);
    },
  );

  it("is turned away when too many wait, and not when they are done", async () => {
    const few = createPasswords({ atOnce: 1, maxWaiting: 1 });
    const first = few.verify("a", null);
    const second = few.verify("b", null);
    await expect(few.verify("c", null)).rejects.toMatchObject({ code: "LOGIN_BUSY" });
    expect(await Promise.all([first, second])).toEqual([false, false]);
    expect(await few.verify("d", null)).toBe(false);
  });
});

describe("a password that is chosen", () => {
  const judged = (password: string) => () => judgePassword(password, { min: 15, name: "alice" });

  it.each([
    ["", "it has 0 characters"],
    ["x", "it has 1 characters"],
    ["fourteen chars", "it has 14 characters"],
    // 8 characters of two UTF-16 units each.
    ["\u{1F511}".repeat(8), "it has 8 characters"],
    ["x".repeat(10_000), "it has more than 256 characters"],
    ["aaaaaaaaaaaaaaaa", "it repeats itself"],
    ["passwordpassword", "it repeats itself"],
    ["12341234123412", "it has 14"],
    ["123412341234123", "it repeats itself"],
    ["Alice 1234567890", "it is the operator's name"],
  ])("is refused (%#)", (password, reason) => {
    expect(judged(password)).toThrow(reason);
  });

  it.each([
    "correct horse battery",
    "nur kleine buchstaben",
    "\u043F\u0430\u0440\u043E\u043B\u044C \u0438\u0437 \u0442\u0440\u0451\u0445 \u0441\u043B\u043E\u0432",
    randomPassword(),
  ])("as %j is taken: there are no rules about kinds of characters", (password) => {
    expect(judged(password)).not.toThrow();
  });
});
