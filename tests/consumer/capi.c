/* SPDX-License-Identifier: Apache-2.0 */
/* sluice::c: puts two blocks into a store and loads them into L1. C11, and C++ by capi.cpp. */
#include <sluice/sluice.h>

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define BLOCKS 2u
#define BLOCK_BYTES 4096u
#define TRY(call)                                                    \
    do {                                                             \
        if ((call) != SLUICE_OK) {                                   \
            fprintf(stderr, "%s: %s\n", #call, sluice_last_error()); \
            return 1;                                                \
        }                                                            \
    } while (0)

static unsigned char l1[BLOCKS + 1][BLOCK_BYTES];
static unsigned char block[BLOCKS][BLOCK_BYTES];
static const uint64_t keys[BLOCKS] = {1, 2};

static int fill(sluice_store* store) {
    void* memory[BLOCKS];
    uint64_t bytes[BLOCKS];
    for (uint32_t i = 0; i < BLOCKS; ++i) {
        memset(block[i], (int)i + 1, BLOCK_BYTES);
        memory[i] = block[i];
        bytes[i] = BLOCK_BYTES;
    }
    sluice_batch batch = SLUICE_BATCH_INIT;
    batch.kind = SLUICE_BATCH_PUT;
    batch.keys = keys;
    batch.key_size = sizeof keys[0];
    batch.n = BLOCKS;
    batch.memory = memory;
    batch.bytes = bytes;
    uint64_t ticket = 0;
    TRY(sluice_store_submit(store, &batch, &ticket));
    sluice_batch_result result;
    TRY(sluice_store_wait(store, ticket, UINT64_MAX, &result));
    return result.succeeded == BLOCKS ? 0 : 1;
}

static int load(sluice_pipeline* pipeline, uint32_t* blocks) {
    sluice_request request = SLUICE_REQUEST_INIT;
    request.keys = keys;
    request.key_size = sizeof keys[0];
    request.n_keys = BLOCKS;
    request.prompt_tokens = 16 * BLOCKS + 1;
    sluice_request_id id = 0;
    TRY(sluice_submit(pipeline, &request, &id));
    int fd = -1;
    TRY(sluice_event_fd(pipeline, &fd));
    for (;;) {
        struct pollfd waiting = {fd, POLLIN, 0};
        poll(&waiting, 1, -1);
        sluice_event event;
        uint32_t n = 0;
        TRY(sluice_poll(pipeline, &event, 1, &n));
        if (n == 0) {
            continue;
        }
        if (event.kind != SLUICE_EVENT_READY) {
            fprintf(stderr, "event %u: %s\n", event.kind, event.text);
            return 1;
        }
        *blocks = event.blocks;
        TRY(sluice_compute_done(pipeline, id, 0));
        TRY(sluice_release(pipeline, id));
        return 0;
    }
}

int main(void) {
    sluice_device* device = NULL;
    sluice_store* store = NULL;
    sluice_pipeline* pipeline = NULL;
    TRY(sluice_device_open_host(NULL, &device));
    TRY(sluice_store_open_memory(NULL, &store));
    if (fill(store) != 0) {
        return 1;
    }
    const sluice_region region = {(uint64_t)(uintptr_t)l1, BLOCK_BYTES, BLOCK_BYTES, BLOCKS + 1,
                                  -1};
    const sluice_group group = {&region, 1, SLUICE_HIT_ALL_BLOCKS, 0, 0};
    sluice_pipeline_options options = SLUICE_PIPELINE_OPTIONS_INIT;
    options.groups = &group;
    options.n_groups = 1;
    options.device = device;
    options.store = store;
    TRY(sluice_pipeline_open(&options, &pipeline));
    uint32_t blocks = 0;
    const int failed = load(pipeline, &blocks);
    TRY(sluice_pipeline_close(pipeline));
    TRY(sluice_store_close(store));
    TRY(sluice_device_close(device));
    printf("sluice %s by C: %u blocks, L1 begins with %d and %d\n", sluice_version(), blocks,
           l1[0][0], l1[1][0]);
    return failed != 0 || blocks != BLOCKS || sluice_api_version() != SLUICE_API_VERSION;
}
