"""What a tester and an entity said to each other as a pcap file, for Wireshark: the bytes and the
segments are those of the sockets, the IP, TCP and UDP headers around them are made up."""

import socket
import struct
import time

DOIP_PORT = 13400
UDP_PORT = 50000
RAW_IP = 101
SEGMENT = 32768
SYN, ACK, PUSH_ACK, FIN_ACK, SYN_ACK = 0x02, 0x10, 0x18, 0x11, 0x12
ADDRESS = {"tester": socket.inet_aton("192.0.2.1"), "entity": socket.inet_aton("192.0.2.2")}
OTHER = {"tester": "entity", "entity": "tester"}


class Capture:
    def __init__(self, path):
        self.file = open(path, "xb")
        self.file.write(struct.pack("!IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0x40000, RAW_IP))

    def datagram(self, sender, payload):
        ports = (UDP_PORT, DOIP_PORT) if sender == "tester" else (DOIP_PORT, UDP_PORT)
        header = struct.pack("!HHHH", *ports, 8 + len(payload), 0)
        self.packet(sender, socket.IPPROTO_UDP, header + payload)

    def stream(self, port):
        return Stream(self, port)

    def packet(self, sender, protocol, payload):
        now, length = time.time(), 20 + len(payload)
        ip = struct.pack("!BBHHHBBH", 0x45, 0, length, 0, 0x4000, 64, protocol, 0)
        ip += ADDRESS[sender] + ADDRESS[OTHER[sender]]
        self.file.write(struct.pack("!IIII", int(now), int(now % 1 * 1e6), length, length))
        self.file.write(ip + payload)

    def close(self):
        self.file.close()


class Stream:
    def __init__(self, capture, port):
        self.capture = capture
        self.port = {"tester": port, "entity": DOIP_PORT}
        self.next = {"tester": 1000, "entity": 2000}
        self._put("tester", SYN, acknowledges=False)
        self._put("entity", SYN_ACK)
        self._put("tester", ACK)

    def segment(self, sender, payload):
        for at in range(0, len(payload), SEGMENT):
            self._put(sender, PUSH_ACK, payload[at : at + SEGMENT])

    def end(self):
        self._put("tester", FIN_ACK)
        self._put("entity", FIN_ACK)
        self._put("tester", ACK)

    def _put(self, sender, flags, payload=b"", acknowledges=True):
        other = OTHER[sender]
        header = struct.pack(
            "!HHIIBBHHH",
            *(self.port[sender], self.port[other], self.next[sender]),
            *(self.next[other] if acknowledges else 0, 0x50, flags, 0xFFFF, 0, 0),
        )
        self.next[sender] += len(payload) + (1 if flags & 0x03 else 0)
        self.capture.packet(sender, socket.IPPROTO_TCP, header + payload)


class Nothing:
    """In the place of a capture."""

    def stream(self, port):
        return self

    def datagram(self, sender, payload):
        pass

    segment = datagram

    def end(self):
        pass

    close = end
