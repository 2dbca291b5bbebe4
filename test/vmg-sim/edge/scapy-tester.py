"""A DoIP tester by Scapy. Arguments: TCP port, UDP port, tester address, target address, requests in hex.
Prints one JSON object: what the vehicle says of itself by UDP, and the answers."""

import json
import socket
import sys

from scapy.contrib.automotive.doip import DoIP
from scapy.contrib.automotive.uds import UDS
from scapy_tester import Tester

tcp_port, udp_port, tester, target = (int(argument, 0) for argument in sys.argv[1:5])


def by_udp(payload_type):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(30)
        udp.sendto(bytes(DoIP(payload_type=payload_type)), ("127.0.0.1", udp_port))
        return DoIP(udp.recv(1024))


announcement, status, power = by_udp(0x0001), by_udp(0x4001), by_udp(0x4003)
doip = Tester(ip="127.0.0.1", port=tcp_port, source_address=tester, target_address=target)


def ask(request):
    answer = doip.sr1(UDS(bytes.fromhex(request)), timeout=30, verbose=False)
    return answer and {"hex": bytes(answer).hex(), "summary": answer.summary()}


answers = [ask(request) for request in sys.argv[5:]]
print(
    json.dumps(
        {
            "vin": announcement.vin.decode(),
            "logical_address": announcement.logical_address,
            "further_action": announcement.further_action,
            "node_type": status.node_type,
            "max_open_sockets": status.max_open_sockets,
            "max_data_size": status.max_data_size,
            "power_mode": power.diagnostic_power_mode,
            "answers": answers,
        }
    )
)
