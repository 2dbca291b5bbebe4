"""A DoIP tester by the letter of ISO 13400-2, of the standard library alone: it shares nothing with
the entities that it is turned on, and takes nothing from them that the standard does not allow."""

import select
import socket
import ssl
import struct
import time

IDENTIFY, IDENTIFY_EID, IDENTIFY_VIN, ANNOUNCEMENT = 0x0001, 0x0002, 0x0003, 0x0004
ACTIVATE, ACTIVATED, ALIVE_CHECK, ALIVE = 0x0005, 0x0006, 0x0007, 0x0008
STATUS, STATUS_IS, POWER, POWER_IS = 0x4001, 0x4002, 0x4003, 0x4004
HEADER_NACK, DIAGNOSTIC, ACK, NACK = 0x0000, 0x8001, 0x8002, 0x8003

# What an entity may send, and the lengths that it may have (None: that and more).
BY_UDP = {
    HEADER_NACK: (1,),
    ANNOUNCEMENT: (32, 33),
    STATUS_IS: (3, 7),
    POWER_IS: (1,),
}
BY_TCP = {
    HEADER_NACK: (1,),
    ACTIVATED: (9, 13),
    ALIVE_CHECK: (0,),
    DIAGNOSTIC: (5, None),
    ACK: (5, None),
    NACK: (5, None),
}

# Seconds: A_DoIP_Ctrl, A_DoIP_Diagnostic_Message, A_DoIP_Announce_Wait with some for the way, and
# what a tester waits for an answer (P2) and, after a 78 or of a group, for the next one (P2*).
CONTROL, ACKNOWLEDGEMENT, ANNOUNCE_WAIT = 2, 2, 0.7
ANSWER, ANSWER_EXTENDED = 2, 7

SUPPRESS = 0x80
HAS_SUB_FUNCTION = {0x10, 0x11, 0x19, 0x27, 0x28, 0x29, 0x31, 0x3E, 0x85, 0x87}


class Deviation(Exception):
    """The other side does what the standard forbids, or not what it demands."""


def demand(condition, text):
    if not condition:
        raise Deviation(text)


def frame(payload_type, payload=b"", version=2):
    return struct.pack("!BBHI", version, version ^ 0xFF, payload_type, len(payload)) + payload


def header_of(head, version, allowed):
    """The payload type and length of a header, which is one of ours to receive."""
    its_version, inverse, payload_type, length = struct.unpack("!BBHI", head)
    demand(inverse == its_version ^ 0xFF, f"inverse version {inverse:02x} of {its_version:02x}")
    demand(its_version == version, f"version {its_version}, where {version} was spoken")
    demand(payload_type in allowed, f"payload type {payload_type:04x} of an entity by this transport")
    lengths = allowed[payload_type]
    fits = length >= lengths[0] if lengths[-1] is None else length in lengths
    demand(fits, f"{length} bytes of payload type {payload_type:04x}")
    return payload_type, length


def announcement_of(payload):
    vin, address, eid, gid, further = struct.unpack("!17sH6s6sB", payload[:32])
    demand(vin.isascii() and vin.decode().isprintable(), f"VIN {vin!r}")
    demand(0x0001 <= address <= 0x0DFF or 0x1000 <= address <= 0x7FFF, f"address {address:04x}")
    demand(further in (0x00, 0x10), f"further action {further:02x}")
    demand(payload[32:] in (b"", b"\x00", b"\x10"), f"sync status {payload[32:].hex()}")
    return {"vin": vin.decode(), "address": address, "eid": eid, "gid": gid, "further": further}


def status_of(payload):
    node, most, now = payload[:3]
    demand(node in (0x00, 0x01), f"node type {node:02x}")
    demand(most >= 1 and now <= most, f"{now} of {most} sockets open")
    return {"node": node, "most": most, "open": now, "max_data": int.from_bytes(payload[3:], "big")}


class Discovery:
    """The UDP side of a tester."""

    def __init__(self, host, port, version, record):
        self.entity, self.version, self.record = (host, port), version, record
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))

    def say(self, datagram):
        self.socket.sendto(datagram, self.entity)
        self.record.datagram("tester", datagram)

    def hear(self, seconds, version=None):
        """The next message, its payload; None for silence."""
        if not select.select([self.socket], [], [], seconds)[0]:
            return None
        datagram, sender = self.socket.recvfrom(65536)
        self.record.datagram("entity", datagram)
        demand(sender == self.entity, f"an answer from {sender}")
        demand(len(datagram) >= 8, f"a datagram of {len(datagram)} bytes")
        payload_type, length = header_of(datagram[:8], version or self.version, BY_UDP)
        demand(length == len(datagram) - 8, "a datagram that is not one message")
        return payload_type, datagram[8:]

    def ask(self, payload_type, payload=b"", spoken=None, version=None):
        self.say(frame(payload_type, payload, spoken or self.version))
        return self.hear(CONTROL, version)

    def expect(self, answer_type, payload_type, payload=b"", **versions):
        answer = self.ask(payload_type, payload, **versions)
        demand(answer is not None, f"silence after {payload_type:04x}")
        demand(answer[0] == answer_type, f"{answer[0]:04x} after {payload_type:04x}")
        return answer[1]

    def silent(self):
        answer = self.hear(ANNOUNCE_WAIT)
        demand(answer is None, f"{answer}, where nobody was meant")


class Tester:
    """A TCP connection in the name of one tester."""

    def __init__(self, host, port, source, version, record, entity=None, tls=None):
        self.source, self.version, self.entity = source, version, entity
        self.socket = socket.create_connection((host, port), CONTROL)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = record.stream(self.socket.getsockname()[1])
        if tls:
            self.socket = tls.wrap_socket(self.socket)
        self.buffer = b""
        self.alive_checks = 0
        self.answers_alive_checks = True

    def say(self, *frames):
        for each in frames:
            self.socket.sendall(each)
            self.stream.segment("tester", each)

    def send(self, payload_type, payload=b""):
        self.say(frame(payload_type, payload, self.version))

    def hear(self, seconds):
        """The next message; None when the entity has closed. Alive checks are answered at once."""
        until = time.monotonic() + seconds
        while True:
            message = self._next()
            if message is None:
                left = until - time.monotonic()
                demand(left > 0 and self._readable(left), "no answer in time")
                if not self._read():
                    return None
            elif message[0] == ALIVE_CHECK:
                self._alive_check(message)
            else:
                return message

    def closed(self, seconds=CONTROL):
        message = self.hear(seconds)
        demand(message is None, f"{message} in place of the end of the connection")

    def expect_alive_check(self):
        """Waits for an alive check, which is answered; nothing else may come."""
        while self.alive_checks == 0:
            message = self._next()
            if message is None:
                demand(self._read(), "the end of the connection in place of an alive check")
            else:
                self._alive_check(message)

    def activate(self, activation_type=0x00, oem=b""):
        """The response code of a routing activation."""
        self.send(ACTIVATE, struct.pack("!HBI", self.source, activation_type, 0) + oem)
        payload = self.expect(ACTIVATED, CONTROL)
        tester, entity, code, reserved = struct.unpack("!HHBI", payload[:9])
        demand(tester == self.source, f"routing is activated for {tester:04x}")
        demand(self.entity in (None, entity), f"entity {entity:04x} by TCP, {self.entity} by UDP")
        demand(reserved == 0, f"reserved {reserved:08x}")
        demand(code <= 0x07 or code in (0x10, 0x11) or code >= 0xE0, f"reserved code {code:02x}")
        return code

    def expect(self, payload_type, seconds):
        message = self.hear(seconds)
        demand(message is not None, f"the end of the connection in place of {payload_type:04x}")
        demand(message[0] == payload_type, f"{message[0]:04x} {message[1].hex()}, not {payload_type:04x}")
        return message[1]

    def put(self, target, request):
        """Sends a request and has it acknowledged."""
        self.send(DIAGNOSTIC, struct.pack("!HH", self.source, target) + request)
        self.acknowledged(target, request)

    def acknowledged(self, target, request):
        code = self.acknowledgement(ACK, target, request)
        demand(code == 0x00, f"acknowledgement code {code:02x}")

    def acknowledgement(self, payload_type, target, request):
        payload = self.expect(payload_type, ACKNOWLEDGEMENT)
        source, tester, code = struct.unpack("!HHB", payload[:5])
        demand(source == target, f"acknowledged by {source:04x}, sent to {target:04x}")
        demand(tester == self.source, f"an acknowledgement for {tester:04x}")
        demand(request.startswith(payload[5:]), f"acknowledges another message: {payload[5:].hex()}")
        return code

    def refused(self, target, request):
        """The code of a diagnostic NACK."""
        self.send(DIAGNOSTIC, struct.pack("!HH", self.source, target) + request)
        code = self.acknowledgement(NACK, target, request)
        demand(0x02 <= code <= 0x08, f"reserved NACK code {code:02x}")
        return code

    def message(self, seconds):
        payload = self.expect(DIAGNOSTIC, seconds)
        source, tester = struct.unpack("!HH", payload[:4])
        demand(tester == self.source, f"an answer for {tester:04x}")
        return source, payload[4:]

    def response(self, target, request):
        """The final response of one ECU, and how often it asked for more time."""
        pending = 0
        while True:
            ecu, response = self.message(ANSWER_EXTENDED if pending else ANSWER)
            demand(ecu == target, f"{ecu:04x} answers in the place of {target:04x}")
            answers(request, response)
            if response[:1] != b"\x7f" or response[2] != 0x78:
                return response, pending
            pending += 1

    def ask(self, target, request):
        self.put(target, request)
        return self.response(target, request)

    def close(self):
        self.socket.close()
        self.stream.end()

    def _alive_check(self, message):
        demand(message[0] == ALIVE_CHECK, f"{message} in place of an alive check")
        self.alive_checks += 1
        if self.answers_alive_checks:
            self.send(ALIVE, struct.pack("!H", self.source))

    def _next(self):
        if len(self.buffer) < 8:
            return None
        payload_type, length = header_of(self.buffer[:8], self.version, BY_TCP)
        if len(self.buffer) < 8 + length:
            return None
        payload, self.buffer = self.buffer[8 : 8 + length], self.buffer[8 + length :]
        return payload_type, payload

    def _readable(self, seconds):
        decrypted = isinstance(self.socket, ssl.SSLSocket) and self.socket.pending() > 0
        return decrypted or select.select([self.socket], [], [], seconds)[0]

    def _read(self):
        segment = self.socket.recv(65536)
        if segment:
            self.stream.segment("entity", segment)
        else:
            demand(self.buffer == b"", "the connection ends within a message")
        self.buffer += segment
        return segment != b""


def answers(request, response):
    """A response is one to this request (ISO 14229-1): its service, sub-function and length."""
    if response[:1] == b"\x7f":
        demand(len(response) == 3, f"negative response {response.hex()}")
        demand(response[1] == request[0], f"{response.hex()} is not for {request.hex()}")
        return
    demand(response[0] == request[0] + 0x40, f"{response.hex()} is no answer to {request.hex()}")
    if request[0] in HAS_SUB_FUNCTION:
        demand(len(response) > 1, "an answer without its sub-function")
        demand(response[1] == request[1] & ~SUPPRESS, f"{response.hex()} has another sub-function")
