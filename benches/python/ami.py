# SPDX-License-Identifier: GPL-2.0-or-later
"""What ./bench ami is compared with in Python: a client's own way from bytes to messages.

    ami.py CLIENT FILE PIECE_BYTES

For each line on standard input the client takes the whole file, a piece at a time, and one line comes out: the
nanoseconds that it took, and the number of events. Two headers of each event are looked up, as in the bench.
"""

import asyncio
import sys
import time

LINE_END = b"\r\n"


class Panoramisk:
    """panoramisk is an asyncio protocol: it is given what was received."""

    def __init__(self, stream, piece_bytes):
        self.pieces = pieces(stream, piece_bytes)

    def run(self):
        from panoramisk.ami_protocol import AMIProtocol

        self.events = 0
        protocol = AMIProtocol()
        protocol.connection_made(None)
        protocol.factory = self
        protocol.encoding = "utf8"
        for piece in self.pieces:
            protocol.data_received(piece)
        return self.events

    def dispatch(self, message):
        self.events += 1
        message.get("Event")
        message.get("Uniqueid")


class Pyfreepbx:
    """pyfreepbx reads from a socket by itself, no more at once than it asks for, one message when it is asked."""

    def __init__(self, stream, piece_bytes):
        self.stream = after_greeting(stream)
        self.piece_bytes = piece_bytes

    def run(self):
        from pyfreepbx.clients.ami import AMIClient
        from pyfreepbx.exceptions import AMIConnectionError

        events = self.at = 0
        client = AMIClient.__new__(AMIClient)
        client._sock, client._buffer = self, ""
        try:
            while True:
                fields = client._read_response()
                events += fields.get("Event") is not None
                fields.get("Uniqueid")
        except AMIConnectionError:
            return events

    def recv(self, most):
        piece = self.stream[self.at:self.at + min(most, self.piece_bytes)]
        self.at += len(piece)
        return piece


class Basicami:
    """basicami reads from a stream by itself, no more at once than it asks for, and fills a queue."""

    def __init__(self, stream, piece_bytes):
        self.stream = after_greeting(stream)
        self.piece_bytes = piece_bytes

    def run(self):
        from basicami import BasicAMI

        self.events = self.at = 0
        client = BasicAMI()
        client._reader = client._event_queue = self
        client._connected = True
        asyncio.run(client._read_loop())
        return self.events

    async def read(self, most):
        piece = self.stream[self.at:self.at + min(most, self.piece_bytes)]
        self.at += len(piece)
        return piece

    def put_nowait(self, fields):
        self.events += 1
        fields.get("Event")
        fields.get("Uniqueid")


def after_greeting(stream):
    """For clients that take the greeting elsewhere."""
    return stream[stream.index(LINE_END) + len(LINE_END):]


def pieces(stream, piece_bytes):
    return [stream[at:at + piece_bytes] for at in range(0, len(stream), piece_bytes)]


def main():
    client, path, piece_bytes = sys.argv[1:]
    with open(path, "rb") as file:
        stream = file.read()
    clients = {"basicami": Basicami, "panoramisk": Panoramisk, "pyfreepbx": Pyfreepbx}
    client = clients[client](stream, int(piece_bytes))
    for _ in sys.stdin:
        start = time.perf_counter_ns()
        events = client.run()
        print(time.perf_counter_ns() - start, events, flush=True)


main()
