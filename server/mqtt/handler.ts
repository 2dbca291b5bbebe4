import type { KeyObject } from "node:crypto";
import type { Static, TSchema } from "typebox";
import { Compile } from "typebox/compile";
import type { VehicleTopic } from "#protocol/mqtt/topic.ts";

/** The public key of the sender's certificate; undefined when its connection is gone. */
export type CertificateKey = () => KeyObject | undefined;

/** What a slice does with one topic of a vehicle; the PUBACK follows when `handle` resolves. */
export interface TopicHandler {
  topic: VehicleTopic;
  /** Undefined when the payload fits; otherwise why not. */
  refusal(payload: unknown): string | undefined;
  /** Of several kinds of payload on one topic, which are for the gateway; by default all. */
  concerns?: ((payload: unknown) => boolean) | undefined;
  /** Handle a vehicle's messages one after the other, where their order matters. */
  ordered: boolean;
  handle(vin: string, payload: unknown, certificateKey: CertificateKey): Promise<void>;
}

/**
 * A handler for payloads of one schema. What `handle` throws closes the vehicle's connection
 * without a PUBACK, so that the vehicle sends again: throw only when nothing could be stored.
 */
export function topicHandler<Schema extends TSchema>(handler: {
  topic: VehicleTopic;
  schema: Schema;
  concerns?: (payload: unknown) => boolean;
  ordered?: boolean;
  handle: (vin: string, payload: Static<Schema>, certificateKey: CertificateKey) => Promise<void>;
}): TopicHandler {
  const validator = Compile(handler.schema);
  return {
    topic: handler.topic,
    concerns: handler.concerns,
    ordered: handler.ordered ?? false,
    refusal(payload) {
      if (validator.Check(payload)) return undefined;
      const [first] = validator.Errors(payload);
      return first
        ? `${first.instancePath || "payload"} ${first.message}`
        : "does not fit its schema";
    },
    handle: (vin, payload, certificateKey) =>
      handler.handle(vin, payload as Static<Schema>, certificateKey),
  };
}
