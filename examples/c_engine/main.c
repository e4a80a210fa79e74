// SPDX-License-Identifier: Apache-2.0
/* An engine's loop in C, with pages of the engine's own. What stands between the [loop] markers is
   what an engine adds to itself, from opening Sluice to the first token of a request.
   toy_engine.h is what engines have already. */
#define _POSIX_C_SOURCE 200809L

#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <sluice/sluice.h>

#include "toy_engine.h"

/* An engine would rather serve on without a cache; an example ends, and says why. */
static void must(sluice_status status) {
    if (status != SLUICE_OK) {
        fprintf(stderr, "%s: %s\n", sluice_status_name(status), sluice_last_error());
        exit(1);
    }
}

/* The rest of the kinds comes if asked for: cancelling, timeouts, compute by the library. What
   cannot be loaded is computed, so nothing fails here. */
static void unexpected(const sluice_event* event) {
    fprintf(stderr, "event %u, %s: %s\n", event->kind, sluice_status_name(event->status),
            event->text);
    exit(1);
}

// [loop]
static void open_storage(sluice_device** device, sluice_store** store) {
    must(sluice_device_open_host(NULL, device));
    must(sluice_store_open_memory(NULL, store));
}

static sluice_pipeline* open_pipeline(struct toy* toy, sluice_device* device, sluice_store* store) {
    sluice_pipeline_options options = SLUICE_PIPELINE_OPTIONS_INIT;
    options.flags = SLUICE_PIPELINE_ENGINE_OWNS_L1;
    options.groups = &toy->group;
    options.n_groups = 1;
    options.block_tokens = BLOCK_TOKENS;
    options.device = device;
    options.store = store;
    sluice_pipeline* pipe = NULL;
    must(sluice_pipeline_open(&options, &pipe));
    return pipe;
}

static void submit(sluice_pipeline* pipe, struct sequence* s) {
    sluice_request request = SLUICE_REQUEST_INIT;
    request.keys = s->keys;
    request.key_size = sizeof s->keys[0];
    request.n_keys = s->n_blocks;
    request.prompt_tokens = s->n_tokens;
    request.pages = s->n_pages;
    request.user = (uintptr_t)s;
    must(sluice_submit(pipe, &request, &s->id));
}

/* Until all requests have had their first token, and what was computed is stored. */
static void serve(struct toy* toy, sluice_pipeline* pipe) {
    struct pollfd fds[2] = {{toy->arrivals[0], POLLIN, 0}, {-1, POLLIN, 0}};
    must(sluice_event_fd(pipe, &fds[1].fd));
    while (toy->finished < REQUESTS) {
        const int readable = poll(fds, 2, toy->n_ready > 0 ? 0 : -1);
        if (readable > 0 && (fds[0].revents & POLLIN) != 0) {
            submit(pipe, toy_next_arrival(toy)); /* the way to L2 begins, before it has pages */
        }
        sluice_event event;
        uint32_t n = 0;
        while (sluice_poll(pipe, &event, 1, &n) == SLUICE_OK && n == 1) {
            struct sequence* s = (struct sequence*)(uintptr_t)event.user;
            switch (event.kind) {
            case SLUICE_EVENT_WANT_PAGES: toy_want_pages(toy, s); break;
            case SLUICE_EVENT_READY: toy_ready(toy, s, event.blocks); break;
            case SLUICE_EVENT_STORED: /* nobody reads its pages any more */
                must(sluice_release(pipe, s->id));
                toy_finish(toy, s);
                break;
            default: unexpected(&event);
            }
        }
        for (struct sequence* s; (s = toy_give_pages(toy)) != NULL;) {
            must(sluice_bind(pipe, s->id, s->pages, s->n_pages));
        }
        if (toy->n_ready > 0) { /* one step of the model, for the one that is best to compute now */
            must(sluice_sort(pipe, toy->ready, toy->n_ready));
            struct sequence* s = toy_take_ready(toy);
            const uint64_t took_ns = toy_prefill(toy, s); /* its first token is there */
            must(sluice_compute_done(pipe, s->id, took_ns));
        }
    }
}
// [loop]

int main(void) {
    struct toy toy;
    if (toy_open(&toy) != 0) {
        perror("toy_open");
        return 1;
    }
    sluice_device* device = NULL;
    sluice_store* store = NULL;
    open_storage(&device, &store);

    /* The same prompts twice, each time by a pipeline that begins with nothing in L1 and L2, as if
       the engine had been started anew: what it does not compute comes from the store. */
    uint32_t loaded[2] = {0, 0};
    uint32_t blocks = 0;
    for (int round = 0; round < 2; ++round) {
        sluice_pipeline* const pipe = open_pipeline(&toy, device, store);
        toy_send_all(&toy);
        serve(&toy, pipe);
        blocks = 0;
        for (uint32_t i = 0; i < REQUESTS; ++i) {
            loaded[round] += toy.sequences[i].loaded_blocks;
            blocks += toy.sequences[i].n_blocks;
        }
        sluice_stats stats = SLUICE_STATS_INIT;
        must(sluice_pipeline_stats(pipe, &stats));
        printf("round %d: %u requests, %u of %u blocks loaded (%llu KiB from the store)\n",
               round + 1, REQUESTS, loaded[round], blocks,
               (unsigned long long)(stats.fetched_bytes >> 10));
        must(sluice_pipeline_close(pipe));
    }
    must(sluice_store_close(store));
    must(sluice_device_close(device));
    printf("%u blocks or first tokens are wrong\n", toy.wrong);
    const int good = toy.wrong == 0 && loaded[0] < blocks && loaded[1] == blocks;
    toy_close(&toy);
    return good ? 0 : 1;
}
