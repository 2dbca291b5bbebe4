"""Holds a DoIP entity against ISO 13400-2. Arguments: "conversation" (what goes well) or "refusals"
(what has to be refused), then as JSON: host, tcp, udp, version, vin, tester (an address, with the
next two), ecus (two addresses; the second is slow), group, members (who answers to the group), capture (a file
to write, or null) and tls (null, or ca, certificate and key: files). Ends with 1 and the first
deviation."""

import json
import ssl
import struct
import sys

from doip_capture import Capture, Nothing
from doip_client import (
    ACK, ACTIVATE, ACTIVATED, ANNOUNCEMENT, ANSWER, ANSWER_EXTENDED, CONTROL, DIAGNOSTIC,
    HEADER_NACK, IDENTIFY, IDENTIFY_EID, IDENTIFY_VIN, POWER, POWER_IS, STATUS, STATUS_IS,
    Deviation, Discovery, Tester, announcement_of, answers, demand, frame, status_of,
)  # fmt: skip


class Entity:
    """The one that is examined."""

    def __init__(self, given):
        self.given = given
        self.record = Capture(given["capture"]) if given["capture"] else Nothing()
        self.version, self.address = given["version"], None
        self.tls = given["tls"] and tls_context(**given["tls"])

    def discovery(self):
        return Discovery(self.given["host"], self.given["udp"], self.version, self.record)

    def connect(self, source=None):
        host, port, first = (self.given[key] for key in ("host", "tcp", "tester"))
        source = first if source is None else source
        return Tester(host, port, source, self.version, self.record, self.address, self.tls)

    def tester(self, source=None):
        tester = self.connect(source)
        code = tester.activate()
        demand(code == 0x10, f"routing activation {code:02x}")
        return tester


def tls_context(ca, certificate, key):
    """As docs/simulated-vehicle.md has it."""
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = False
    context.load_cert_chain(certificate, key)
    return context


# What goes well


def identification(entity):
    udp = entity.discovery()
    seen = announcement_of(udp.expect(ANNOUNCEMENT, IDENTIFY))
    demand(seen["vin"].rstrip(" ") == entity.given["vin"], f"VIN {seen['vin']}")
    again = [
        udp.expect(ANNOUNCEMENT, IDENTIFY_EID, seen["eid"]),
        udp.expect(ANNOUNCEMENT, IDENTIFY_VIN, seen["vin"].encode()),
        # For testers that do not know the version yet, who are answered in the entity's own.
        udp.expect(ANNOUNCEMENT, IDENTIFY, spoken=0xFF, version=2),
    ]
    demand(all(announcement_of(each) == seen for each in again), "identifications differ")
    udp.say(frame(IDENTIFY_EID, bytes(6), entity.version))
    udp.say(frame(IDENTIFY_VIN, b"X" * 17, entity.version))
    udp.silent()
    entity.address = seen["address"]


def state(entity):
    udp = entity.discovery()
    demand(udp.expect(POWER_IS, POWER) == b"\x01", "the vehicle is not ready")
    idle = status_of(udp.expect(STATUS_IS, STATUS))
    demand(idle["open"] == 0, f"{idle['open']} sockets are open of nobody")
    tester = entity.tester()
    demand(status_of(udp.expect(STATUS_IS, STATUS))["open"] == 1, "a socket is not counted")
    tester.close()


def activation(entity):
    for oem in (b"", b"\x01\x02\x03\x04"):
        tester = entity.connect()
        demand(tester.activate(oem=oem) == 0x10, "no activation")
        demand(tester.activate(oem=oem) == 0x10, "no second activation of the same")
        tester.close()


def diagnosis(entity):
    ecu, slow = entity.given["ecus"]
    vin = entity.given["vin"].encode().ljust(17)
    tester = entity.tester()
    response, _ = tester.ask(ecu, bytes.fromhex("22f190"))
    demand(response == bytes.fromhex("62f190") + vin, response.hex())
    demand(tester.ask(ecu, bytes.fromhex("220000"))[0].hex() == "7f2231", "no NRC 31")
    demand(tester.ask(ecu, bytes.fromhex("ba01"))[0].hex() == "7fba11", "no NRC 11")
    response, pending = tester.ask(slow, bytes.fromhex("22f190"))
    demand(response == bytes.fromhex("62f190") + vin, response.hex())
    demand(pending > 0, "an ECU that takes its time does not say so by 78")
    # Silence is all that there is to a suppressed answer: the next one is to the next request.
    tester.put(ecu, bytes.fromhex("3e80"))
    demand(tester.ask(ecu, bytes.fromhex("3e00"))[0].hex() == "7e00", "no tester present")
    demand(tester.refused(0x7FFF, b"\x3e\x00") == 0x03, "a target that nobody knows")
    demand(tester.ask(ecu, b"\x3e\x00")[0].hex() == "7e00", "a NACK ends the connection")
    tester.close()


def functional(entity):
    group, members = entity.given["group"], entity.given["members"]
    request = bytes.fromhex("22f190")
    tester = entity.tester()
    tester.put(group, request)
    waiting = set(members)
    while waiting:
        ecu, response = tester.message(ANSWER_EXTENDED)
        answers(request, response)
        if response[:1] == b"\x7f" and response[2] == 0x78:
            continue
        demand(ecu in waiting, f"{ecu:04x} was not asked, or has answered before")
        demand(response[0] == 0x62, f"{response.hex()} of {ecu:04x}")
        waiting.remove(ecu)
    # What nobody has: each keeps still (NRC 31 to a group), unless it has asked for more time.
    tester.put(group, bytes.fromhex("220000"))
    tester.put(group, bytes.fromhex("3e80"))
    asked_for_time = set()
    tester.put(members[0], b"\x3e\x00")
    while (said := tester.message(ANSWER_EXTENDED)) != (members[0], b"\x7e\x00"):
        ecu, response = said
        if response[:1] == b"\x7f" and response[2] == 0x78:
            asked_for_time.add(ecu)
        else:
            demand(ecu in asked_for_time, f"{response.hex()} of {ecu:04x} to a group")
    tester.close()


def stream_of_bytes(entity):
    """TCP has no messages: they come in pieces and several at once."""
    ecu, _ = entity.given["ecus"]
    source = entity.given["tester"]
    request = frame(DIAGNOSTIC, struct.pack("!HH", source, ecu) + b"\x3e\x00", entity.version)
    tester = entity.tester()
    tester.say(*(request[at : at + 1] for at in range(len(request))))
    tester.acknowledged(ecu, b"\x3e\x00")
    demand(tester.response(ecu, b"\x3e\x00")[0].hex() == "7e00", "not in pieces")
    tester.say(request + request)
    kinds = [tester.hear(ANSWER)[0] for _ in range(4)]
    demand(sorted(kinds) == sorted([ACK, DIAGNOSTIC] * 2), f"{kinds} to two requests at once")
    demand(kinds[0] == ACK, "an answer before its acknowledgement")
    tester.close()


def alive(entity):
    """One who answers keeps the socket, one who does not loses it to the next."""
    first = entity.tester()
    second = entity.connect()
    second.send(ACTIVATE, struct.pack("!HBI", second.source, 0, 0))
    first.expect_alive_check()
    code = second.expect(ACTIVATED, CONTROL)[4]
    demand(code == 0x03, f"the address is in use, and yet {code:02x}")
    second.closed()
    second.close()
    demand(first.ask(entity.given["ecus"][0], b"\x3e\x00")[0].hex() == "7e00", "the first is lost")
    first.answers_alive_checks = False
    third = entity.connect()
    demand(third.activate() == 0x10, "a silent tester keeps its address")
    first.closed()
    first.close()
    third.close()


# What has to be refused


def activations_refused(entity):
    stranger = entity.connect(0x0F42)
    demand(stranger.activate() == 0x00, "a tester from inside comes from outside")
    stranger.closed()
    odd = entity.connect()
    demand(odd.activate(activation_type=0x55) == 0x06, "an activation type that is reserved")
    odd.closed()
    both = entity.tester()
    both.source += 1
    demand(both.activate() == 0x02, "two addresses on one socket")
    both.closed()


def sources_refused(entity):
    """NACK 02 ends the connection."""
    early = entity.connect()
    demand(early.refused(entity.given["ecus"][0], b"\x3e\x00") == 0x02, "before activation")
    early.closed()
    wrong = entity.tester()
    wrong.source += 1
    demand(wrong.refused(entity.given["ecus"][0], b"\x3e\x00") == 0x02, "another's address")
    wrong.closed()


def all_sockets_taken(entity):
    most = status_of(entity.discovery().expect(STATUS_IS, STATUS))["most"]
    first = entity.given["tester"]
    testers = [entity.tester(first + each) for each in range(most)]
    another = entity.connect(first + most)
    another.send(ACTIVATE, struct.pack("!HBI", another.source, 0, 0))
    for tester in testers:
        tester.expect_alive_check()
    code = another.expect(ACTIVATED, CONTROL)[4]
    demand(code == 0x01, f"{most} sockets are taken, and yet {code:02x}")
    another.closed()
    for tester in testers:
        tester.close()


def idle(entity):
    """T_TCP_Initial_Inactivity: 2 s to activate routing."""
    entity.connect().closed(3)


def headers_refused(entity):
    version = entity.version
    for bad, code, ends, what in (
        (b"\x02\xfe" + frame(DIAGNOSTIC, bytes(6))[2:], 0x00, True, "the inverse is wrong"),
        (frame(DIAGNOSTIC, bytes(6), 0x55), 0x00, True, "a version that nobody has"),
        (frame(0x1234, bytes(6), version), 0x01, False, "a payload type that nobody has"),
        (frame(IDENTIFY, b"", version), 0x01, False, "a payload type of UDP"),
        (frame(DIAGNOSTIC, bytes(0x100000), version), 0x02, False, "a message of a MiB"),
        (frame(ACTIVATE, bytes(8), version), 0x04, True, "an activation of 8 bytes"),
        (frame(DIAGNOSTIC, bytes(4), version), 0x04, True, "a message without a request"),
    ):
        tester = entity.tester()
        tester.say(bad)
        payload = tester.expect(HEADER_NACK, CONTROL)
        demand(payload[0] == code, f"{what}: NACK {payload.hex()}")
        if ends:
            tester.closed()
        else:
            demand(tester.activate() == 0x10, f"{what}: the connection is lost")
        tester.close()


def datagrams_refused(entity):
    udp, version = entity.discovery(), entity.version
    for bad, code, what in (
        (b"\x02\xfe" + frame(IDENTIFY)[2:], 0x00, "the inverse is wrong"),
        (frame(0x1234, b"", version), 0x01, "a payload type that nobody has"),
        (frame(DIAGNOSTIC, bytes(6), version), 0x01, "a payload type of TCP"),
        (frame(IDENTIFY_EID, bytes(5), version), 0x04, "an EID of 5 bytes"),
    ):
        udp.say(bad)
        # In what cannot be read there is no version to answer in.
        answer = udp.hear(CONTROL, 2 if code == 0x00 else version)
        demand(answer == (HEADER_NACK, bytes([code])), f"{what}: {answer}")
    udp.say(frame(HEADER_NACK, b"\x00", version))
    udp.silent()


EXAMINATIONS = {
    "conversation": (
        *(identification, state, activation, diagnosis),
        *(functional, stream_of_bytes, alive),
    ),
    "refusals": (
        *(activations_refused, sources_refused, all_sockets_taken),
        *(headers_refused, datagrams_refused, idle),
    ),
}


def main():
    entity = Entity(json.loads(sys.argv[2]))
    for examination in EXAMINATIONS[sys.argv[1]]:
        try:
            examination(entity)
        except Deviation as deviation:
            sys.exit(f"{examination.__name__}: {deviation}")
    entity.record.close()


main()
