"""What was looked at once is not looked at again, and yet nothing out of use stays for ever. Each in a new process."""

import subprocess
import sys
from textwrap import dedent

import pytest

BEGIN = """
import gc
from shaper.cli import collector

class Node:
    gone = 0
    def __init__(self):
        self.me = self
    def __del__(self):
        Node.gone += 1

def full():
    gc.collect(0), gc.collect(1), gc.collect(2)
"""


@pytest.fixture
def told():
    """Run a program with these means, and return what it prints."""

    def told(program):
        command = [sys.executable, "-c", BEGIN + dedent(program)]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()

    return told


def test_what_is_alive_is_put_aside_and_garbage_is_not(told):
    program = """
        collector.Collector().begin()
        first = gc.get_freeze_count()
        alive, garbage = [Node() for _ in range(10_000)], [Node() for _ in range(300)]
        del garbage
        full()
        print(first > 5000, Node.gone, gc.get_freeze_count() - first >= 10_000, len(gc.get_objects()) < 1000)
    """
    assert told(program) == ["True", "300", "True", "True"]


def test_what_is_aside_and_out_of_use_stays_until_all_is_looked_at(told):
    program = """
        one = collector.Collector()
        one.begin()
        nodes = [Node() for _ in range(500)]
        full()
        del nodes
        full()
        print(Node.gone)
        one.tidy()
        print(Node.gone)
    """
    assert told(program) == ["0", "500"]


def test_too_much_aside_is_looked_at_and_what_is_alive_counts_anew(told):
    program = """
        collector.MORE = 1000
        one = collector.Collector()
        one.begin()
        most = one._most
        while Node.gone == 0:
            nodes = [Node() for _ in range(500)]
            full()
            assert one._aside < most + 2000
        print(Node.gone > 500, one._aside == gc.get_freeze_count() < most)
    """
    assert told(program) == ["True", "True"]


def test_what_went_by_itself_is_not_taken_for_too_much(told):
    program = """
        class Thing:
            pass
        one = collector.Collector()
        one.begin()
        most = one._most
        while one._aside < most:
            things = [Thing() for _ in range(50_000)]
            for thing in things:
                thing.name = []  # tracked, and in no cycle
            full()
            del things, thing
        garbage = [Node()]
        full()
        del garbage
        full()
        print(one._most == most, one._aside < most, Node.gone)
    """
    assert told(program) == ["True", "True", "0"]
