#!/usr/bin/env python3
"""Carry frames between two devices of this namespace, each way late by a constant delay.

    line.py DEVICE DEVICE SECONDS

It stands in for `tc qdisc … netem delay` on kernels without netem. Frames are neither lost nor reordered; the line
ends when a device is gone. One process of Python carries some 20,000 frames a second.
"""

import select
import socket
import sys
import time
from collections import deque

ETH_P_ALL, SOL_PACKET, PACKET_IGNORE_OUTGOING, SO_RCVBUFFORCE = 3, 263, 23, 33  # not in the socket module
FRAME = 2048  # bytes: an MTU of 1500 and the header
WAITING = 16 * 1024 * 1024  # bytes that may wait in the kernel for us


def attach(device):
    """Return a socket that receives what comes in by the device, and sends out by it."""
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    end.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    end.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, WAITING)
    end.bind((device, 0))
    end.setblocking(False)
    return end


def carry(one, other, delay):
    """Carry until a device is gone. With one delay for all, the first frame in is the first out."""
    ends = {one: other, other: one}
    under_way = deque()
    while True:
        wait = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        ready, _, _ = select.select(list(ends), [], [], wait)
        for end in ready:
            try:
                while frame := end.recv(FRAME):
                    under_way.append((time.monotonic() + delay, ends[end], frame))
            except BlockingIOError:
                pass
        while under_way and under_way[0][0] <= time.monotonic():
            _, to, frame = under_way.popleft()
            to.send(frame)


if __name__ == "__main__":
    try:
        ends = attach(sys.argv[1]), attach(sys.argv[2])
        print("carrying", flush=True)
        carry(*ends, float(sys.argv[3]))
    except OSError as error:
        sys.exit(f"line: {error}")
