import { Nrc } from "#protocol/uds/nrc.ts";
import { Sid } from "#protocol/uds/service.ts";
import {
  negative,
  nonDefaultSessions,
  positive,
  type EcuService,
  type SubFunctionRule,
} from "./runtime.ts";

const Setting = { on: 0x01, off: 0x02 } as const;

const settings = new Map<number, SubFunctionRule>([
  [Setting.on, {}],
  [Setting.off, {}],
]);

/** 85: whether the results of tests are noted; the default session switches it on again. */
export const dtcSetting: EcuService = {
  sid: Sid.controlDtcSetting,
  sessions: nonDefaultSessions,
  minLength: 2,
  subFunctions: () => settings,
  handle(ecu, request) {
    if (request.length !== 2) return negative(Nrc.incorrectMessageLength);
    const setting = (request[1] ?? 0) & 0x7f;
    ecu.now.dtcSetting = setting === Setting.on;
    return positive(setting);
  },
};
