import { expect, it } from "vitest";
import { jcs } from "#protocol/bytes/jcs.ts";

it("writes the example of RFC 8785 §3.2.2 as §3.2.3 has it", () => {
  const value = {
    // oxlint-disable-next-line no-loss-of-precision -- the example's own
    numbers: [333333333.33333329, 1e30, 4.5, 2e-3, 0.000000000000000000000000001],
    string: "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"/",
    literals: [null, true, false],
  };
  expect(jcs(value)).toBe(
    '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
      '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
  );
});

it("sorts members as §3.2.3 does: by UTF-16 code units, numbers among them", () => {
  const value = {
    "\u20ac": "Euro Sign",
    "\r": "Carriage Return",
    "\ufb33": "Hebrew Letter Dalet With Dagesh",
    "1": "One",
    "10": "Ten",
    "9": "Nine",
    "\ud83d\ude00": "Emoji: Grinning Face",
    "\u0080": "Control",
    "\u00f6": "Latin Small Letter O With Diaeresis",
  };
  const inOrder = [...jcs(value).matchAll(/:"([^" ]+)/g)].map(([, name]) => name);
  expect(inOrder).toEqual([
    "Carriage",
    "One",
    "Ten",
    "Nine",
    "Control",
    "Latin",
    "Euro",
    "Emoji:",
    "Hebrew",
  ]);
});
