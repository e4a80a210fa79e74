# SPDX-License-Identifier: Apache-2.0
"""llama.cpp as a server uses it: a context on one thread, token ids in, logits out."""

import ctypes

import llama_cpp


@llama_cpp.llama_log_callback
def _quiet(level, text, user):
    pass


class Engine:
    """One model and one context. The last of `sequences` is left to a cache."""

    def __init__(self, model, sequences=2, context=4096, flash=True, unified=True, swa_full=True):
        llama_cpp.llama_log_set(_quiet, None)
        llama_cpp.llama_backend_init()
        model_params = llama_cpp.llama_model_default_params()
        model_params.n_gpu_layers = 0
        self._model = llama_cpp.llama_model_load_from_file(str(model).encode(), model_params)
        assert self._model, f"{model} cannot be loaded"
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = context
        params.n_batch = params.n_ubatch = 512
        params.n_seq_max = sequences
        params.n_threads = params.n_threads_batch = 1
        params.flash_attn_type = 1 if flash else 0
        params.kv_unified = unified
        params.swa_full = swa_full
        self.ctx = llama_cpp.llama_init_from_model(self._model, params)
        assert self.ctx, "no context"
        self._memory = llama_cpp.llama_get_memory(self.ctx)
        self._vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))

    def close(self):
        llama_cpp.llama_free(self.ctx)
        llama_cpp.llama_model_free(self._model)

    def clear(self):
        """Forgets all sequences."""
        llama_cpp.llama_memory_clear(self._memory, True)

    def decode(self, tokens, first, seq=0):
        """Computes tokens from position `first` on; returns the logits after the last, as bytes."""
        step = llama_cpp.llama_n_batch(self.ctx)
        for begin in range(0, len(tokens), step):
            part = tokens[begin : begin + step]
            batch = llama_cpp.llama_batch_init(len(part), 0, 1)
            batch.n_tokens = len(part)
            for i, token in enumerate(part):
                batch.token[i] = token
                batch.pos[i] = first + begin + i
                batch.n_seq_id[i] = 1
                batch.seq_id[i][0] = seq
                batch.logits[i] = i + 1 == len(part)
            code = llama_cpp.llama_decode(self.ctx, batch)
            llama_cpp.llama_batch_free(batch)
            assert code == 0, f"llama_decode returned {code}"
        logits = llama_cpp.llama_get_logits_ith(self.ctx, -1)
        return ctypes.string_at(logits, 4 * self._vocab)
