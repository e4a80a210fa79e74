/* SPDX-License-Identifier: Apache-2.0 */
/* A whole engine, but for the model: loads what is cached of a prompt, computes the rest, stores
 * it. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include <sluice/sluice.h>

enum { block_tokens = 16, page_bytes = 4096, page_count = 64, blocks = 5 };

static void must(sluice_status status) {
    if (status != SLUICE_OK) {
        fprintf(stderr, "%s: %s\n", sluice_status_name(status), sluice_last_error());
        exit(1);
    }
}

/* Serves one prompt. Returns how many of its blocks were loaded, -1 if it could not be served. */
static int serve(sluice_pipeline* pipe, const uint64_t* names, uint32_t n_names) {
    struct pollfd waiting = {.events = POLLIN};
    sluice_request_id id = 0;
    sluice_request request = SLUICE_REQUEST_INIT;
    request.keys = names; /* of the prompt's full blocks; yours are hashes of their tokens */
    request.key_size = sizeof *names;
    request.n_keys = n_names;
    request.prompt_tokens = (uint64_t)n_names * block_tokens + 5;
    must(sluice_submit(pipe, &request, &id)); /* loading begins */
    must(sluice_event_fd(pipe, &waiting.fd));
    for (;;) {
        sluice_event event;
        uint32_t n = 0;
        poll(&waiting, 1, -1); /* with your engine's other descriptors */
        while (sluice_poll(pipe, &event, 1, &n) == SLUICE_OK && n == 1) {
            if (event.request != id || event.kind < SLUICE_EVENT_READY ||
                event.kind > SLUICE_EVENT_FAILED) {
                continue;
            }
            if (event.kind == SLUICE_EVENT_READY) {
                uint32_t pages[page_count]; /* block i is in page pages[i] */
                must(sluice_pages(pipe, id, pages, page_count, &n));
                /* Run the model on tokens event.blocks * block_tokens and on, into those pages. */
                must(sluice_compute_done(pipe, id, 0)); /* first token; the blocks are stored */
            }
            (void)sluice_release(pipe, id); /* a real engine first decodes */
            return event.kind == SLUICE_EVENT_READY ? (int)event.blocks : -1;
        }
    }
}

int main(void) {
    /* L1: your KV memory, as pages of one block each. */
    void* kv = calloc(page_count, page_bytes);
    sluice_region region = {.base = (uintptr_t)kv,
                            .stride = page_bytes,
                            .bytes = page_bytes,
                            .slots = page_count,
                            .layer = -1};
    sluice_group group = {.regions = &region, .n_regions = 1};
    sluice_device* device = NULL;
    sluice_store* store = NULL;
    sluice_pipeline* pipe = NULL;
    sluice_pipeline_options options = SLUICE_PIPELINE_OPTIONS_INIT;
    uint64_t names[blocks] = {1, 2, 3, 4, 5};
    int first, second;

    must(sluice_device_open_host(NULL, &device)); /* the way from L2 to L1 */
    must(sluice_store_open_memory(NULL, &store)); /* L3 */
    options.groups = &group;
    options.n_groups = 1;
    options.block_tokens = block_tokens;
    options.device = device;
    options.store = store;
    must(sluice_pipeline_open(&options, &pipe));

    first = serve(pipe, names, blocks);
    second = serve(pipe, names, blocks);
    printf("loaded %d blocks, then %d\n", first, second);

    must(sluice_pipeline_close(pipe));
    must(sluice_store_close(store));
    must(sluice_device_close(device));
    free(kv);
    return first == 0 && second == blocks ? 0 : 1;
}
