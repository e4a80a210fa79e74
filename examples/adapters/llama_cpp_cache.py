# SPDX-License-Identifier: Apache-2.0
"""llama.cpp's KV in Sluice: a prompt's KV is saved, and loaded by the next context that needs it.

llama.cpp has no pages: llama_state_seq_get_data and _set_data copy a sequence to and from host
memory, on its context's thread. So a block is the state of a chunk of tokens, L1 is host memory,
and the pipeline ends where a block is on the host; the context's thread takes it from there. Chunks
are cut out of sequences, and joined to them, by llama_memory_seq_cp.

    cache = LlamaCache(llama_cpp, ctx, store, model_fingerprint("model.gguf"))
    cache.submit(tokens)                         # lookup and loading begin
    for request in cache.poll():                 # when cache.event_fd() is readable
        done = cache.restore(request, seq)       # so many tokens of it are in place
        decode(request.tokens[done:], seq)       # at least one
        cache.save(request, seq)                 # the rest goes to the store
"""

import array
import ctypes
import hashlib
import mmap
import types

import sluice

# A block is this, its key and the state. The key names model, version, size, and all tokens so far.
_MAGIC = b"llama.cpp state, one chunk      "
_HEADER = len(_MAGIC) + 32
_SETTLING = range(sluice.EventKind.READY, sluice.EventKind.STORED)  # outcomes, and QUIESCED


def model_fingerprint(path, *more):
    """Names a model by every byte of its file, which takes a while: keep it. more: texts that name
    what else KV depends on: LoRA adapters, RoPE, and the context's flash_attn, type_k, type_v."""
    digest = hashlib.sha256(repr(more).encode())
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return digest.digest()


class LlamaCache:
    """The KV of one llama_context. Use it on the context's thread.

    llama: the module llama_cpp. ctx: with kv_unified; the last of its sequences is the cache's own.
    Its model has attention in all layers (recurrent ones are refused); if with a sliding window, it
    saves with swa_full and chunks that are not longer. model: bytes that name weights and settings.
    host_bytes: half of it for L1, the chunks of requests from submit to save, then a cache; half
    for L2, of which half may be on its way to the store. options: as of sluice.Pipeline.
    """

    def __init__(self, llama, ctx, store, model, chunk_tokens=128, host_bytes=1 << 30, **options):
        self._llama, self._ctx, self._memory = llama, ctx, llama.llama_get_memory(ctx)
        self._own, self.chunk_tokens = llama.llama_n_seq_max(ctx) - 1, chunk_tokens
        if self._own < 1 or llama.llama_n_ctx_seq(ctx) != llama.llama_n_ctx(ctx):
            raise ValueError("the context needs kv_unified, and a sequence more than it serves")
        self._state_bytes = self._measure()
        self.block_bytes = _HEADER + self._state_bytes
        self._slots = host_bytes // 2 // self.block_bytes
        if self._slots < 1:
            raise ValueError(
                f"a chunk takes {self.block_bytes} bytes, more than half of host_bytes"
            )
        named = repr((model, getattr(llama, "__version__", ""), self._state_bytes, chunk_tokens))
        self._root = hashlib.sha256(named.encode()).digest()
        l1 = sluice.Region.over(mmap.mmap(-1, self._slots * self.block_bytes), self.block_bytes)
        self._l1 = l1.base
        self._device = sluice.Device.host()
        options = {"l2_bytes": host_bytes // 2, "write_back_share": 0.5, **options}
        self._pipeline = sluice.Pipeline(
            [sluice.Group([l1])], self._device, store, block_tokens=chunk_tokens, **options
        )
        self.event_fd = self._pipeline.event_fd  # readable when poll() has something to do
        self._live, self._saving, self.saved_chunks = {}, {}, 0

    def close(self):
        """Ends it. What is being saved is lost, unless poll() was called until busy() was false."""
        self._pipeline.close()
        self._device.close()

    def busy(self):
        """Whether poll() will have something to do."""
        return bool(self._live or self._saving)

    def keys_of(self, tokens):
        """The names of a prompt's full chunks: each names all tokens up to its end."""
        keys, n = [self._root], self.chunk_tokens
        for i in range(n, len(tokens) + 1, n):
            chunk = array.array("i", tokens[i - n : i]).tobytes()
            keys.append(hashlib.sha256(keys[-1] + chunk).digest())
        return keys[1:]

    def submit(self, tokens, **options):
        """Looks a prompt up and loads what there is of it; options as of Pipeline.submit. Returns a
        request: when poll() gives it out, its first `blocks` chunks are on the host."""
        usable = tokens[: self._slots * self.chunk_tokens]  # more can never be in L1
        keys = self.keys_of(usable)
        number = self._pipeline.submit(keys, len(usable), write_back=False, **options)
        request = types.SimpleNamespace(id=number, tokens=tokens, keys=keys, blocks=0, failed=False)
        return self._live.setdefault(number, request)

    def cancel(self, request):
        """In place of save(): the server has no more use for it."""
        if not request.failed:
            self._live.pop(request.id, None)
            self._pipeline.release(request.id)

    def poll(self):
        """The requests that have become ready. One that failed has nothing to restore."""
        ready = []
        for event in self._pipeline.poll():
            if event.kind == sluice.EventKind.STORED:
                self.saved_chunks += event.blocks
                self._pipeline.release(self._saving.pop(event.request).id)
            elif event.request in self._live and event.kind in _SETTLING:
                request = self._live[event.request]
                if event.is_outcome:
                    request.blocks, request.failed = event.blocks, not event.is_loaded
                if not event.busy:  # else its pages are still written to, until QUIESCED
                    ready.append(self._live.pop(request.id))
        return ready

    def restore(self, request, seq, kept_tokens=0):
        """Puts what is ready into a sequence that has kept_tokens of the prompt already and no
        others. Returns how many it has then."""
        first = kept_tokens // self.chunk_tokens
        if request.failed or request.blocks <= first:
            return kept_tokens
        pages = self._pipeline.pages(request.id)
        self._llama.llama_memory_seq_rm(self._memory, seq, first * self.chunk_tokens, -1)
        while first < request.blocks and self._join(pages[first], request.keys[first], first, seq):
            first += 1
        return first * self.chunk_tokens

    def save(self, request, seq, compute_ns=0):
        """Saves the chunks that were not loaded; the sequence has the whole prompt now. compute_ns:
        what the rest took, for the cost model. Returns whether there is something to save."""
        if request.failed:
            return False
        pages, new = self._pipeline.pages(request.id), range(request.blocks, len(request.keys))
        good = all(self._cut(pages[i], request.keys[i], i, seq) for i in new)
        if good:
            self._pipeline.compute_done(request.id, compute_ns)  # L1 caches the pages from now on
        if not good or not new:
            self._pipeline.release(request.id)
            return False
        keys, pages = request.keys[new.start :], pages[new.start : new.stop]
        self._saving[self._pipeline.store_blocks(keys, pages)] = request
        return True

    def _join(self, page, key, i, seq):
        """Appends a page to a sequence, if it holds chunk i as it should."""
        at, first = self._l1 + page * self.block_bytes, i * self.chunk_tokens
        if ctypes.string_at(at, _HEADER) != _MAGIC + key:
            return False
        good = self._state(self._llama.llama_state_seq_set_data, at) and self._own_is(first)
        if good:
            self._llama.llama_memory_seq_cp(self._memory, self._own, seq, -1, -1)
        self._drop_own()
        return good

    def _cut(self, page, key, i, seq):
        """Copies chunk i of a sequence to a page."""
        at, first = self._l1 + page * self.block_bytes, i * self.chunk_tokens
        ctypes.memmove(at, _MAGIC + key, _HEADER)
        end = first + self.chunk_tokens
        self._llama.llama_memory_seq_cp(self._memory, seq, self._own, first, end)
        good = self._own_is(first) and self._state(self._llama.llama_state_seq_get_data, at)
        self._drop_own()
        return good

    def _state(self, copy, at):
        state = ctypes.cast(at + _HEADER, ctypes.POINTER(ctypes.c_uint8))
        return copy(self._ctx, state, self._state_bytes, self._own) == self._state_bytes

    def _own_is(self, first, tokens=None):
        """Whether the cache's own sequence has these, a chunk if nothing is said, and no others."""
        last = first + (tokens or self.chunk_tokens) - 1
        ends = (self._llama.llama_memory_seq_pos_min, self._llama.llama_memory_seq_pos_max)
        return [end(self._memory, self._own) for end in ends] == [first, last]

    def _drop_own(self, first=-1):
        return self._llama.llama_memory_seq_rm(self._memory, self._own, first, -1)

    def _measure(self):
        """The bytes of a chunk's state, from what two tokens take, and one."""
        llama, batch, sizes = self._llama, self._llama.llama_batch_init(2, 0, 1), []
        batch.n_tokens = 2
        for i in range(2):
            batch.token[i], batch.pos[i], batch.logits[i] = 0, i, i
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, self._own
        good = llama.llama_decode(self._ctx, batch) == 0
        llama.llama_batch_free(batch)
        for n in (2, 1):
            good = good and self._drop_own(n) and self._own_is(0, n)
            sizes.append(llama.llama_state_seq_get_size(self._ctx, self._own))
        self._drop_own()
        if not good:
            raise ValueError("the memory of this model or context cannot be cut after each token")
        return sizes[1] + (self.chunk_tokens - 1) * (sizes[0] - sizes[1])
