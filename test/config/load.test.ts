import { writeFileSync } from "node:fs";
import { join } from "node:path";
import Type from "typebox";
import { describe, expect, it } from "vitest";
import { ConfigError, loadConfig } from "#config/load.ts";
import { testFolder } from "#test/helpers/folder.ts";

const schema = Type.Object(
  {
    name: Type.String({ minLength: 1, description: "a name" }),
    listener: Type.Object(
      {
        port: Type.Integer({ minimum: 0, maximum: 65_535, description: "0 to 65535" }),
        profiles: Type.Array(Type.Integer({ maximum: 12, description: "up to 12" }), {
          description: "a list of numbers",
        }),
      },
      { additionalProperties: false },
    ),
    limits: Type.Record(Type.String(), Type.Number(), { description: "signal: number" }),
    secret: Type.Optional(Type.String({ writeOnly: true })),
  },
  { additionalProperties: false },
);

const good = "name: gw\nlistener: { port: 1, profiles: [2] }\nlimits: { speed: 250 }\n";

function load(text: string, env: NodeJS.ProcessEnv = {}) {
  const file = join(testFolder(), "config.yaml");
  writeFileSync(file, text);
  return loadConfig({
    schema,
    file,
    prefix: "TEST",
    aliases: { PORT: "listener.port" },
    reserved: ["TEST_CONFIG"],
    env,
  });
}

function problems(text: string, env: NodeJS.ProcessEnv = {}): readonly string[] {
  try {
    load(text, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error("the configuration was accepted");
}

describe("a configuration file", () => {
  it("is read as it is, and frozen all the way down", () => {
    const config = load(good);
    expect(config).toEqual({
      name: "gw",
      listener: { port: 1, profiles: [2] },
      limits: { speed: 250 },
    });
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.isFrozen(config.listener)).toBe(true);
    expect(Object.isFrozen(config.listener.profiles)).toBe(true);
    expect(Object.isFrozen(config.limits)).toBe(true);
    expect(() => {
      config.listener.port = 2;
    }).toThrow(TypeError);
  });

  it("is refused with its name when it is absent", () => {
    const file = join(testFolder(), "absent.yaml");
    const read = () => loadConfig({ schema, file, prefix: "TEST", env: {} });
    expect(read).toThrow(ConfigError);
    expect(read).toThrow(/absent\.yaml:\n {2}can't be read: ENOENT/);
  });

  it("is refused when it is not YAML", () => {
    expect(problems("name: [1")).toEqual([expect.stringMatching(/^is not YAML: /) as string]);
  });

  it.each([
    ["", ["name", "listener", "limits"]],
    ["- a list\n", [""]],
    ["just text\n", [""]],
  ])("is refused when it is %o", (text, keys) => {
    const found = problems(text);
    for (const key of keys) expect(found.join("\n")).toContain(key);
  });

  it.each([
    [good.replace("port: 1", "port: 70000"), "listener.port: got 70000, must be <= 65535"],
    [good.replace("port: 1", "port: many"), 'listener.port: got "many", must be integer'],
    [good.replace("[2]", "[2, 13]"), "listener.profiles.1: got 13, must be <= 12"],
    [good.replace("[2]", "2"), "listener.profiles: got 2, must be array"],
    [good.replace("name: gw", 'name: ""'), 'name: got "", '],
  ])("names the key, what it got and what it accepts: %j", (text, start) => {
    const [problem, ...others] = problems(text);
    expect(others).toEqual([]);
    expect(problem).toContain(start);
    expect(problem).toMatch(/ \(accepts (?:0 to 65535|up to 12|a list of numbers|a name)\)$/);
  });

  it("names a key it does not know, and one that is missing", () => {
    expect(problems(good.replace("port: 1", "prot: 1"))).toEqual(
      expect.arrayContaining(["listener.port: is missing", "listener.prot: no such key"]),
    );
    expect(problems(`${good}extra: 1\nmore: 2\n`)).toEqual([
      "extra: no such key",
      "more: no such key",
    ]);
  });

  it("names everything that is wrong at once", () => {
    const text = "name: 7\nlistener: { port: -1, profiles: [2] }\nlimits: { speed: fast }\n";
    const found = problems(text);
    expect(found.map((problem) => problem.split(":")[0])).toEqual([
      "name",
      "listener.port",
      "limits.speed",
    ]);
  });
});

describe("the environment", () => {
  it("overrides a key by its path in capitals, read as YAML", () => {
    const config = load(good, {
      TEST_NAME: "other",
      TEST_LISTENER_PORT: "8443",
      TEST_LISTENER_PROFILES: "[0, 2]",
      TEST_LIMITS: "{ temp: 90 }",
    });
    expect(config).toEqual({
      name: "other",
      listener: { port: 8443, profiles: [0, 2] },
      limits: { temp: 90 },
    });
  });

  it("takes a secret to the letter", () => {
    for (const secret of ["1234", "a: b", "'quoted'", "# no comment"]) {
      expect(load(good, { TEST_SECRET: secret }).secret).toBe(secret);
    }
  });

  it("sets what the file leaves out", () => {
    const text = "name: gw\nlimits: {}\n";
    const env = { TEST_LISTENER_PORT: "1", TEST_LISTENER_PROFILES: "[2]" };
    expect(load(text, env).listener).toEqual({ port: 1, profiles: [2] });
  });

  it("counts an empty override as absent", () => {
    expect(load(good, { TEST_NAME: "", TEST_LISTENER_PORT: "" }).listener.port).toBe(1);
  });

  it("is validated like the file", () => {
    expect(problems(good, { TEST_LISTENER_PORT: "eight" })).toEqual([
      'listener.port: got "eight", must be integer (accepts 0 to 65535)',
    ]);
    expect(problems(good, { TEST_LISTENER_PROFILES: "[2" })).toEqual([
      'listener.profiles: got "[2", must be array (accepts a list of numbers)',
    ]);
  });

  it("may use another name for a key", () => {
    expect(load(good, { PORT: "9" }).listener.port).toBe(9);
  });

  it("is refused where it sets what does not exist, and left alone elsewhere", () => {
    expect(problems(good, { TEST_LISTENER_PROT: "1" })).toEqual([
      "TEST_LISTENER_PROT: no such setting; see the keys of the file",
    ]);
    expect(load(good, { TEST_CONFIG: "x", PATH: "/bin", TESTING: "1" }).name).toBe("gw");
  });
});
