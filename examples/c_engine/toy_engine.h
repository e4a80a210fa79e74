// SPDX-License-Identifier: Apache-2.0
/* What an engine has before it knows of Sluice, as small as can be: a paged KV cache, requests that
   arrive on a file descriptor, and a model, whose KV depends on every token before. */
#ifndef TOY_ENGINE_H
#define TOY_ENGINE_H

#include <stdint.h>

#include <sluice/sluice.h>

#define LAYERS 4u
#define REGIONS (2u * LAYERS) /* K and V of each layer */
#define BLOCK_TOKENS 16u
#define TOKEN_BYTES 64u /* of K, or of V, in one layer */
#define PAGE_BYTES (BLOCK_TOKENS * TOKEN_BYTES)
#define PAGES 40u /* fewer than all requests take together */

#define REQUESTS 10u
#define MAX_TOKENS 200u
#define MAX_PAGES ((MAX_TOKENS + BLOCK_TOKENS) / BLOCK_TOKENS)

struct sequence {
    uint32_t n_tokens;
    uint32_t n_blocks;           /* full ones: those can be cached, and have names */
    uint32_t n_pages;            /* for the prompt and the first token */
    uint64_t prefix[MAX_TOKENS]; /* a hash of all tokens up to this one */
    uint64_t keys[MAX_PAGES];    /* the name of each block: of its tokens and all before it */
    uint32_t pages[MAX_PAGES];   /* from toy_give_pages to toy_finish */
    uint32_t loaded_blocks;      /* the leading blocks that need not be computed */
    uint64_t first_token;
    sluice_request_id id;
};

struct toy {
    uint8_t* kv[REGIONS]; /* page p of region r: kv[r] + p * PAGE_BYTES */
    sluice_region regions[REGIONS];
    sluice_group group;
    uint32_t free_pages[PAGES];
    uint32_t n_free;
    struct sequence* waiting[REQUESTS]; /* for pages, in this order */
    uint32_t n_waiting;
    sluice_request_id ready[REQUESTS]; /* to be computed */
    uint32_t n_ready;
    struct sequence sequences[REQUESTS];
    int arrivals[2]; /* a pipe: requests are read from the first, clients write to the second */
    uint32_t finished;
    uint32_t wrong; /* blocks whose KV is not what the model computes, and first tokens */
};

/** 0, or -1: no memory, or no pipe. */
int toy_open(struct toy* toy);
void toy_close(struct toy* toy);

/** All requests arrive, for a first or another time. */
void toy_send_all(struct toy* toy);
/** Takes one from `arrivals`; to be called when it is readable. */
struct sequence* toy_next_arrival(struct toy* toy);

/** The sequence wants pages, when there are enough and it is its turn. */
void toy_want_pages(struct toy* toy, struct sequence* s);
/** The next sequence that gets its pages; NULL if none waits, or too few are free. */
struct sequence* toy_give_pages(struct toy* toy);
/** The sequence can be computed; its first `loaded` blocks are in its pages. */
void toy_ready(struct toy* toy, struct sequence* s, uint32_t loaded);
/** Takes the first one off the queue of those that can be computed. */
struct sequence* toy_take_ready(struct toy* toy);
/** The sequence has its first token and nobody uses its pages any more. */
void toy_finish(struct toy* toy, struct sequence* s);

/**
 * Computes the KV of all tokens behind the loaded blocks into the sequence's pages, and from the KV
 * of all of them the first token. Checks every byte that was loaded.
 * @return the nanoseconds that it took.
 */
uint64_t toy_prefill(struct toy* toy, struct sequence* s);

#endif
