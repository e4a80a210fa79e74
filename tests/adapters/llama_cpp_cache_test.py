# SPDX-License-Identifier: Apache-2.0
"""The llama.cpp adapter against a context that has no model."""

import select
import unittest

import sluice
from llama_cpp_cache import LlamaCache
from llama_fake import FakeContext, FakeLlama

CHUNK = 16


class Server:
    """A context with the adapter, and the store that it is given."""

    def __init__(self, store, model=b"model", chunk=CHUNK, **context):
        host = context.pop("host_bytes", 2 << 20)
        options = {"l2_bytes": 1 << 20, **context.pop("options", {})}
        self.llama = FakeLlama()
        self.ctx = FakeContext(**context)
        self.cache = LlamaCache(self.llama, self.ctx, store, model, chunk, host, **options)

    def close(self):
        self.cache.close()

    def wait(self):
        """Until poll() gives something out, or nothing more is being saved."""
        while True:
            ready = self.cache.poll()
            if ready or not self.cache.busy():
                return ready
            if not select.select([self.cache.event_fd()], [], [], 30)[0]:
                raise TimeoutError("no event in 30 seconds")

    def ready(self, tokens, **options):
        """A prompt's request, when it is ready."""
        request = self.cache.submit(tokens, **options)
        while (found := self.wait()) != [request]:
            assert not found
        return request

    def serve(self, tokens, seq=0, kept=0):
        """As a server serves a prompt. Returns how many of its tokens were not computed."""
        if not kept:
            self.llama.llama_memory_seq_rm(self.ctx, seq, -1, -1)
        request = self.ready(tokens)
        done = self.cache.restore(request, seq, kept)
        assert len(self.ctx.kv[seq]) == done, "the sequence has more than it was said to have"
        assert self.ctx.decode(self.llama, tokens[done:], done, seq) == 0
        self.cache.save(request, seq)
        self.wait()
        return done


def prompt(n, salt=0):
    return [(7 * i + salt + i // 5) % 251 for i in range(n)]


def computed(tokens, weights=b"w"):
    """The KV that a context has computed by itself."""
    ctx = FakeContext(weights=weights)
    ctx.decode(FakeLlama(), tokens, 0, 0)
    return ctx.kv[0]


class LlamaCacheTest(unittest.TestCase):
    def setUp(self):
        self.store = sluice.Store.memory()
        self.addCleanup(self.store.close)

    def server(self, **options):
        server = Server(self.store, **options)
        self.addCleanup(server.close)
        return server

    def test_saved_by_one_restored_by_another(self):
        tokens = prompt(3 * CHUNK + 5)
        first = self.server()
        self.assertEqual(first.serve(tokens), 0)
        self.assertEqual(first.cache.saved_chunks, 3)
        second = self.server()
        self.assertEqual(second.serve(tokens, seq=1), 3 * CHUNK)
        self.assertEqual(second.ctx.kv[1], computed(tokens))
        self.assertEqual(second.ctx.kv[0], {})
        self.assertEqual(second.ctx.kv[2], {}, "the scratch sequence keeps cells")
        self.assertEqual(second.cache.saved_chunks, 0)

    def test_the_longest_stored_prefix(self):
        tokens = prompt(4 * CHUNK)
        self.server().serve(tokens)
        other = tokens[: 2 * CHUNK + 3] + prompt(2 * CHUNK, salt=9)
        second = self.server()
        self.assertEqual(second.serve(other), 2 * CHUNK)
        self.assertEqual(second.ctx.kv[0], computed(other))
        self.assertEqual(second.cache.saved_chunks, 2)
        self.assertEqual(self.server().serve(other), 4 * CHUNK)

    def test_a_chunk_after_other_chunks_is_another(self):
        head, other, tail = prompt(CHUNK), prompt(CHUNK, salt=2), prompt(CHUNK + 1, salt=4)
        self.server().serve(head + tail)
        self.assertEqual(self.server().serve(other + tail), 0)
        for tokens in (head + tail, other + tail):
            server = self.server()
            self.assertEqual(server.serve(tokens), 2 * CHUNK)
            self.assertEqual(server.ctx.kv[0], computed(tokens))

    def test_a_token_is_always_left_to_compute(self):
        tokens = prompt(2 * CHUNK)
        self.server().serve(tokens)
        self.assertEqual(self.server().serve(tokens), CHUNK)
        self.assertEqual(self.server().serve(prompt(CHUNK - 1)), 0)
        self.assertEqual(self.server().serve(prompt(1)), 0)

    def test_nothing_of_another_model_chunk_or_type(self):
        tokens = prompt(3 * CHUNK)
        self.server().serve(tokens)
        for options in ({"model": b"other"}, {"chunk": 2 * CHUNK}, {"padding": 2}):
            with self.subTest(options):
                server = self.server(**options)
                self.assertEqual(server.serve(tokens), 0)
                self.assertEqual(server.ctx.restored, 0)

    def test_blocks_that_are_not_what_their_key_says(self):
        tokens = prompt(4 * CHUNK + 1)
        server = self.server()
        server.serve(tokens)
        keys = server.cache.keys_of(tokens)
        size = server.cache.block_bytes
        good = [bytearray(size) for _ in keys]
        self.assertEqual(self.store.get(keys, good).status, sluice.Status.OK)
        flipped = [bytes([b ^ 1]) for b in good[1]]

        def at(block, position, byte):
            return block[:position] + byte + block[position + 1 :]

        cases = {
            "missing": None,
            "another chunk": good[2],
            "too short": good[1][: size // 2],
            "nothing in it": bytes(size),
            "not a state": at(good[1], 0, flipped[0]),
            "another key": at(good[1], 32, flipped[32]),
            "a state of something else": at(good[1], 64, flipped[64]),
            "too many cells": at(good[1], 72, flipped[72]),
            "another position": at(good[1], 76, b"\0"),
        }
        for name, block in cases.items():
            with self.subTest(name):
                self.store.remove([keys[1]])
                if block is not None:
                    self.assertEqual(self.store.put([keys[1]], [block]).status, sluice.Status.OK)
                server = self.server()
                request = server.ready(tokens)
                self.assertEqual(server.cache.restore(request, 0), CHUNK)
                self.assertEqual(server.ctx.kv[0], computed(tokens[:CHUNK]))
                server.cache.cancel(request)

    def test_two_prompts_in_two_sequences(self):
        a, b = prompt(3 * CHUNK + 1), prompt(5 * CHUNK + 1, salt=3)
        for tokens in (a, b):
            self.server().serve(tokens)
        server = self.server()
        first, second = server.cache.submit(a), server.cache.submit(b)
        ready = []
        while len(ready) < 2:
            ready += server.wait()
        # Both are ready; the context's thread takes the later one first.
        self.assertEqual(server.cache.restore(second, 1), 5 * CHUNK)
        self.assertEqual(server.cache.restore(first, 0), 3 * CHUNK)
        self.assertEqual(server.ctx.kv[0], computed(a[: 3 * CHUNK]))
        self.assertEqual(server.ctx.kv[1], computed(b[: 5 * CHUNK]))
        server.ctx.decode(server.llama, b[5 * CHUNK :], 5 * CHUNK, 1)
        self.assertFalse(server.cache.save(second, 1), "there was nothing new in it")
        server.cache.cancel(first)

    def test_what_a_sequence_has_already_is_kept(self):
        tokens = prompt(4 * CHUNK + 1)
        self.server().serve(tokens)
        for kept, calls in ((0, 4), (CHUNK + 3, 3), (4 * CHUNK + 0, 0)):
            with self.subTest(kept):
                server = self.server()
                server.ctx.decode(server.llama, tokens[:kept], 0, 0)
                self.assertEqual(server.serve(tokens, kept=kept), 4 * CHUNK)
                self.assertEqual(server.ctx.kv[0], computed(tokens))
                self.assertEqual(server.ctx.restored, calls)
        short = self.server()
        short.ctx.decode(short.llama, tokens[: CHUNK + 3], 0, 0)
        other = tokens[: CHUNK + 3] + prompt(CHUNK, salt=5)
        self.assertEqual(
            short.serve(other, kept=CHUNK + 3), CHUNK + 3, "it had more than is stored"
        )

    def test_a_context_that_is_full(self):
        tokens = prompt(4 * CHUNK + 1)
        self.server().serve(tokens)
        server = self.server(cells=3 * CHUNK)
        request = server.ready(tokens)
        self.assertEqual(server.cache.restore(request, 0), 3 * CHUNK)
        self.assertEqual(server.ctx.kv[0], computed(tokens[: 3 * CHUNK]))
        server.cache.cancel(request)

    def test_a_sequence_without_the_prompt_is_not_saved(self):
        tokens = prompt(3 * CHUNK)
        server = self.server()
        request = server.ready(tokens)
        server.ctx.decode(server.llama, tokens[: 2 * CHUNK - 1], 0, 0)
        self.assertFalse(server.cache.save(request, 0))
        self.assertEqual(server.ctx.kv[2], {})
        self.assertEqual(self.store.exists(server.cache.keys_of(tokens)).succeeded, 0)
        self.assertEqual(server.serve(tokens), 0)

    def test_a_request_that_failed_is_a_miss(self):
        tokens = prompt(3 * CHUNK + 1)
        server = self.server(options={"fail_on_loss": True})
        keys = server.cache.keys_of(tokens)
        self.store.put(keys, [b"of another size"] * len(keys))
        request = server.ready(tokens)
        self.assertTrue(request.failed)
        self.assertEqual(server.cache.restore(request, 0), 0)
        self.assertEqual(server.cache.restore(request, 0, kept_tokens=5), 5)
        self.assertFalse(server.cache.save(request, 0))
        server.cache.cancel(request)
        self.assertFalse(server.cache.busy())

    def test_a_prompt_longer_than_l1(self):
        tokens = prompt(6 * CHUNK)
        server = self.server(host_bytes=6 * self.server().cache.block_bytes)
        self.assertEqual(server.serve(tokens), 0)
        self.assertEqual(server.cache.saved_chunks, 3)
        self.assertEqual(self.server().serve(tokens), 3 * CHUNK)

    def test_lookup_is_told_before_it_is_ready(self):
        tokens = prompt(2 * CHUNK + 1)
        self.server().serve(tokens)
        server = self.server()
        request = server.ready(tokens, tell_lookup=True)
        self.assertEqual(server.cache.restore(request, 0), 2 * CHUNK)
        server.cache.cancel(request)

    def test_pages_are_given_back(self):
        server = self.server(host_bytes=6 * self.server().cache.block_bytes)
        for salt in range(5):
            tokens = prompt(3 * CHUNK, salt)
            self.assertFalse(server.cache.save(server.ready(tokens), 0), "the sequence has less")
            self.assertEqual(server.serve(tokens), 0)
            server.cache.cancel(server.ready(tokens))
            self.assertEqual(server.serve(tokens[: 2 * CHUNK + 1]), 2 * CHUNK)

    def test_cancelled_before_it_is_ready(self):
        server = self.server()
        server.cache.cancel(server.cache.submit(prompt(3 * CHUNK)))
        self.assertEqual(server.serve(prompt(3 * CHUNK)), 0)

    def test_contexts_that_cannot_be_cut(self):
        for options in ({"unified": False}, {"sequences": 1}, {"recurrent": True}, {"cells": 1}):
            with self.subTest(options), self.assertRaises(ValueError):
                Server(self.store, **options)
        with self.assertRaises(ValueError):
            Server(self.store, host_bytes=2 * CHUNK)


if __name__ == "__main__":
    unittest.main()
