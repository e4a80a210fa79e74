# SPDX-License-Identifier: Apache-2.0
"""A whole engine, but for the model: loads what is cached of a prompt, computes the rest, stores it."""

import hashlib
import select

import sluice

BLOCK_TOKENS, BLOCK_BYTES, PAGES = 16, 4096, 64

kv = bytearray(PAGES * BLOCK_BYTES)  # L1: your KV memory, as pages of one block each
device = sluice.Device.host()  # the way from L2 to L1
store = sluice.Store.memory()  # L3
pipeline = sluice.Pipeline(
    [sluice.Group([sluice.Region.over(kv, BLOCK_BYTES)])], device, store, block_tokens=BLOCK_TOKENS
)


def names_of(tokens: list[int]) -> list[bytes]:
    """One name per full block. Prompts that begin alike have names that begin alike."""
    names, before = [], b""
    for at in range(0, len(tokens) - BLOCK_TOKENS + 1, BLOCK_TOKENS):
        block = repr(tokens[at : at + BLOCK_TOKENS]).encode()
        before = hashlib.blake2b(before + block, digest_size=16).digest()
        names.append(before)
    return names


def serve(tokens: list[int]) -> int:
    """Serves one prompt. Returns how many of its blocks were loaded."""
    request = pipeline.submit(names_of(tokens), len(tokens))  # loading begins
    while True:
        select.select([pipeline.event_fd()], [], [])  # with your engine's other descriptors
        for event in pipeline.poll():
            if event.request != request or not event.is_outcome:
                continue
            if event.kind != sluice.EventKind.READY:
                raise RuntimeError(event.text)
            pages = pipeline.pages(request)  # block i is in page pages[i]
            # Run the model on tokens event.blocks * BLOCK_TOKENS and on, into those pages.
            assert len(pages) * BLOCK_TOKENS >= len(tokens)
            pipeline.compute_done(request)  # the first token is there; the blocks are stored
            pipeline.release(request)  # a real engine first decodes
            return event.blocks


prompt = list(range(1000, 1085))
first = serve(prompt)
second = serve(prompt + [7] * 15)  # the same beginning, another end
print(f"loaded {first} blocks, then {second}")
for part in (pipeline, store, device):
    part.close()
