/* SPDX-License-Identifier: Apache-2.0 */
/* A scheduler and two workers that know each other by messages only. Here the messages are buffers;
   in an engine they ride on what its processes send each other anyway. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include <sluice/sluice.h>

enum { ranks = 2, page_bytes = 4096, page_count = 64, blocks = 4, pages = blocks + 1 };

static void must(sluice_status status) {
    if (status != SLUICE_OK) {
        fprintf(stderr, "%s: %s\n", sluice_status_name(status), sluice_last_error());
        exit(1);
    }
}

struct worker {
    void* kv;
    sluice_region region;
    sluice_group group;
    sluice_device* device;
    sluice_store* store;
    sluice_pipeline* pipe;
};

/* [worker] */
static void worker_open(struct worker* w) {
    sluice_pipeline_options options = SLUICE_PIPELINE_OPTIONS_INIT;
    options.flags = SLUICE_PIPELINE_ENGINE_OWNS_L1;
    options.policy = "external"; /* the planner ranks */
    options.groups = &w->group;
    options.n_groups = 1;
    options.device = w->device;
    options.store = w->store;
    must(sluice_pipeline_open(&options, &w->pipe));
}

/* A step of a worker: the plan comes in, the report goes out. */
static uint64_t worker_step(struct worker* w, uint32_t rank, const void* plan, uint64_t plan_bytes,
                            void* report, uint64_t capacity) {
    uint64_t report_bytes = 0;
    if (plan_bytes > 0) { /* the suffix: this rank's blocks have names of their own */
        must(sluice_plan_import(w->pipe, plan, plan_bytes, &rank, sizeof rank));
    }
    must(sluice_worker_report_export(w->pipe, rank, report, capacity, &report_bytes));
    return report_bytes;
}
/* [worker] */

/* [scheduler] */
static sluice_pipeline* planner_open(void) {
    sluice_pipeline* planner = NULL;
    sluice_planner_options options = SLUICE_PLANNER_OPTIONS_INIT;
    options.workers = ranks;
    options.n_groups = 1;
    options.pages = page_count;
    options.block_bytes = page_bytes;
    options.policy = "sjf";
    must(sluice_planner_open(&options, &planner));
    return planner;
}

/* A step of the scheduler: what it has decided goes to all workers, what they did comes back. */
static void step(sluice_pipeline* planner, struct worker* workers) {
    static char plan[1 << 16], report[ranks][1 << 16], merged[1 << 16];
    const void* reports[ranks];
    uint64_t plan_bytes = 0, merged_bytes = 0, report_bytes[ranks];
    uint32_t n = 0;
    must(sluice_plan_export(planner, plan, sizeof plan, &plan_bytes));
    for (uint32_t rank = 0; rank < ranks; ++rank) { /* in an engine: in other processes */
        const uint64_t bytes =
            worker_step(&workers[rank], rank, plan, plan_bytes, report[rank], sizeof report[rank]);
        if (bytes > 0) {
            reports[n] = report[rank];
            report_bytes[n++] = bytes;
        }
    }
    if (n > 0) {
        must(sluice_report_merge(reports, report_bytes, n, merged, sizeof merged, &merged_bytes));
        must(sluice_report_import(planner, merged, merged_bytes));
    }
}
/* [scheduler] */

/* Serves one prompt. Returns how many blocks were loaded at all ranks, -1 if it failed. */
static int serve(sluice_pipeline* planner, struct worker* workers) {
    const uint64_t names[blocks] = {1, 2, 3, 4};
    int loaded = -1;
    sluice_request_id id = 0;
    sluice_request request = SLUICE_REQUEST_INIT;
    request.keys = names;
    request.key_size = sizeof names[0];
    request.n_keys = blocks;
    request.prompt_tokens = blocks * 16 + 1;
    must(sluice_submit(planner, &request, &id));
    for (;;) {
        sluice_event event;
        uint32_t n = 0;
        step(planner, workers);
        must(sluice_poll(planner, &event, 1, &n));
        if (n == 0) { /* until a worker has something to tell; an engine would compute */
            struct pollfd waiting[ranks];
            for (uint32_t rank = 0; rank < ranks; ++rank) {
                waiting[rank].events = POLLIN;
                must(sluice_event_fd(workers[rank].pipe, &waiting[rank].fd));
            }
            poll(waiting, ranks, 1000);
            continue;
        }
        switch (event.kind) {
        case SLUICE_EVENT_WANT_PAGES: {
            uint32_t own[pages] = {0, 1, 2, 3, 4}; /* the same numbers at every rank */
            must(sluice_bind(planner, id, own, pages));
            break;
        }
        case SLUICE_EVENT_READY:
            loaded = (int)event.blocks; /* the smallest over the ranks */
            must(sluice_compute_done(planner, id, 0));
            break;
        case SLUICE_EVENT_STORED:
            must(sluice_release(planner, id));
            step(planner, workers); /* the workers let go of it too */
            return loaded;
        default: return -1;
        }
    }
}

int main(void) {
    struct worker workers[ranks];
    sluice_pipeline* planner = planner_open();
    int first, second;
    for (uint32_t rank = 0; rank < ranks; ++rank) {
        struct worker* w = &workers[rank];
        w->kv = calloc(page_count, page_bytes);
        w->region.base = (uintptr_t)w->kv;
        w->region.stride = w->region.bytes = page_bytes;
        w->region.slots = page_count;
        w->region.layer = -1;
        w->group = (sluice_group){.regions = &w->region, .n_regions = 1};
        must(sluice_device_open_host(NULL, &w->device));
        must(sluice_store_open_memory(NULL, &w->store));
        worker_open(w);
    }
    first = serve(planner, workers);
    second = serve(planner, workers);
    printf("loaded %d blocks at %d ranks, then %d\n", first, ranks, second);
    must(sluice_pipeline_close(planner));
    for (uint32_t rank = 0; rank < ranks; ++rank) {
        must(sluice_pipeline_close(workers[rank].pipe));
        must(sluice_store_close(workers[rank].store));
        must(sluice_device_close(workers[rank].device));
        free(workers[rank].kv);
    }
    return first == 0 && second == blocks ? 0 : 1;
}
