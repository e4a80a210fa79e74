# SPDX-License-Identifier: Apache-2.0
"""Writes small models with random weights as GGUF files, for tests of llama.cpp.

GGUF: a header, key-value pairs, a directory of tensors, then their data, each tensor at a multiple
of 32 bytes. It has no vocabulary but its size: token ids go in and logits come out.
"""

import array
import random
import struct

_ALIGNMENT = 32
_U32, _F32, _STRING = 4, 6, 8  # types of values; a tensor's type 0 is F32


def _string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value):
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _string(value)
    if isinstance(value, float):
        return struct.pack("<If", _F32, value)
    return struct.pack("<II", _U32, value)


def write_model(
    path, seed=1, window=0, layers=4, embd=256, heads=8, kv_heads=4, ff=512, vocab=512, context=4096
):
    """Writes one to `path`: a llama, or, with a window, a gemma2 whose every other layer attends to
    so many tokens. The same arguments give the same bytes; another seed, other weights."""
    arch = "gemma2" if window else "llama"
    head, kv = embd // heads, embd // heads * kv_heads
    pairs = {
        "general.architecture": arch,
        "general.name": f"random-{seed}",
        f"{arch}.context_length": context,
        f"{arch}.embedding_length": embd,
        f"{arch}.block_count": layers,
        f"{arch}.feed_forward_length": ff,
        f"{arch}.attention.head_count": heads,
        f"{arch}.attention.head_count_kv": kv_heads,
        f"{arch}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{arch}.rope.dimension_count": head,
        f"{arch}.vocab_size": vocab,
        "tokenizer.ggml.model": "none",
    }
    if window:
        pairs[f"{arch}.attention.key_length"] = pairs[f"{arch}.attention.value_length"] = head
        pairs[f"{arch}.attention.sliding_window"] = window
    # A tensor's shape, the fastest dimension first.
    shapes = {"token_embd.weight": (embd, vocab), "output_norm.weight": (embd,)}
    if not window:
        shapes["output.weight"] = (embd, vocab)
    for i in range(layers):
        for name, shape in (
            ("attn_norm", (embd,)),
            ("attn_q", (embd, embd)),
            ("attn_k", (embd, kv)),
            ("attn_v", (embd, kv)),
            ("attn_output", (embd, embd)),
            ("ffn_norm", (embd,)),
            ("ffn_gate", (embd, ff)),
            ("ffn_down", (ff, embd)),
            ("ffn_up", (embd, ff)),
        ):
            shapes[f"blk.{i}.{name}.weight"] = shape
        for name in ("post_attention_norm", "post_ffw_norm") if window else ():
            shapes[f"blk.{i}.{name}.weight"] = (embd,)

    def size(shape):
        count = 4
        for n in shape:
            count *= n
        return count

    def padding(offset):
        return -offset % _ALIGNMENT

    start = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(pairs))
    start += b"".join(_string(key) + _value(value) for key, value in pairs.items())
    offset = 0
    for name, shape in shapes.items():
        start += _string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset)
        offset += size(shape) + padding(size(shape))
    rng = random.Random(seed)
    with open(path, "wb") as file:
        file.write(start + bytes(padding(len(start))))
        for shape in shapes.values():
            if len(shape) == 1:
                data = array.array("f", [1.0] * shape[0])  # a norm's weights
            else:
                # Uniform, with the deviation that keeps activations of about unit size.
                bound = (3 / shape[0]) ** 0.5
                data = array.array(
                    "f", (rng.uniform(-bound, bound) for _ in range(size(shape) // 4))
                )
            file.write(data.tobytes() + bytes(padding(size(shape))))
