# SPDX-License-Identifier: GPL-2.0-or-later
"""What ./bench ami is compared with in Python: a client's own way from bytes to messages.

    ami.py CLIENT FILE PIECE_BYTES

For each line on standard input the client takes the whole file, a piece at a time, and one line comes out: the
nanoseconds that it took, and the number of events. Two headers of each event are looked up, as in the bench.
"""

import asyncio
import sys
import time

# How it knows; a client that reads another stream is fed from behind it.
GREETING_END = b"\r\n"


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


class Basicami:
    """basicami reads from a stream by itself, no more at once than it asks for, and fills a queue."""

    def __init__(self, stream, piece_bytes):
        self.stream = stream[stream.index(GREETING_END) + len(GREETING_END):]
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


def pieces(stream, piece_bytes):
    return [stream[at:at + piece_bytes] for at in range(0, len(stream), piece_bytes)]


def main():
    client, path, piece_bytes = sys.argv[1:]
    with open(path, "rb") as file:
        stream = file.read()
    client = {"panoramisk": Panoramisk, "basicami": Basicami}[client](stream, int(piece_bytes))
    for _ in sys.stdin:
        start = time.perf_counter_ns()
        events = client.run()
        print(time.perf_counter_ns() - start, events, flush=True)


main()
