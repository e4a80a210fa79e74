#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An engine's loop in asyncio, and what it costs.

    SLUICE_LIBRARY=.../libsluice.so python3 asyncio_engine.py [--requests N] [--runs N]

Events: N requests, 256 at a time, each loaded by `await`, "computed" and released by the loop.
Says how many events the loop takes per second, and what CPU time its thread spends on each:
submission, event, "computation", release.

Bytes: N requests are submitted at once and loaded over a link of 0.25 GB/s, then over one without a
limit, twice each: an asyncio loop takes the events as they come; nobody takes any until all is
loaded. Says the bytes per second between the first fetch's start and the last block's arrival in
L1, by the library's own clock. Taking events in Python must not slow loading down.

Each figure is the median of the runs, with the smallest and the largest.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Iterator

import sluice
from sluice import aio

BLOCK_BYTES = 16 * 1024
BLOCK_TOKENS = 16
AT_ONCE = 256


def key_of(number: int) -> bytes:
    """The block's name. Engines take a hash of its tokens and of all before them."""
    return number.to_bytes(8, "little")


def content_of(number: int) -> bytes:
    """The block: all of it is one byte."""
    return CONTENTS[number % len(CONTENTS)]


CONTENTS = [bytes([i]) * BLOCK_BYTES for i in range(251)]


class Rig:
    """A store with a block for each request in it, and a pipeline."""

    def __init__(self, requests: int, slots: int, bytes_per_second: float = 0) -> None:
        self.l1 = bytearray(slots * BLOCK_BYTES)
        self.device = sluice.Device.host()
        self.store = sluice.Store.memory(bytes_per_second=bytes_per_second)
        numbers = range(requests)
        result = self.store.put([key_of(i) for i in numbers], [content_of(i) for i in numbers])
        assert result.succeeded == requests
        self.pipeline = sluice.Pipeline(
            [sluice.Group([sluice.Region.over(self.l1, BLOCK_BYTES)])],
            self.device,
            self.store,
            policy="fifo",
            block_tokens=BLOCK_TOKENS,
            l2_bytes=AT_ONCE * BLOCK_BYTES,
        )

    def submit(self, number: int) -> int:
        """A request for a context and one token behind it."""
        return self.pipeline.submit([key_of(number)], BLOCK_TOKENS + 1, pages=2, user=number)

    def check(self, request: int, number: int) -> None:
        """The request's block is in its page."""
        at = self.pipeline.pages(request)[0] * BLOCK_BYTES
        assert self.l1[at : at + BLOCK_BYTES] == content_of(number)

    def close(self) -> None:
        self.pipeline.close()
        self.store.close()
        self.device.close()


async def serve(pipe: aio.AsyncPipeline, numbers: Iterator[int], rig: Rig) -> None:
    """One of the loop's workers."""
    for number in numbers:
        event = await pipe.load([key_of(number)], BLOCK_TOKENS + 1, pages=2)
        assert event.kind == sluice.EventKind.READY and event.blocks == 1
        if number % 100 == 0:
            rig.check(event.request, number)
        # Here an engine computes, starting from the loaded prefix.
        pipe.pipeline.compute_done(event.request)
        pipe.pipeline.release(event.request)


async def run_loop(requests: int) -> tuple[float, float]:
    """Events per second of the loop above, and seconds of CPU that its thread takes for each."""
    rig = Rig(requests, slots=4 * AT_ONCE)
    async with aio.AsyncPipeline(rig.pipeline) as pipe:
        numbers = iter(range(requests))
        begin, cpu = time.perf_counter(), time.thread_time()
        await asyncio.gather(*[serve(pipe, numbers, rig) for _ in range(AT_ONCE)])
        seconds, cpu = time.perf_counter() - begin, time.thread_time() - cpu
    rig.close()
    return requests / seconds, cpu / requests


async def take_events(rig: Rig, requests: int) -> list[int]:
    """Takes events as they come, and returns the requests."""
    taken: list[int] = []
    all_taken = asyncio.Event()

    def take() -> None:
        for event in rig.pipeline.poll():
            assert event.kind == sluice.EventKind.READY and event.blocks == 1
            taken.append(event.request)
        if len(taken) == requests:
            all_taken.set()

    fd = rig.pipeline.event_fd()
    asyncio.get_running_loop().add_reader(fd, take)
    await all_taken.wait()
    asyncio.get_running_loop().remove_reader(fd)
    return taken


def bytes_per_second(requests: int, limit: float, take: bool) -> float:
    """Of loading, while events are taken or not."""
    rig = Rig(requests, slots=2 * requests, bytes_per_second=limit)
    live = [rig.submit(number) for number in range(requests)]
    if take:
        live = asyncio.run(take_events(rig, requests))
    while rig.pipeline.stats().outcomes < requests:
        time.sleep(0.01)
    reports = [rig.pipeline.report(request) for request in live]
    begin = min(r.first_fetch_ns for r in reports)
    end = max(r.loaded_ns for r in reports)
    copied = rig.pipeline.stats().copied_bytes
    assert copied == requests * BLOCK_BYTES
    rig.close()
    return float(copied / ((end - begin) * 1e-9))


def spread(values: list[float], unit: float) -> str:
    """Median (smallest to largest)."""
    low, middle, high = (v / unit for v in (min(values), statistics.median(values), max(values)))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=10000)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    requests, runs = arguments.requests, arguments.runs

    print(f"sluice {sluice.version()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    print(f"{requests} requests of {BLOCK_BYTES // 1024} KiB, {runs} runs")
    figures = [asyncio.run(run_loop(requests)) for _ in range(runs)]
    print(f"events, thousands per second: {spread([rate for rate, _ in figures], 1e3)}")
    print(f"CPU of its thread per event, us: {spread([cpu for _, cpu in figures], 1e-6)}")
    for limit, name in ((0.25e9, "link of 0.25 GB/s"), (0.0, "no limit")):
        # Turn by turn, so that what else the machine does hits both.
        pairs = [
            [bytes_per_second(requests, limit, take) for take in (False, True)] for _ in range(runs)
        ]
        untaken, taken = ([pair[i] for pair in pairs] for i in (0, 1))
        print(f"{name}, GB/s, nobody takes events: {spread(untaken, 1e9)}")
        print(f"{name}, GB/s, asyncio takes them: {spread(taken, 1e9)}")


if __name__ == "__main__":
    main()
