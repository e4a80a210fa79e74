// SPDX-License-Identifier: Apache-2.0
#define _POSIX_C_SOURCE 200809L

#include "toy_engine.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- hashes: not for an engine, whose block names must not collide */

static uint64_t mix(uint64_t state, uint64_t value) {
    state = (state ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return state ^ (state >> 32);
}

/* ---- prompts */

/* All begin with the same 64 tokens, as with one system prompt; then each goes its own way. */
static void write_prompt(struct sequence* s, uint32_t number) {
    const uint32_t shared = 4 * BLOCK_TOKENS;
    s->n_tokens = shared + 29 + 10 * number;
    s->n_blocks = s->n_tokens / BLOCK_TOKENS;
    s->n_pages = (s->n_tokens + BLOCK_TOKENS) / BLOCK_TOKENS;
    uint64_t hash = 1;
    for (uint32_t t = 0; t < s->n_tokens; ++t) {
        const uint64_t token = t < shared ? t : 1000 * (number + 1) + t;
        hash = mix(hash, token);
        s->prefix[t] = hash;
        if ((t + 1) % BLOCK_TOKENS == 0) {
            s->keys[t / BLOCK_TOKENS] = hash;
        }
    }
}

void toy_send_all(struct toy* toy) {
    toy->finished = 0;
    for (uint32_t i = 0; i < REQUESTS; ++i) {
        if (write(toy->arrivals[1], &i, sizeof i) != (ssize_t)sizeof i) {
            abort();
        }
    }
}

struct sequence* toy_next_arrival(struct toy* toy) {
    uint32_t i = 0;
    if (read(toy->arrivals[0], &i, sizeof i) != (ssize_t)sizeof i) {
        abort();
    }
    return &toy->sequences[i];
}

/* ---- pages */

int toy_open(struct toy* toy) {
    memset(toy, 0, sizeof *toy);
    if (pipe(toy->arrivals) != 0) {
        return -1;
    }
    for (uint32_t r = 0; r < REGIONS; ++r) {
        toy->kv[r] = calloc(PAGES, PAGE_BYTES);
        if (toy->kv[r] == NULL) {
            return -1;
        }
        toy->regions[r].base = (uint64_t)(uintptr_t)toy->kv[r];
        toy->regions[r].stride = PAGE_BYTES;
        toy->regions[r].bytes = PAGE_BYTES;
        toy->regions[r].slots = PAGES;
        toy->regions[r].layer = (int32_t)(r / 2);
    }
    toy->group.regions = toy->regions;
    toy->group.n_regions = REGIONS;
    for (uint32_t p = 0; p < PAGES; ++p) {
        toy->free_pages[toy->n_free++] = p;
    }
    for (uint32_t i = 0; i < REQUESTS; ++i) {
        write_prompt(&toy->sequences[i], i);
    }
    return 0;
}

void toy_close(struct toy* toy) {
    for (uint32_t r = 0; r < REGIONS; ++r) {
        free(toy->kv[r]);
    }
    close(toy->arrivals[0]);
    close(toy->arrivals[1]);
}

void toy_want_pages(struct toy* toy, struct sequence* s) { toy->waiting[toy->n_waiting++] = s; }

struct sequence* toy_give_pages(struct toy* toy) {
    struct sequence* const s = toy->waiting[0];
    if (toy->n_waiting == 0 || s->n_pages > toy->n_free) {
        return NULL;
    }
    --toy->n_waiting;
    memmove(toy->waiting, toy->waiting + 1, toy->n_waiting * sizeof toy->waiting[0]);
    for (uint32_t i = 0; i < s->n_pages; ++i) {
        s->pages[i] = toy->free_pages[--toy->n_free];
    }
    return s;
}

void toy_ready(struct toy* toy, struct sequence* s, uint32_t loaded) {
    s->loaded_blocks = loaded;
    toy->ready[toy->n_ready++] = s->id;
}

struct sequence* toy_take_ready(struct toy* toy) {
    const sluice_request_id id = toy->ready[0];
    toy->ready[0] = toy->ready[--toy->n_ready];
    struct sequence* s = toy->sequences;
    while (s->id != id) {
        ++s;
    }
    return s;
}

void toy_finish(struct toy* toy, struct sequence* s) {
    for (uint32_t i = 0; i < s->n_pages; ++i) {
        toy->free_pages[toy->n_free++] = s->pages[i];
        /* Whoever reads a page that is not its own, or too early, finds this. */
        for (uint32_t r = 0; r < REGIONS; ++r) {
            memset(toy->kv[r] + (size_t)s->pages[i] * PAGE_BYTES, 0xee, PAGE_BYTES);
        }
    }
    s->id = 0; /* another pipeline may give the same one to another sequence */
    ++toy->finished;
}

/* ---- the model */

static uint8_t* kv_at(struct toy* toy, const struct sequence* s, uint32_t r, uint32_t token) {
    const size_t page = s->pages[token / BLOCK_TOKENS];
    return toy->kv[r] + page * PAGE_BYTES + (size_t)(token % BLOCK_TOKENS) * TOKEN_BYTES;
}

/* K or V of one token in one layer: depends on all tokens before it, as attention makes it. */
static void compute_kv(const struct sequence* s, uint32_t r, uint32_t token, uint8_t* out) {
    uint64_t state = mix(s->prefix[token], r + 1);
    for (uint32_t i = 0; i < TOKEN_BYTES; i += 8) {
        state = mix(state, i + 1);
        memcpy(out + i, &state, 8);
    }
}

/* Reads all of the KV, as attention does. */
static uint64_t compute_token(struct toy* toy, const struct sequence* s) {
    uint64_t token = 1;
    for (uint32_t t = 0; t < s->n_tokens; ++t) {
        for (uint32_t r = 0; r < REGIONS; ++r) {
            for (uint32_t i = 0; i < TOKEN_BYTES; i += 8) {
                uint64_t word = 0;
                memcpy(&word, kv_at(toy, s, r, t) + i, 8);
                token = mix(token, word);
            }
        }
    }
    return token;
}

static uint32_t count_wrong_blocks(struct toy* toy, const struct sequence* s) {
    uint32_t wrong = 0;
    for (uint32_t b = 0; b < s->loaded_blocks; ++b) {
        int same = 1;
        for (uint32_t t = b * BLOCK_TOKENS; t < (b + 1) * BLOCK_TOKENS; ++t) {
            for (uint32_t r = 0; r < REGIONS; ++r) {
                uint8_t right[TOKEN_BYTES];
                compute_kv(s, r, t, right);
                same &= memcmp(right, kv_at(toy, s, r, t), TOKEN_BYTES) == 0;
            }
        }
        wrong += same ? 0 : 1;
    }
    return wrong;
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

uint64_t toy_prefill(struct toy* toy, struct sequence* s) {
    toy->wrong += count_wrong_blocks(toy, s);
    const uint64_t begin = now_ns();
    for (uint32_t t = s->loaded_blocks * BLOCK_TOKENS; t < s->n_tokens; ++t) {
        for (uint32_t r = 0; r < REGIONS; ++r) {
            compute_kv(s, r, t, kv_at(toy, s, r, t));
        }
    }
    const uint64_t token = compute_token(toy, s);
    const uint64_t took = now_ns() - begin;
    /* With and without loaded KV the answer must be the same. */
    toy->wrong += s->first_token != 0 && s->first_token != token ? 1 : 0;
    s->first_token = token;
    return took;
}
