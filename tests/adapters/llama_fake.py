# SPDX-License-Identifier: Apache-2.0
"""What llama_cpp offers of contexts, memory and states, without a model: a token's KV is a hash of
all tokens up to it."""

import ctypes
import hashlib
import struct
from types import SimpleNamespace

_CELL = struct.Struct("<ii32s")  # of a state: the position, the sequence, the KV
_HEAD = struct.Struct("<III")  # magic, the sequence, how many cells


class FakeLlama:
    """The functions of llama_cpp; a context is a FakeContext."""

    __version__ = "fake"

    def llama_get_memory(self, ctx):
        return ctx

    def llama_n_seq_max(self, ctx):
        return ctx.sequences

    def llama_n_ctx(self, ctx):
        return ctx.cells

    def llama_n_ctx_seq(self, ctx):
        return ctx.cells if ctx.unified else ctx.cells // ctx.sequences

    def llama_batch_init(self, n, embd, n_seq_max):
        return SimpleNamespace(
            n_tokens=0,
            token=[0] * n,
            pos=[0] * n,
            n_seq_id=[0] * n,
            logits=[0] * n,
            seq_id=[[0] * n_seq_max for _ in range(n)],
        )

    def llama_batch_free(self, batch):
        pass

    def llama_decode(self, ctx, batch):
        for i in range(batch.n_tokens):
            seq = ctx.kv[batch.seq_id[i][0]]
            before = seq.get(batch.pos[i] - 1, b"")
            seq[batch.pos[i]] = hashlib.sha256(
                ctx.weights + before + bytes([batch.token[i]])
            ).digest()
        return 0 if ctx.used() <= ctx.cells else 1

    def llama_memory_seq_rm(self, ctx, seq, first, last):
        if ctx.recurrent and first > 0:
            return False
        ctx.kv[seq] = {
            p: v for p, v in ctx.kv[seq].items() if not (p >= first and (last < 0 or p < last))
        }
        return True

    def llama_memory_seq_cp(self, ctx, source, to, first, last):
        found = {p: v for p, v in ctx.kv[source].items() if p >= first and (last < 0 or p < last)}
        assert not found.keys() & ctx.kv[to].keys(), "two cells at one position"
        ctx.kv[to].update(found)

    def llama_memory_seq_pos_min(self, ctx, seq):
        return min(ctx.kv[seq], default=-1)

    def llama_memory_seq_pos_max(self, ctx, seq):
        return max(ctx.kv[seq], default=-1)

    def llama_state_seq_get_size(self, ctx, seq):
        return _HEAD.size + len(ctx.kv[seq]) * (_CELL.size + ctx.padding)

    def llama_state_seq_get_data(self, ctx, to, size, seq):
        data = _HEAD.pack(7, seq, len(ctx.kv[seq]))
        for position, value in sorted(ctx.kv[seq].items()):
            data += _CELL.pack(position, seq, value) + bytes(ctx.padding)
        if len(data) > size:
            return 0
        ctypes.memmove(to, data, len(data))
        return len(data)

    def llama_state_seq_set_data(self, ctx, source, size, seq):
        data = ctypes.string_at(source, size)
        magic, _, n = _HEAD.unpack_from(data)
        ctx.kv[seq] = {}
        ctx.restored += 1
        whole = _HEAD.size + n * (_CELL.size + ctx.padding)
        if magic != 7 or whole > size or ctx.used() + n > ctx.cells:
            return 0
        for i in range(n):
            position, _, value = _CELL.unpack_from(
                data, _HEAD.size + i * (_CELL.size + ctx.padding)
            )
            ctx.kv[seq][position] = value
        return whole


class FakeContext:
    """What a llama_context holds; `padding` stands for another type of KV."""

    def __init__(
        self, cells=4096, sequences=3, unified=True, recurrent=False, weights=b"w", padding=0
    ):
        self.cells, self.sequences, self.unified, self.recurrent = (
            cells,
            sequences,
            unified,
            recurrent,
        )
        self.weights, self.padding = weights, padding
        self.kv = [{} for _ in range(sequences)]  # of each sequence, by position
        self.restored = 0  # calls of set_data

    def used(self):
        """Cells that are taken; a token of several sequences takes one."""
        return len({(p, v) for seq in self.kv for p, v in seq.items()})

    def decode(self, llama, tokens, first, seq):
        """As a server does, in one batch."""
        batch = llama.llama_batch_init(len(tokens), 0, 1)
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.seq_id[i][0] = token, first + i, seq
        return llama.llama_decode(self, batch)
