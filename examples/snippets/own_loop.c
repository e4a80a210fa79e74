/* SPDX-License-Identifier: Apache-2.0 */
/* Sluice without a thread: everything happens in sluice_loop_run, on the engine's own thread. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <sluice/sluice.h>

enum { page_bytes = 4096, page_count = 64, blocks = 4 };

static void must(sluice_status status) {
    if (status != SLUICE_OK) {
        fprintf(stderr, "%s: %s\n", sluice_status_name(status), sluice_last_error());
        exit(1);
    }
}

/* Waits as poll(2) does, until at_ns of CLOCK_MONOTONIC at the latest. */
static void wait_until(int fd, uint64_t at_ns) {
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    struct timespec now;
    uint64_t now_ns;
    clock_gettime(CLOCK_MONOTONIC, &now);
    now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    poll(&waiting, 1, at_ns <= now_ns ? 0 : (int)((at_ns - now_ns) / 1000000u) + 1);
}

int main(void) {
    void* kv = calloc(page_count, page_bytes);
    sluice_region region = {.base = (uintptr_t)kv,
                            .stride = page_bytes,
                            .bytes = page_bytes,
                            .slots = page_count,
                            .layer = -1};
    sluice_group group = {.regions = &region, .n_regions = 1};
    sluice_loop* loop = NULL;
    sluice_device* device = NULL;
    sluice_store* store = NULL;
    sluice_pipeline* pipe = NULL;
    sluice_host_device_options device_options = SLUICE_HOST_DEVICE_OPTIONS_INIT;
    sluice_memory_store_options store_options = SLUICE_MEMORY_STORE_OPTIONS_INIT;
    sluice_pipeline_options options = SLUICE_PIPELINE_OPTIONS_INIT;
    sluice_request request = SLUICE_REQUEST_INIT;
    sluice_request_id id = 0;
    uint64_t names[blocks] = {1, 2, 3, 4};
    uint32_t stored = 0;
    int done = 0, fd = -1;

    /* [open] */
    must(sluice_loop_create(NULL, &loop));
    device_options.loop = store_options.loop = options.loop = loop;
    /* [open] */
    must(sluice_device_open_host(&device_options, &device));
    must(sluice_store_open_memory(&store_options, &store));
    options.groups = &group;
    options.n_groups = 1;
    options.device = device;
    options.store = store;
    must(sluice_pipeline_open(&options, &pipe));
    must(sluice_event_fd(pipe, &fd));

    request.keys = names;
    request.key_size = sizeof names[0];
    request.n_keys = blocks;
    request.prompt_tokens = blocks * 16 + 1;
    must(sluice_submit(pipe, &request, &id));
    while (!done) {
        /* [turn] */
        uint64_t next_ns = 0;
        sluice_event event;
        uint32_t n = 0;
        must(sluice_loop_run(loop, &next_ns)); /* does what is due; next_ns: when more is */
        must(sluice_poll(pipe, &event, 1, &n));
        if (n == 0) {
            wait_until(fd, next_ns);
            continue;
        }
        /* [turn] */
        if (event.kind == SLUICE_EVENT_READY) {
            must(sluice_compute_done(pipe, id, 0));
        } else if (event.kind == SLUICE_EVENT_STORED) {
            stored = event.blocks;
            must(sluice_release(pipe, id));
            done = 1;
        } else {
            return 1;
        }
    }
    printf("stored %u blocks without a thread\n", stored);
    must(sluice_pipeline_close(pipe)); /* runs the loop until it is over */
    must(sluice_store_close(store));
    must(sluice_device_close(device));
    must(sluice_loop_close(loop));
    free(kv);
    return stored == blocks ? 0 : 1;
}
