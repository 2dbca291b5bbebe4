"""A visit of Scapy's DoIP tester. Arguments: TCP port, UDP port, the tester's address, the ECU's, a
group's, how many answer to the group, and the secret of security level 3 in hex.
Prints one JSON object of what came back."""

import hashlib
import hmac
import json
import socket
import sys

from scapy.contrib.automotive.doip import DoIP
from scapy.contrib.automotive.uds import (
    UDS, UDS_DSC, UDS_RC, UDS_RDBI, UDS_RDTCI, UDS_SA, UDS_TP, UDS_WDBI,
)  # fmt: skip
from scapy.supersocket import StreamSocket
from scapy_tester import Tester

tcp_port, udp_port, tester, ecu, group, members = (int(each, 0) for each in sys.argv[1:7])
secret = bytes.fromhex(sys.argv[7])


def by_udp(payload_type, **fields):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect(("127.0.0.1", udp_port))
        request = DoIP(payload_type=payload_type, **fields)
        return StreamSocket(udp, DoIP).sr1(request, timeout=10, verbose=False)


def hexed(packet):
    return packet and bytes(packet).hex()


found = by_udp(0x0001)
identified = [by_udp(0x0002, eid=found.eid), by_udp(0x0003, vin=found.vin)]
status, power = by_udp(0x4001), by_udp(0x4003)

doip = Tester(ip="127.0.0.1", port=tcp_port, source_address=tester, target_address=ecu)
activation = doip.heard[0]


def ask(request):
    return doip.sr1(request, timeout=10, verbose=False)


answers = {
    "vin": ask(UDS() / UDS_RDBI(identifiers=[0xF190])),
    "several": ask(UDS() / UDS_RDBI(identifiers=[0xF190, 0xF186, 0xF195])),
    "dtcs": ask(UDS() / UDS_RDTCI(reportType=2, DTCStatusMask=0xFF)),
    "unknown": ask(UDS() / UDS_RDBI(identifiers=[0x0000])),
    "extended": ask(UDS() / UDS_DSC(diagnosticSessionType=3)),
    "locked": ask(UDS() / UDS_WDBI(dataIdentifier=0x0204) / b"\x1f"),
}
seed = ask(UDS() / UDS_SA(securityAccessType=3))
key = hmac.new(secret, b"\x03" + seed.securitySeed, hashlib.sha256).digest()[:16]
answers |= {
    "key": ask(UDS() / UDS_SA(securityAccessType=4, securityKey=key)),
    "written": ask(UDS() / UDS_WDBI(dataIdentifier=0x0204) / b"\x1f"),
    "read": ask(UDS() / UDS_RDBI(identifiers=[0x0204])),
    "routine": ask(UDS() / UDS_RC(routineControlType=1, routineIdentifier=0x0302)),
    "present": ask(UDS() / UDS_TP(subFunction=0)),
}
before = len(doip.heard)
doip.send(UDS() / UDS_TP(subFunction=0x80))
answers["default"] = ask(UDS() / UDS_DSC(diagnosticSessionType=1))
after = [hexed(each.payload) for each in doip.heard[before:] if each.payload_type == 0x8001]
silent = [each for each in after if each != "7f1078"]

doip.target_address = group
before = len(doip.heard)
doip.send(UDS() / UDS_RDBI(identifiers=[0xF190]))


def of_group():
    return [each for each in doip.heard[before:] if each.payload_type == 0x8001]


doip.sniff(timeout=10, stop_filter=lambda _: len(of_group()) >= members)
acknowledgements = [each for each in doip.heard if each.payload_type == 0x8002]

print(
    json.dumps(
        {
            "found": {
                "vin": found.vin.decode(),
                "logical_address": found.logical_address,
                "again": [bytes(each) == bytes(found) for each in identified],
                "node_type": status.node_type,
                "power_mode": power.diagnostic_power_mode,
            },
            "activation": activation.routing_activation_response,
            "seed": len(seed.securitySeed),
            "answers": {name: hexed(packet) for name, packet in answers.items()},
            "understood": {name: packet.summary() for name, packet in answers.items()},
            "after_suppressed": silent,
            "group": {f"{each.source_address:04x}": hexed(each.payload) for each in of_group()},
            "acknowledgements": len(acknowledgements),
            "acknowledged_by": sorted({f"{each.source_address:04x}" for each in acknowledgements}),
        }
    )
)
