import { encodeFrame, ProtocolVersion, type DoipMessage } from "#protocol/doip/frame.ts";
import { captureHeader, capturedPacket } from "./pcapng.ts";
import { tcpStream, type Endpoint } from "./tcp-stream.ts";

/** The DoIP conversation of a tester and a vehicle as a pcapng file, in pieces to be joined. */
export interface DoipCapture {
  /** The beginning of the file. */
  begin(at: Date): Buffer;
  /** A message, with a comment for whoever reads the file. */
  message(from: "tester" | "vehicle", message: DoipMessage, at: Date, comment?: string): Buffer;
  end(at: Date): Buffer;
}

/** Where Wireshark expects DoIP. */
const DOIP_PORT = 13_400;

/** Addresses for documentation (RFC 5737): the connection is made up. */
const TESTER: Endpoint = { address: "192.0.2.1", port: 49_152 };
const VEHICLE: Endpoint = { address: "192.0.2.2", port: DOIP_PORT };

/** Writes messages as one TCP connection, whose bytes Wireshark reads as DoIP and UDS. */
export function doipCapture(tester: Endpoint = TESTER, vehicle: Endpoint = VEHICLE): DoipCapture {
  const stream = tcpStream(tester, vehicle);
  const captured = (packets: readonly Buffer[], at: Date, comment?: string) =>
    Buffer.concat(
      packets.map((packet, index) => capturedPacket(packet, at, index === 0 ? comment : undefined)),
    );
  return {
    begin: (at) => Buffer.concat([captureHeader(), captured(stream.open(), at)]),
    message(from, message, at, comment) {
      const bytes = Buffer.concat(encodeFrame(message, ProtocolVersion.iso2012));
      return captured(stream.send(from === "tester" ? "client" : "server", bytes), at, comment);
    },
    end: (at) => captured(stream.close(), at),
  };
}
