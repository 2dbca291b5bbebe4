import { createSocket, type RemoteInfo } from "node:dgram";
import type { Clock } from "./clock.ts";
import {
  announcement,
  answerDatagram,
  type EntityIdentity,
  type EntityStatus,
} from "./discovery.ts";
import type { DoipListener } from "./listener.ts";
import { encodeFrame, ProtocolVersion, type DoipMessage } from "./frame.ts";

/** A_DoIP_Announce_Wait: at most so long before an identification is answered or announced. */
const ANNOUNCE_WAIT_MS = 500;
const ANNOUNCE_INTERVAL_MS = 500;
const ANNOUNCE_TIMES = 3;

/** Answers that wait for their time; a flood of requests gets no more than these. */
const MAX_WAITING = 64;

export interface DiscoveryOptions {
  host: string;
  /** 13400 in the standard; 0 for any free one. */
  port: number;
  identity: EntityIdentity;
  status(): EntityStatus;
  clock: Clock;
  /** Where the entity announces itself after its start. */
  announceTo?: { address: string; port: number } | undefined;
  /** A number from 0 to 1. */
  random?: () => number;
}

/** A gateway that can be found by UDP and reached by TCP. */
export interface DiscoverableGateway {
  readonly port: number;
  readonly udpPort: number;
  readonly tlsPort: number | undefined;
  close(): Promise<void>;
}

const NODE_TYPE_GATEWAY = 0x00;
const POWER_MODE_READY = 0x01;

/**
 * Makes a listening gateway discoverable on the UDP port of the same number.
 * @throws the bind error of `node:dgram`; the listener is closed then
 */
export async function discoverable(
  listener: DoipListener,
  {
    maxSockets,
    maxDataSize,
    ...options
  }: Omit<DiscoveryOptions, "status"> & Pick<EntityStatus, "maxSockets" | "maxDataSize">,
): Promise<DiscoverableGateway> {
  const status = () => ({
    nodeType: NODE_TYPE_GATEWAY,
    maxSockets,
    openSockets: listener.activeSockets,
    maxDataSize,
    powerMode: POWER_MODE_READY,
  });
  try {
    const port = options.port === 0 ? 0 : listener.port;
    const discovery = await listenDiscovery({ ...options, port, status });
    return {
      port: listener.port,
      udpPort: discovery.port,
      tlsPort: listener.tlsPort,
      async close() {
        await discovery.close();
        await listener.close();
      },
    };
  } catch (error) {
    await listener.close();
    throw error;
  }
}

export interface Discovery {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * The UDP side of a DoIP entity: says three times that it is there, and answers who asks.
 * @throws the bind error of `node:dgram`
 */
export async function listenDiscovery(options: DiscoveryOptions): Promise<Discovery> {
  const { clock, identity, random = Math.random } = options;
  const socket = createSocket({ type: "udp4", reuseAddr: false });
  const waiting = new Set<() => void>();

  function later(ms: number, run: () => void): void {
    const cancel = clock.after(ms, () => {
      waiting.delete(cancel);
      run();
    });
    waiting.add(cancel);
  }

  function send(message: DoipMessage, version: number, to: { address: string; port: number }) {
    // A tester that is gone, or a network that is down, is nobody's fault here.
    socket.send(Buffer.concat(encodeFrame(message, version)), to.port, to.address, () => {});
  }

  function receive(datagram: Buffer, from: RemoteInfo): void {
    // Of nobody who wants an answer (RFC 768), and the system sends none there.
    if (from.port === 0) return;
    const answer = answerDatagram(identity, options.status(), datagram);
    if (answer === undefined) return;
    const { message, version } = answer;
    if (!answer.delayed) return send(message, version, from);
    if (waiting.size >= MAX_WAITING) return;
    later(random() * ANNOUNCE_WAIT_MS, () => send(message, version, from));
  }

  function announce(to: { address: string; port: number }, times: number): void {
    send(announcement(identity), ProtocolVersion.iso2012, to);
    if (times > 1) later(ANNOUNCE_INTERVAL_MS, () => announce(to, times - 1));
  }

  socket.on("message", receive);
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.bind({ address: options.host, port: options.port, exclusive: true }, () => {
      socket.off("error", reject);
      resolve();
    });
  });
  // After the bind an error says that an earlier datagram found nobody.
  socket.on("error", () => {});
  const { announceTo } = options;
  if (announceTo !== undefined) {
    socket.setBroadcast(true);
    later(random() * ANNOUNCE_WAIT_MS, () => announce(announceTo, ANNOUNCE_TIMES));
  }
  return {
    port: socket.address().port,
    async close() {
      for (const cancel of waiting) cancel();
      waiting.clear();
      await new Promise<void>((resolve) => socket.close(() => resolve()));
    },
  };
}
