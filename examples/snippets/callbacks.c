/* SPDX-License-Identifier: Apache-2.0 */
/* What an engine in C can put in place of the library's parts: an order, a store, and compute. */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sluice/sluice.h>

enum { page_bytes = 256, page_count = 64, known = 32 };

static void must(sluice_status status) {
    if (status != SLUICE_OK) {
        fprintf(stderr, "%s: %s\n", sluice_status_name(status), sluice_last_error());
        exit(1);
    }
}

/* [policy] */
/* Short prompts first; among them what waits longest. */
static double short_first(void* user, const sluice_request_view* r, uint32_t stage,
                          uint64_t now_ns) {
    (void)user, (void)stage, (void)now_ns;
    return (double)r->prompt_tokens;
}
/* [policy] */

/* [store] */
/* A store that keeps a few blocks in an array. Each operation ends by one sluice_complete: here at
   once; a store that waits for a network calls it later, on any thread. */
struct shelf {
    pthread_mutex_t mutex; /* several threads of the library's may call at once */
    uint64_t names[known];
    unsigned char blocks[known][page_bytes];
    uint32_t n;
};

static int find(const struct shelf* shelf, const void* key) {
    for (uint32_t i = 0; i < shelf->n; ++i) {
        if (memcmp(&shelf->names[i], key, sizeof shelf->names[i]) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static void shelf_lookup(void* user, const sluice_keys* lookup) {
    struct shelf* shelf = user;
    pthread_mutex_lock(&shelf->mutex);
    for (uint32_t i = 0; i < lookup->n; ++i) {
        const char* key = (const char*)lookup->keys + (size_t)i * SLUICE_KEY_STRIDE;
        lookup->present[i] = find(shelf, key) >= 0;
    }
    pthread_mutex_unlock(&shelf->mutex);
    sluice_complete(lookup->op, SLUICE_OK);
}

static void shelf_get(void* user, const sluice_transfer* transfers, uint32_t n) {
    struct shelf* shelf = user;
    for (uint32_t i = 0; i < n; ++i) {
        pthread_mutex_lock(&shelf->mutex);
        const int at = find(shelf, transfers[i].key);
        if (at >= 0) {
            memcpy(transfers[i].memory, shelf->blocks[at], transfers[i].bytes);
        }
        pthread_mutex_unlock(&shelf->mutex);
        sluice_complete(transfers[i].op, at >= 0 ? SLUICE_OK : SLUICE_E_NOT_FOUND);
    }
}

static void shelf_put(void* user, const sluice_transfer* transfers, uint32_t n) {
    struct shelf* shelf = user;
    for (uint32_t i = 0; i < n; ++i) {
        sluice_status status = SLUICE_OK; /* what is there already is left as it is */
        pthread_mutex_lock(&shelf->mutex);
        if (find(shelf, transfers[i].key) < 0) {
            if (shelf->n == known) {
                status = SLUICE_E_RESOURCE_EXHAUSTED;
            } else {
                memcpy(&shelf->names[shelf->n], transfers[i].key, sizeof shelf->names[0]);
                memcpy(shelf->blocks[shelf->n++], transfers[i].memory, transfers[i].bytes);
            }
        }
        pthread_mutex_unlock(&shelf->mutex);
        sluice_complete(transfers[i].op, status);
    }
}
/* [store] */

/* [compute] */
static sluice_status prefill(void* user, const sluice_compute_job* job) {
    uint64_t* computed = user;
    *computed += job->query_tokens; /* into job->pages; on a thread of the pipeline's, may block */
    return SLUICE_OK;
}
/* [compute] */

int main(void) {
    void* kv = calloc(page_count, page_bytes);
    sluice_region region = {.base = (uintptr_t)kv,
                            .stride = page_bytes,
                            .bytes = page_bytes,
                            .slots = page_count,
                            .layer = -1};
    sluice_group group = {.regions = &region, .n_regions = 1};
    static struct shelf shelf = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    uint64_t computed = 0;
    sluice_device* device = NULL;
    sluice_store* store = NULL;
    sluice_pipeline* pipe = NULL;
    uint64_t names[4] = {11, 12, 13, 14};
    uint32_t stored = 0;
    int outcomes = 0, turn = 0;
    sluice_pipeline_options options = SLUICE_PIPELINE_OPTIONS_INIT;

    /* [open] */
    sluice_store_driver driver = SLUICE_STORE_DRIVER_INIT;
    driver.user = &shelf;
    driver.lookup = shelf_lookup;
    driver.get = shelf_get;
    driver.put = shelf_put;
    must(sluice_store_open(&driver, &store));

    sluice_policy policy = SLUICE_POLICY_INIT;
    policy.rank = short_first;
    options.custom_policy = &policy;

    sluice_compute compute = SLUICE_COMPUTE_INIT;
    compute.user = &computed;
    compute.run = prefill;
    options.compute = &compute;
    /* [open] */

    must(sluice_device_open_host(NULL, &device));
    options.groups = &group;
    options.n_groups = 1;
    options.device = device;
    options.store = store;
    must(sluice_pipeline_open(&options, &pipe));

    for (turn = 0; turn < 2; ++turn) {
        sluice_request request = SLUICE_REQUEST_INIT;
        sluice_request_id id = 0;
        struct pollfd waiting = {.events = POLLIN};
        request.keys = names;
        request.key_size = sizeof names[0];
        request.n_keys = 4;
        request.prompt_tokens = 4 * 16 + 1;
        must(sluice_submit(pipe, &request, &id));
        must(sluice_event_fd(pipe, &waiting.fd));
        while (outcomes == turn || stored < 4) {
            sluice_event event;
            uint32_t n = 0;
            poll(&waiting, 1, -1);
            must(sluice_poll(pipe, &event, 1, &n));
            if (n == 1 && event.kind == SLUICE_EVENT_COMPUTED) {
                must(sluice_release(pipe, event.request));
                ++outcomes;
            } else if (n == 1 && event.kind == SLUICE_EVENT_STORED) {
                stored += event.blocks;
            } else if (n == 1 && event.kind == SLUICE_EVENT_FAILED) {
                fprintf(stderr, "%s\n", event.text);
                return 1;
            }
        }
    }
    printf("computed %u tokens\n", (unsigned)computed);
    must(sluice_pipeline_close(pipe));
    must(sluice_store_close(store));
    must(sluice_device_close(device));
    free(kv);
    return computed == 65 + 1 && shelf.n == 4 ? 0 : 1;
}
