import type { Logger } from "pino";
import { Compile } from "typebox/compile";
import { RemoteConfigMessage, type RemoteConfig } from "#protocol/mqtt/remote-config.ts";
import { stateFile } from "./state-file.ts";

/** The gateway's remote configuration of this vehicle, kept over restarts. */
export interface RemoteConfiguration {
  readonly current: RemoteConfig;
  /** Takes a message as it came; one that is older than what is known changes nothing. */
  handle(payload: unknown): Promise<void>;
}

const message = Compile(RemoteConfigMessage);

/** @param onChange called with what holds from now on, after it is on disk */
export async function openRemoteConfig(
  file: string,
  log: Logger,
  onChange: (change: RemoteConfigMessage) => void,
): Promise<RemoteConfiguration> {
  const state = stateFile(file, RemoteConfigMessage);
  let known = await state.read();
  return {
    get current() {
      return known?.config ?? {};
    },
    async handle(payload) {
      if (!message.Check(payload)) {
        const [error] = message.Errors(payload);
        log.warn({ error }, "a remote configuration does not fit its schema");
        return;
      }
      if (known && payload.revision <= known.revision) return;
      await state.write(payload);
      known = payload;
      onChange(payload);
    },
  };
}
