/* SPDX-License-Identifier: Apache-2.0 */
/* An engine that reports applications: runs of units, of which its requests are parts. A class is
   learned from the runs that end; then two runs wait, and their requests are put into the order
   that serves both soonest. */
#include <stdio.h>
#include <stdlib.h>

#include <sluice/sluice.h>

enum { page_bytes = 4096, page_count = 64, lessons = 12 };

static void must(sluice_status status) {
    if (status != SLUICE_OK) {
        fprintf(stderr, "%s: %s\n", sluice_status_name(status), sluice_last_error());
        exit(1);
    }
}

/* [unit] */
/* A unit of one call: what an engine knows when it begins, and when it has ended. */
static void begin_unit(sluice_pipeline* pipe, sluice_app_id app, const char* name,
                       uint64_t prompt_tokens) {
    sluice_unit unit = SLUICE_UNIT_INIT;
    unit.unit = name;
    unit.prompt_tokens = prompt_tokens;
    must(sluice_unit_begin(pipe, app, &unit));
}

static void end_unit(sluice_pipeline* pipe, sluice_app_id app, uint64_t completion_tokens) {
    sluice_unit_result result = SLUICE_UNIT_RESULT_INIT;
    result.completion_tokens = completion_tokens;
    must(sluice_unit_end(pipe, app, &result));
}
/* [unit] */

/* [begin] */
static sluice_app_id begin_app(sluice_pipeline* pipe, const char* application) {
    sluice_app spec = SLUICE_APP_INIT;
    sluice_app_id app = 0;
    spec.application = application;
    must(sluice_app_begin(pipe, &spec, &app));
    return app;
}
/* [begin] */

/* Runs of two units as they were served before: "report" writes much, "answer" little. */
static void serve_before(sluice_pipeline* pipe, const char* application, uint64_t tokens) {
    for (uint64_t i = 0; i < lessons; ++i) {
        const sluice_app_id app = begin_app(pipe, application);
        begin_unit(pipe, app, "plan", 200);
        end_unit(pipe, app, 20);
        begin_unit(pipe, app, "write", 400);
        end_unit(pipe, app, tokens + i);
        must(sluice_app_end(pipe, app, 0));
    }
}

/* [submit] */
static sluice_request_id submit(sluice_pipeline* pipe, sluice_app_id app, uint64_t user) {
    sluice_request request = SLUICE_REQUEST_INIT;
    sluice_request_id id = 0;
    request.prompt_tokens = 200;
    request.user = user;
    request.app = app;
    must(sluice_submit(pipe, &request, &id));
    return id;
}
/* [submit] */

static void run(sluice_loop* loop) {
    uint64_t next = 0;
    must(sluice_loop_run(loop, &next));
}

/* Sorts the engine's queue and says whose requests it has now. */
static void sort(sluice_pipeline* pipe, const char* when, const char* names,
                 const sluice_request_id* submitted, sluice_request_id* queue, char* order) {
    /* [sort] */
    must(sluice_sort(pipe, queue, 3));
    /* [sort] */
    for (int i = 0; i < 3; ++i) {
        order[i] = '?';
        for (int n = 0; n < 3; ++n) {
            order[i] = queue[i] == submitted[n] ? names[n] : order[i];
        }
    }
    order[3] = '\0';
    printf("%s: %s\n", when, order);
}

static void expect(const char* order, const char* expected) {
    for (int i = 0; i < 4; ++i) {
        if (order[i] != expected[i]) {
            fprintf(stderr, "the order is %s, not %s\n", order, expected);
            exit(1);
        }
    }
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
    sluice_pipeline* pipe = NULL;
    sluice_host_device_options device_options = SLUICE_HOST_DEVICE_OPTIONS_INIT;
    sluice_pipeline_options options = SLUICE_PIPELINE_OPTIONS_INIT;
    sluice_request_id submitted[3], queue[3];
    sluice_app_id report, answer;
    char order[4];
    double rank = 0;

    must(sluice_loop_create(NULL, &loop));
    device_options.loop = options.loop = loop;
    must(sluice_device_open_host(&device_options, &device));
    options.groups = &group;
    options.n_groups = 1;
    options.device = device;
    /* [open] */
    options.policy = "gittins";
    must(sluice_pipeline_open(&options, &pipe));
    /* [open] */

    serve_before(pipe, "report", 2000);
    serve_before(pipe, "answer", 60);
    run(loop);

    /* Two runs, the long one first: by arrival its requests would go first. */
    report = begin_app(pipe, "report");
    answer = begin_app(pipe, "answer");
    begin_unit(pipe, report, "plan", 200);
    begin_unit(pipe, answer, "plan", 200);
    submitted[0] = queue[0] = submit(pipe, report, 1);
    submitted[1] = queue[1] = submit(pipe, report, 2);
    submitted[2] = queue[2] = submit(pipe, answer, 3);
    run(loop);
    sort(pipe, "at first", "RrA", submitted, queue, order);
    expect(order, "ARr");

    /* The report has planned, and has written nearly all that a report takes. */
    end_unit(pipe, report, 20);
    begin_unit(pipe, report, "write", 400);
    run(loop);
    /* [progress] */
    must(sluice_unit_progress(pipe, report, 400, 0, 2003));
    /* [progress] */
    run(loop);
    sort(pipe, "later", "RrA", submitted, queue, order);
    expect(order, "RrA");

    /* A queue of the engine's own, for a tool say, goes by the same order. */
    /* [rank] */
    must(sluice_app_rank(pipe, report, &rank, NULL));
    /* [rank] */
    printf("what is left of the report: %.1f s of service\n", rank);

    must(sluice_app_end(pipe, report, SLUICE_APP_INCOMPLETE));
    must(sluice_app_end(pipe, answer, SLUICE_APP_INCOMPLETE));
    must(sluice_pipeline_close(pipe));
    must(sluice_device_close(device));
    must(sluice_loop_close(loop));
    free(kv);
    return 0;
}
