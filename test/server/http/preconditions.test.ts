import { describe, expect, it } from "vitest";
import { evaluatePreconditions } from "#server/http/preconditions.ts";

const etag = '"abc"';

describe("evaluatePreconditions (RFC 9110 §13)", () => {
  it.each(['"abc"', "*", ' "x", "abc"', '"x","y,z" , "abc"', '"",  "abc"'])(
    "If-Match: %s names the file",
    (ifMatch) => {
      expect(evaluatePreconditions(etag, { ifMatch, ifNoneMatch: undefined })).toBe("send");
    },
  );

  it.each(['"x"', 'W/"abc"', "abc", "", '"ABC"', '"abc', "W/*"])(
    "If-Match: %s does not",
    (ifMatch) => {
      expect(() => evaluatePreconditions(etag, { ifMatch, ifNoneMatch: undefined })).toThrow(
        expect.objectContaining({ code: "PRECONDITION_FAILED" }),
      );
    },
  );

  it.each(['"abc"', 'W/"abc"', "*", '"x", W/"abc"'])(
    "If-None-Match: %s means that the client has it",
    (ifNoneMatch) => {
      expect(evaluatePreconditions(etag, { ifMatch: undefined, ifNoneMatch })).toBe("not modified");
    },
  );

  it.each(['"x"', "abc", "", '"x", "y"'])("If-None-Match: %s does not", (ifNoneMatch) => {
    expect(evaluatePreconditions(etag, { ifMatch: undefined, ifNoneMatch })).toBe("send");
  });

  it("looks at If-Match first (§13.2.2)", () => {
    expect(evaluatePreconditions(etag, { ifMatch: "*", ifNoneMatch: "*" })).toBe("not modified");
    expect(() => evaluatePreconditions(etag, { ifMatch: '"x"', ifNoneMatch: "*" })).toThrow(
      expect.objectContaining({ code: "PRECONDITION_FAILED" }),
    );
  });
});
