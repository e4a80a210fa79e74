# SPDX-License-Identifier: Apache-2.0
"""A serving process with llama.cpp, as llama_cpp_test.py starts them.

    llama_process.py MODEL NODE SECRET_FILE STEPS OPTIONS

OPTIONS are a JSON object: those of Engine, and "named", more for the model's fingerprint. STEPS are
a JSON list; what each gives is printed as a line of JSON:

  {"prefill": TOKENS, "cuts": [...], "seq": N}  the prompt computed in these parts, nothing loaded
  {"serve": TOKENS, "seq": N}   as a server does: load, restore, compute the rest, save
  {"clear": true}               forgets all sequences

"logits" are those after the last token, "next" the greedy continuation of eight tokens.
"""

import hashlib
import json
import select
import struct
import sys
import time

import llama_cpp
import sluice
from llama_cpp_cache import LlamaCache, model_fingerprint
from llama_engine import Engine

CHUNK = 64


def greedy(engine, logits, first, seq, n=8):
    tokens = []
    while True:
        values = struct.unpack(f"{len(logits) // 4}f", logits)
        tokens.append(values.index(max(values)))
        if len(tokens) == n:
            return tokens
        logits = engine.decode(tokens[-1:], first + len(tokens) - 1, seq)


def wait(cache):
    """Until something is ready, or nothing more is to be waited for."""
    while True:
        ready = cache.poll()
        if ready or not cache.busy():
            return ready
        if not select.select([cache.event_fd()], [], [], 60)[0]:
            raise TimeoutError("no event in a minute")


def compute(engine, tokens, cuts, seq):
    """In parts: sums of floats depend on how many tokens are computed together."""
    for begin, end in zip(cuts, cuts[1:] + [len(tokens)]):
        logits = engine.decode(tokens[begin:end], begin, seq)
    return logits


def answer(engine, logits, tokens, seq, **more):
    values = struct.unpack(f"{len(logits) // 4}f", logits)
    digest = hashlib.sha256(logits).hexdigest()
    return {
        "digest": digest,
        "logits": values,
        "next": greedy(engine, logits, len(tokens), seq),
        **more,
    }


def serve(engine, cache, tokens, seq):
    begin = time.monotonic()
    (request,) = wait_for(cache, tokens)
    ready = time.monotonic()
    done = cache.restore(request, seq)
    restored = time.monotonic()
    # Whole chunks first, so that all processes compute them in the same parts.
    last = (len(tokens) - 1) // CHUNK * CHUNK
    cuts = [done, last] if done < last else [done]
    logits = compute(engine, tokens, cuts, seq)
    computed = time.monotonic()
    before = cache.saved_chunks
    cache.save(request, seq, int(1e9 * (computed - restored)))
    wait(cache)
    return answer(
        engine,
        logits,
        tokens,
        seq,
        done=done,
        saved=cache.saved_chunks - before,
        load_s=ready - begin,
        restore_s=restored - ready,
        compute_s=computed - restored,
    )


def wait_for(cache, tokens):
    cache.submit(tokens)
    return wait(cache)


def main():
    model, node, secret, steps, options = sys.argv[1:6]
    options = json.loads(options)
    fingerprint = model_fingerprint(model, *options.pop("named", []))
    engine = Engine(model, sequences=3, **options)
    with sluice.Store.fabric(node, secret_file=secret) as store:
        cache = LlamaCache(llama_cpp, engine.ctx, store, fingerprint, CHUNK)
        for step in json.loads(steps):
            seq = step.get("seq", 0)
            if "clear" in step:
                engine.clear()
                result = {}
            elif "prefill" in step:
                begin = time.monotonic()
                logits = compute(engine, step["prefill"], step["cuts"], seq)
                took = time.monotonic() - begin
                result = answer(engine, logits, step["prefill"], seq, compute_s=took)
            else:
                result = serve(engine, cache, step["serve"], seq)
            print(json.dumps(result), flush=True)
        cache.close()
    engine.close()


if __name__ == "__main__":
    main()
