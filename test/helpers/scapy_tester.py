"""Scapy's DoIP tester, for programs that are run with this folder as PYTHONPATH."""

import socket

from scapy.contrib.automotive.doip import DoIP, UDS_DoIPSocket


class Tester(UDS_DoIPSocket):
    """Takes one message at a time: Scapy up to 2.5 loses what comes in one segment with another."""

    def __init__(self, **options):
        self.heard = []
        super().__init__(**options)

    def recv(self, x=0):
        head = self.ins.recv(8, socket.MSG_PEEK | socket.MSG_WAITALL)
        if len(head) < 8:
            return None
        length = 8 + int.from_bytes(head[4:], "big")
        packet = DoIP(self.ins.recv(length, socket.MSG_WAITALL))
        self.heard.append(packet)
        return packet.payload if packet.payload_type == 0x8001 else packet
