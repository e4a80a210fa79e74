# SPDX-License-Identifier: Apache-2.0
"""llama.cpp's KV cache in Sluice: prompts' KV is saved in a store, and loaded by whoever has it next.

llama.cpp has no pages. llama_state_seq_get_data and _set_data copy a sequence from and to host memory
on the one thread that uses the context. So a block here is the state of `chunk_tokens` tokens, L1 is
host memory, and the pipeline ends where a block is ready on the host; restore() then runs on the
context's thread. A chunk is cut out of a sequence, and joined to one, by llama_memory_seq_cp by way of
a scratch sequence. That needs a unified KV cache and attention: recurrent and hybrid models are
refused, sliding windows need swa_full and no more tokens in a chunk than in the window.

    cache = LlamaCache(llama_cpp, ctx, store, model_fingerprint("model.gguf"))
    request = cache.submit(tokens)               # lookup and loading begin
    for request in cache.poll():                 # when cache.fileno() is readable
        done = cache.restore(request, seq)       # tokens whose KV is in place
        decode(tokens[done:], seq)               # at least one token
        cache.save(request, seq)                 # what was computed goes to the store

submit, poll, fileno and cancel may be called on any thread, the rest on the context's.
"""

import array
import ctypes
import hashlib
import mmap
import struct

import sluice

# Before the state in each block: magic, bytes of the state, its first token, tokens, the block's key.
_HEADER = struct.Struct("<8sQII32s8x")
_MAGIC = b"sluice\x001"
_BYTES = ctypes.POINTER(ctypes.c_uint8)


def model_fingerprint(path, *more):
    """Names a model by all bytes of its file, which takes a while: keep the result.

    `more`: whatever else makes its KV another, as text: LoRA adapters, RoPE settings.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    for text in more:
        digest.update(hashlib.sha256(str(text).encode()).digest())
    return digest.digest()


class Request:
    """One prompt. `blocks` chunks of it are ready on the host once poll() has given it out."""

    def __init__(self, keys):
        self.id = 0
        self.keys = keys
        self.blocks = 0
        self.failed = False  # nothing of it can be restored or saved


class LlamaCache:
    """Saves and restores sequences of one llama context.

    llama: the module llama_cpp, or another with its functions; ctx: the context, made with
    kv_unified, its last sequence is the cache's own; store: a sluice.Store; model: bytes that name the
    weights (model_fingerprint); l1_bytes: host memory for the chunks of requests under way, kept as a
    cache afterwards; l2_bytes: for chunks between that and the store. `options` go to sluice.Pipeline.
    """

    def __init__(self, llama, ctx, store, model, chunk_tokens=128, l1_bytes=512 << 20,
                 l2_bytes=512 << 20, **options):
        self._llama, self._ctx, self._memory = llama, ctx, llama.llama_get_memory(ctx)
        self.chunk_tokens = chunk_tokens
        if llama.llama_n_seq_max(ctx) < 2 or llama.llama_n_ctx_seq(ctx) != llama.llama_n_ctx(ctx):
            raise ValueError("the context needs kv_unified, and n_seq_max one more than it serves")
        self._scratch = llama.llama_n_seq_max(ctx) - 1
        self._state_bytes = self._measure()
        self._block_bytes = _HEADER.size + self._state_bytes
        self._slots = l1_bytes // self._block_bytes
        if self._slots < 1 or l2_bytes < self._block_bytes:
            raise ValueError(f"a chunk takes {self._block_bytes} bytes, more than l1_bytes or l2_bytes")
        # Also another version of llama.cpp, or another type of KV, must not find these blocks.
        self._root = hashlib.sha256(b"llama.cpp" + model + struct.pack("<QI", self._state_bytes, chunk_tokens)
                                    + getattr(llama, "__version__", "").encode()).digest()
        self._l1 = mmap.mmap(-1, self._slots * self._block_bytes)
        self._base = ctypes.addressof(ctypes.c_char.from_buffer(self._l1))
        self._device = sluice.HostDevice()
        region = sluice.Region(self._base, self._block_bytes, self._block_bytes, self._slots)
        self._pipeline = sluice.Pipeline([sluice.Group([region])], self._device, store=store,
                                         block_tokens=chunk_tokens, l2_bytes=l2_bytes,
                                         **{"write_back_share": 0.5, **options})
        self._live, self._busy = {}, {}
        self.saving = set()  # ids of requests whose chunks are on their way to the store
        self.saved_chunks = 0

    def close(self):
        """Ends it; what is being saved is lost: poll until `saving` is empty to have it stored."""
        self._pipeline.close()
        self._device.close()

    def fileno(self):
        """Readable when poll() has something to do."""
        return self._pipeline.fileno()

    def submit(self, tokens, **options):
        """Looks a prompt up and loads what there is of it. `options` go to Pipeline.submit."""
        n = min(len(tokens), self._slots * self.chunk_tokens)
        keys, key = [], self._root
        for i in range(0, n - self.chunk_tokens + 1, self.chunk_tokens):
            key = hashlib.sha256(key + array.array("i", tokens[i:i + self.chunk_tokens]).tobytes()).digest()
            keys.append(key)
        request = Request(keys)
        request.id = self._pipeline.submit(keys, n, **options)
        self._live[request.id] = request
        return request

    def cancel(self, request):
        """The server has no more use for it."""
        self._live.pop(request.id, None)
        self._pipeline.release(request.id)

    def poll(self):
        """The requests that have become ready. One that failed is a miss."""
        ready = []
        for event in self._pipeline.poll():
            if event.kind == sluice.EventKind.STORED:
                self.saving.discard(event.request)
                self.saved_chunks += event.blocks
            elif event.kind == sluice.EventKind.QUIESCED:
                ready += filter(None, [self._busy.pop(event.request, None)])
            elif event.request in self._live:
                request = self._live.pop(event.request)
                request.blocks = event.blocks
                request.failed = event.kind in (sluice.EventKind.FAILED, sluice.EventKind.CANCELLED)
                if event.flags & sluice.EVENT_BUSY:
                    self._busy[request.id] = request  # its pages are still written to
                else:
                    ready.append(request)
        return ready

    def restore(self, request, seq, kept_tokens=0):
        """Puts what is ready into a sequence. Returns how many tokens' KV it then has.

        kept_tokens: as many of the prompt's it has already. What else it has must go first, by
        llama_memory_seq_rm.
        """
        first = kept_tokens // self.chunk_tokens
        if request.failed or request.blocks <= first:
            return kept_tokens
        pages = self._pipeline.pages(request.id)
        self._remove(seq, first * self.chunk_tokens)
        for i in range(first, request.blocks):
            if not self._join(pages[i], request.keys[i], i * self.chunk_tokens, seq):
                return i * self.chunk_tokens
        return request.blocks * self.chunk_tokens

    def save(self, request, seq, compute_ns=0):
        """The sequence has the whole prompt now: saves the chunks that were not loaded.

        compute_ns: what the prompt took, if known. Returns False if nothing is saved; the request is
        over in any case.
        """
        if request.failed:
            return False
        pages = self._pipeline.pages(request.id)
        good = all(self._cut(pages[i], request.keys[i], i * self.chunk_tokens, seq)
                   for i in range(request.blocks, len(request.keys)))
        if good:
            self.saving.add(request.id)
            self._pipeline.compute_done(request.id, compute_ns)
        self._pipeline.release(request.id)
        return good

    def _remove(self, seq, first=-1):
        return self._llama.llama_memory_seq_rm(self._memory, seq, first, -1)

    def _holds(self, first, tokens):
        """Whether the scratch sequence has exactly these tokens."""
        return (self._llama.llama_memory_seq_pos_min(self._memory, self._scratch) == first
                and self._llama.llama_memory_seq_pos_max(self._memory, self._scratch) == first + tokens - 1)

    def _join(self, page, key, first, seq):
        """From a page to the end of a sequence."""
        address = self._base + page * self._block_bytes
        found = _HEADER.unpack(ctypes.string_at(address, _HEADER.size))
        if found != (_MAGIC, self._state_bytes, first, self.chunk_tokens, key):
            return False
        state = ctypes.cast(address + _HEADER.size, _BYTES)
        read = self._llama.llama_state_seq_set_data(self._ctx, state, self._state_bytes, self._scratch)
        good = read == self._state_bytes and self._holds(first, self.chunk_tokens)
        if good:
            self._llama.llama_memory_seq_cp(self._memory, self._scratch, seq, -1, -1)
        self._remove(self._scratch)
        return good

    def _cut(self, page, key, first, seq):
        """From a sequence to a page."""
        self._llama.llama_memory_seq_cp(self._memory, seq, self._scratch, first, first + self.chunk_tokens)
        address = self._base + page * self._block_bytes
        good = (self._holds(first, self.chunk_tokens) and self._state_bytes ==
                self._llama.llama_state_seq_get_size(self._ctx, self._scratch) ==
                self._llama.llama_state_seq_get_data(self._ctx, ctypes.cast(address + _HEADER.size, _BYTES),
                                                     self._state_bytes, self._scratch))
        self._remove(self._scratch)
        header = _HEADER.pack(_MAGIC, self._state_bytes, first, self.chunk_tokens, key)
        ctypes.memmove(address, header, len(header))
        return good

    def _measure(self):
        """Bytes of a chunk's state, from what one token and two take."""
        llama, sizes = self._llama, []
        batch = llama.llama_batch_init(2, 0, 1)
        batch.n_tokens = 2
        for i in range(2):
            batch.token[i], batch.pos[i], batch.logits[i] = 0, i, i
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, self._scratch
        self._remove(self._scratch)
        decoded = llama.llama_decode(self._ctx, batch)
        llama.llama_batch_free(batch)
        for tokens in (2, 1):
            if decoded != 0 or not self._remove(self._scratch, tokens) or not self._holds(0, tokens):
                self._remove(self._scratch)
                raise ValueError("this model's memory cannot be cut into chunks of tokens")
            sizes.append(llama.llama_state_seq_get_size(self._ctx, self._scratch))
        self._remove(self._scratch)
        return sizes[1] + (self.chunk_tokens - 1) * (sizes[0] - sizes[1])
