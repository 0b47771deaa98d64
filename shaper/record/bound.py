"""Which of the proxy's bounds was reached: a closed list, which labels metrics. docs/robustness.md has their sizes."""

from enum import StrEnum


class Bound(StrEnum):
    """What exceeded one was refused or ended, alone; everything else went on."""

    CONNECTIONS = "connections"  # too many connections in all: the new one was closed
    CLIENT = "client"  # too many connections of one client: the new one was closed
    ORIGINS = "origins"  # too many connections to origins: the new one was not made
    SILENT = "silent"  # a connection on which nothing was asked: closed
    IDLE = "idle"  # a connection with nothing under way for long: closed, as any server does
    HEAD = "head"  # a request's or response's head, or what stands between chunks, is too long
    HELLO = "hello"  # a ClientHello is too long
    FRAMES = "frames"  # too many HTTP/2 resets, or frames that carry nothing
