import { InvalidArgumentError } from "commander";
import { Compile } from "typebox/compile";
import { EcuType, Version } from "#protocol/api/identifier.ts";

/** What a release needs of the ECUs of another type. */
export interface Requirement {
  ecu_type: string;
  min_version: string;
}

const ecuType = Compile(EcuType);
const version = Compile(Version);

/** `brake-controller>=2.0.0`; given again, one more. @throws InvalidArgumentError */
export function requirement(text: string, before: Requirement[] = []): Requirement[] {
  const [, ecu_type = "", min_version = ""] = /^(.+?)\s*>=\s*(.+)$/.exec(text.trim()) ?? [];
  if (!ecuType.Check(ecu_type) || !version.Check(min_version)) {
    throw new InvalidArgumentError(
      "It is a type of ECU and its least version: brake-controller>=2.0.0.",
    );
  }
  if (before.some((each) => each.ecu_type === ecu_type)) {
    throw new InvalidArgumentError(`${ecu_type} is required twice.`);
  }
  return [...before, { ecu_type, min_version }];
}
