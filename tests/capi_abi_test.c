/* SPDX-License-Identifier: Apache-2.0 */
/* Pins the binary interface: a change here breaks programs that were built before. Members are only
   added at the end of a struct that begins with its size, and codes only appended. C11. */
#include <sluice/sluice.h>

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define SIZE(type, size) _Static_assert(sizeof(type) == (size), #type)
#define AT(type, member, offset) \
    _Static_assert(offsetof(type, member) == (offset), #type "." #member)
#define IS(name, value) _Static_assert((name) == (value), #name)

SIZE(sluice_clock, 24);
AT(sluice_clock, struct_size, 0);
AT(sluice_clock, flags, 4);
AT(sluice_clock, user, 8);
AT(sluice_clock, now, 16);

SIZE(sluice_region, 32);
AT(sluice_region, base, 0);
AT(sluice_region, stride, 8);
AT(sluice_region, bytes, 16);
AT(sluice_region, slots, 24);
AT(sluice_region, layer, 28);

SIZE(sluice_group, 24);
AT(sluice_group, regions, 0);
AT(sluice_group, n_regions, 8);
AT(sluice_group, hit_rule, 12);
AT(sluice_group, last_n, 16);
AT(sluice_group, reserved, 20);

SIZE(sluice_host_device_options, 24);
AT(sluice_host_device_options, struct_size, 0);
AT(sluice_host_device_options, flags, 4);
AT(sluice_host_device_options, loop, 8);
AT(sluice_host_device_options, bytes_per_second, 16);

SIZE(sluice_copy, 32);
AT(sluice_copy, op, 0);
AT(sluice_copy, host, 8);
AT(sluice_copy, group, 16);
AT(sluice_copy, slot, 24);
AT(sluice_copy, reserved, 28);

SIZE(sluice_device_driver, 56);
AT(sluice_device_driver, struct_size, 0);
AT(sluice_device_driver, flags, 4);
AT(sluice_device_driver, user, 8);
AT(sluice_device_driver, allocate_pinned, 16);
AT(sluice_device_driver, free_pinned, 24);
AT(sluice_device_driver, register_layout, 32);
AT(sluice_device_driver, copy_in, 40);
AT(sluice_device_driver, copy_out, 48);

SIZE(sluice_memory_store_options, 40);
AT(sluice_memory_store_options, struct_size, 0);
AT(sluice_memory_store_options, flags, 4);
AT(sluice_memory_store_options, loop, 8);
AT(sluice_memory_store_options, capacity, 16);
AT(sluice_memory_store_options, bytes_per_second, 24);
AT(sluice_memory_store_options, latency_ns, 32);

SIZE(sluice_fabric_store_options, 64);
AT(sluice_fabric_store_options, struct_size, 0);
AT(sluice_fabric_store_options, flags, 4);
AT(sluice_fabric_store_options, nodes, 8);
AT(sluice_fabric_store_options, secret_file, 16);
AT(sluice_fabric_store_options, secret, 24);
AT(sluice_fabric_store_options, provider, 32);
AT(sluice_fabric_store_options, replicas, 40);
AT(sluice_fabric_store_options, connections, 44);
AT(sluice_fabric_store_options, soft_timeout_ns, 48);
AT(sluice_fabric_store_options, bytes_per_second, 56);

SIZE(sluice_transfer, 40);
AT(sluice_transfer, op, 0);
AT(sluice_transfer, key, 8);
AT(sluice_transfer, key_size, 16);
AT(sluice_transfer, reserved, 20);
AT(sluice_transfer, memory, 24);
AT(sluice_transfer, bytes, 32);

SIZE(sluice_keys, 40);
AT(sluice_keys, op, 0);
AT(sluice_keys, keys, 8);
AT(sluice_keys, sizes, 16);
AT(sluice_keys, present, 24);
AT(sluice_keys, n, 32);
AT(sluice_keys, reserved, 36);

SIZE(sluice_store_driver, 72);
AT(sluice_store_driver, struct_size, 0);
AT(sluice_store_driver, flags, 4);
AT(sluice_store_driver, user, 8);
AT(sluice_store_driver, register_memory, 16);
AT(sluice_store_driver, unregister_memory, 24);
AT(sluice_store_driver, lookup, 32);
AT(sluice_store_driver, get, 40);
AT(sluice_store_driver, put, 48);
AT(sluice_store_driver, remove, 56);
AT(sluice_store_driver, abort, 64);

SIZE(sluice_batch, 64);
AT(sluice_batch, struct_size, 0);
AT(sluice_batch, kind, 4);
AT(sluice_batch, keys, 8);
AT(sluice_batch, key_size, 16);
AT(sluice_batch, n, 20);
AT(sluice_batch, memory, 24);
AT(sluice_batch, bytes, 32);
AT(sluice_batch, results, 40);
AT(sluice_batch, rank, 48);
AT(sluice_batch, user, 56);

SIZE(sluice_batch_result, 32);
AT(sluice_batch_result, ticket, 0);
AT(sluice_batch_result, user, 8);
AT(sluice_batch_result, kind, 16);
AT(sluice_batch_result, status, 20);
AT(sluice_batch_result, succeeded, 24);
AT(sluice_batch_result, leading, 28);

SIZE(sluice_request_view, 168);
AT(sluice_request_view, struct_size, 0);
AT(sluice_request_view, priority, 4);
AT(sluice_request_view, request, 8);
AT(sluice_request_view, user, 16);
AT(sluice_request_view, arrival_ns, 24);
AT(sluice_request_view, deadline_ns, 32);
AT(sluice_request_view, tenant, 40);
AT(sluice_request_view, admitted, 44);
AT(sluice_request_view, tenant_weight, 48);
AT(sluice_request_view, rank, 56);
AT(sluice_request_view, prompt_tokens, 64);
AT(sluice_request_view, load_tokens, 72);
AT(sluice_request_view, predicted_fetch_s, 80);
AT(sluice_request_view, predicted_copy_s, 88);
AT(sluice_request_view, predicted_compute_s, 96);
AT(sluice_request_view, remaining_fetch_s, 104);
AT(sluice_request_view, remaining_copy_s, 112);
AT(sluice_request_view, remaining_compute_s, 120);
AT(sluice_request_view, attained_fetch_s, 128);
AT(sluice_request_view, attained_copy_s, 136);
AT(sluice_request_view, attained_compute_s, 144);
AT(sluice_request_view, app, 152);
AT(sluice_request_view, prewarm, 160);
AT(sluice_request_view, reserved, 164);

SIZE(sluice_policy, 64);
AT(sluice_policy, struct_size, 0);
AT(sluice_policy, flags, 4);
AT(sluice_policy, user, 8);
AT(sluice_policy, rank, 16);
AT(sluice_policy, next_change, 24);
AT(sluice_policy, submitted, 32);
AT(sluice_policy, served, 40);
AT(sluice_policy, done, 48);
AT(sluice_policy, interval_ns, 56);

SIZE(sluice_demand, 32);
AT(sluice_demand, bytes, 0);
AT(sluice_demand, descriptors, 8);
AT(sluice_demand, query_tokens, 16);
AT(sluice_demand, context_tokens, 24);

SIZE(sluice_cost_model, 40);
AT(sluice_cost_model, struct_size, 0);
AT(sluice_cost_model, flags, 4);
AT(sluice_cost_model, user, 8);
AT(sluice_cost_model, predict, 16);
AT(sluice_cost_model, observe, 24);
AT(sluice_cost_model, generation, 32);

SIZE(sluice_compute_job, 64);
AT(sluice_compute_job, struct_size, 0);
AT(sluice_compute_job, loaded_blocks, 4);
AT(sluice_compute_job, op, 8);
AT(sluice_compute_job, request, 16);
AT(sluice_compute_job, user, 24);
AT(sluice_compute_job, context_tokens, 32);
AT(sluice_compute_job, query_tokens, 40);
AT(sluice_compute_job, pages, 48);
AT(sluice_compute_job, pages_per_group, 56);
AT(sluice_compute_job, reserved, 60);

SIZE(sluice_compute, 24);
AT(sluice_compute, struct_size, 0);
AT(sluice_compute, flags, 4);
AT(sluice_compute, user, 8);
AT(sluice_compute, run, 16);

SIZE(sluice_pipeline_options, 192);
AT(sluice_pipeline_options, struct_size, 0);
AT(sluice_pipeline_options, flags, 4);
AT(sluice_pipeline_options, groups, 8);
AT(sluice_pipeline_options, n_groups, 16);
AT(sluice_pipeline_options, block_tokens, 20);
AT(sluice_pipeline_options, device, 24);
AT(sluice_pipeline_options, store, 32);
AT(sluice_pipeline_options, loop, 40);
AT(sluice_pipeline_options, policy, 48);
AT(sluice_pipeline_options, custom_policy, 56);
AT(sluice_pipeline_options, cost, 64);
AT(sluice_pipeline_options, custom_cost, 72);
AT(sluice_pipeline_options, compute, 80);
AT(sluice_pipeline_options, l2_bytes, 88);
AT(sluice_pipeline_options, max_requests, 96);
AT(sluice_pipeline_options, concurrent_computes, 100);
AT(sluice_pipeline_options, reservation, 104);
AT(sluice_pipeline_options, fetch_operations, 108);
AT(sluice_pipeline_options, fetch_bytes, 112);
AT(sluice_pipeline_options, copy_operations, 120);
AT(sluice_pipeline_options, write_back_operations, 124);
AT(sluice_pipeline_options, copy_bytes, 128);
AT(sluice_pipeline_options, write_back_bytes, 136);
AT(sluice_pipeline_options, write_back_share, 144);
AT(sluice_pipeline_options, quarantine_share, 152);
AT(sluice_pipeline_options, fetch_soft_timeout_ns, 160);
AT(sluice_pipeline_options, fetch_hard_timeout_ns, 168);
AT(sluice_pipeline_options, load_timeout_ns, 176);
AT(sluice_pipeline_options, apps, 184);

SIZE(sluice_request, 112);
AT(sluice_request, struct_size, 0);
AT(sluice_request, flags, 4);
AT(sluice_request, keys, 8);
AT(sluice_request, key_size, 16);
AT(sluice_request, n_keys, 20);
AT(sluice_request, prompt_tokens, 24);
AT(sluice_request, user, 32);
AT(sluice_request, pages, 40);
AT(sluice_request, resident_blocks, 44);
AT(sluice_request, max_load_blocks, 48);
AT(sluice_request, min_query_tokens, 52);
AT(sluice_request, priority, 56);
AT(sluice_request, tenant, 60);
AT(sluice_request, tenant_weight, 64);
AT(sluice_request, rank, 72);
AT(sluice_request, arrival_ns, 80);
AT(sluice_request, deadline_ns, 88);
AT(sluice_request, load_timeout_ns, 96);
AT(sluice_request, app, 104);

SIZE(sluice_progress, 48);
AT(sluice_progress, struct_size, 0);
AT(sluice_progress, looked_up, 4);
AT(sluice_progress, hit_blocks, 8);
AT(sluice_progress, planned_blocks, 12);
AT(sluice_progress, fetching_blocks, 16);
AT(sluice_progress, loading_blocks, 20);
AT(sluice_progress, predicted_fetch_s, 24);
AT(sluice_progress, predicted_copy_s, 32);
AT(sluice_progress, predicted_compute_s, 40);

SIZE(sluice_event, 40);
AT(sluice_event, request, 0);
AT(sluice_event, user, 8);
AT(sluice_event, kind, 16);
AT(sluice_event, flags, 20);
AT(sluice_event, blocks, 24);
AT(sluice_event, status, 28);
AT(sluice_event, text, 32);

SIZE(sluice_report, 152);
AT(sluice_report, struct_size, 0);
AT(sluice_report, hit_blocks, 4);
AT(sluice_report, planned_blocks, 8);
AT(sluice_report, loaded_blocks, 12);
AT(sluice_report, arrival_ns, 16);
AT(sluice_report, looked_up_ns, 24);
AT(sluice_report, first_fetch_ns, 32);
AT(sluice_report, fetched_ns, 40);
AT(sluice_report, granted_ns, 48);
AT(sluice_report, first_copy_ns, 56);
AT(sluice_report, loaded_ns, 64);
AT(sluice_report, compute_begin_ns, 72);
AT(sluice_report, first_token_ns, 80);
AT(sluice_report, predicted_fetch_s, 88);
AT(sluice_report, predicted_copy_s, 96);
AT(sluice_report, predicted_compute_s, 104);
AT(sluice_report, attained_fetch_s, 112);
AT(sluice_report, attained_copy_s, 120);
AT(sluice_report, attained_compute_s, 128);
AT(sluice_report, bytes_fetched, 136);
AT(sluice_report, bytes_deduplicated, 144);

SIZE(sluice_stats, 264);
AT(sluice_stats, struct_size, 0);
AT(sluice_stats, live_requests, 4);
AT(sluice_stats, submitted, 8);
AT(sluice_stats, outcomes, 16);
AT(sluice_stats, fetched_bytes, 24);
AT(sluice_stats, copied_bytes, 32);
AT(sluice_stats, copied_out_bytes, 40);
AT(sluice_stats, put_bytes, 48);
AT(sluice_stats, fetch_busy_ns, 56);
AT(sluice_stats, copy_busy_ns, 64);
AT(sluice_stats, compute_busy_ns, 72);
AT(sluice_stats, bytes_deduplicated, 80);
AT(sluice_stats, l1_hits, 88);
AT(sluice_stats, l2_hits, 96);
AT(sluice_stats, blocks_missed, 104);
AT(sluice_stats, blocks_corrupt, 112);
AT(sluice_stats, blocks_failed, 120);
AT(sluice_stats, soft_timeouts, 128);
AT(sluice_stats, hard_timeouts, 136);
AT(sluice_stats, stored_blocks, 144);
AT(sluice_stats, store_drops, 152);
AT(sluice_stats, policy_faults, 160);
AT(sluice_stats, cost_faults, 168);
AT(sluice_stats, l2_slots, 176);
AT(sluice_stats, l2_free, 180);
AT(sluice_stats, l2_cold, 184);
AT(sluice_stats, l2_quarantined, 188);
AT(sluice_stats, store_dead, 192);
AT(sluice_stats, reserved, 196);
AT(sluice_stats, fetch_error, 200);
AT(sluice_stats, copy_error, 208);
AT(sluice_stats, compute_error, 216);
AT(sluice_stats, prewarm_requests, 224);
AT(sluice_stats, prewarmed_blocks, 232);
AT(sluice_stats, apps_begun, 240);
AT(sluice_stats, apps_ended, 248);
AT(sluice_stats, app_events_refused, 256);

SIZE(sluice_planner_options, 88);
AT(sluice_planner_options, struct_size, 0);
AT(sluice_planner_options, flags, 4);
AT(sluice_planner_options, workers, 8);
AT(sluice_planner_options, n_groups, 12);
AT(sluice_planner_options, block_tokens, 16);
AT(sluice_planner_options, max_requests, 20);
AT(sluice_planner_options, pages, 24);
AT(sluice_planner_options, block_pieces, 28);
AT(sluice_planner_options, block_bytes, 32);
AT(sluice_planner_options, policy, 40);
AT(sluice_planner_options, custom_policy, 48);
AT(sluice_planner_options, cost, 56);
AT(sluice_planner_options, custom_cost, 64);
AT(sluice_planner_options, clock, 72);
AT(sluice_planner_options, apps, 80);

SIZE(sluice_app_options, 48);
AT(sluice_app_options, struct_size, 0);
AT(sluice_app_options, flags, 4);
AT(sluice_app_options, prefill_s, 8);
AT(sluice_app_options, decode_s, 16);
AT(sluice_app_options, load_s, 24);
AT(sluice_app_options, interval_ns, 32);
AT(sluice_app_options, max_apps, 40);
AT(sluice_app_options, reserved, 44);

SIZE(sluice_app, 56);
AT(sluice_app, struct_size, 0);
AT(sluice_app, flags, 4);
AT(sluice_app, application, 8);
AT(sluice_app, user, 16);
AT(sluice_app, arrival_ns, 24);
AT(sluice_app, deadline_ns, 32);
AT(sluice_app, tenant_weight, 40);
AT(sluice_app, tenant, 48);
AT(sluice_app, reserved, 52);

SIZE(sluice_unit, 48);
AT(sluice_unit, struct_size, 0);
AT(sluice_unit, calls, 4);
AT(sluice_unit, unit, 8);
AT(sluice_unit, backend, 16);
AT(sluice_unit, prompt_tokens, 24);
AT(sluice_unit, cached_tokens, 32);
AT(sluice_unit, time_ns, 40);

SIZE(sluice_unit_result, 64);
AT(sluice_unit_result, struct_size, 0);
AT(sluice_unit_result, flags, 4);
AT(sluice_unit_result, prompt_tokens, 8);
AT(sluice_unit_result, cached_tokens, 16);
AT(sluice_unit_result, completion_tokens, 24);
AT(sluice_unit_result, max_prompt_tokens, 32);
AT(sluice_unit_result, max_completion_tokens, 40);
AT(sluice_unit_result, seconds, 48);
AT(sluice_unit_result, time_ns, 56);

IS(SLUICE_OK, 0);
IS(SLUICE_PENDING, 1);
IS(SLUICE_E_INVALID_ARGUMENT, -1);
IS(SLUICE_E_NOT_FOUND, -2);
IS(SLUICE_E_FAILED_PRECONDITION, -3);
IS(SLUICE_E_OUT_OF_RANGE, -4);
IS(SLUICE_E_RESOURCE_EXHAUSTED, -5);
IS(SLUICE_E_UNSUPPORTED, -6);
IS(SLUICE_E_CANCELLED, -7);
IS(SLUICE_E_DEADLINE_EXCEEDED, -8);
IS(SLUICE_E_UNAVAILABLE, -9);
IS(SLUICE_E_DATA_LOSS, -10);
IS(SLUICE_E_ALREADY_EXISTS, -11);
IS(SLUICE_E_PERMISSION_DENIED, -12);
IS(SLUICE_E_INTERNAL, -13);
IS(SLUICE_E_TRUNCATED, -14);
IS(SLUICE_STAGE_LOOKUP, 0);
IS(SLUICE_STAGE_FETCH, 1);
IS(SLUICE_STAGE_COPY, 2);
IS(SLUICE_STAGE_COMPUTE, 3);
IS(SLUICE_STAGE_COPY_OUT, 4);
IS(SLUICE_STAGE_PUT, 5);
IS(SLUICE_HIT_ALL_BLOCKS, 0);
IS(SLUICE_HIT_LAST_N, 1);
IS(SLUICE_STORE_EVICT, 1);
IS(SLUICE_STORE_NO_CHECKSUMS, 2);
IS(SLUICE_KEY_STRIDE, 32);
IS(SLUICE_BATCH_GET, 0);
IS(SLUICE_BATCH_PUT, 1);
IS(SLUICE_BATCH_EXISTS, 2);
IS(SLUICE_BATCH_REMOVE, 3);
IS(SLUICE_POLICY_RANKS_BY_SERVICE, 1);
IS(SLUICE_PIPELINE_ENGINE_OWNS_L1, 1);
IS(SLUICE_PIPELINE_SPLIT_LOADS, 2);
IS(SLUICE_PIPELINE_FAIL_ON_LOSS, 4);
IS(SLUICE_RESERVE_PROACTIVE, 0);
IS(SLUICE_RESERVE_JUST_IN_TIME, 1);
IS(SLUICE_RESERVE_LATE, 2);
IS(SLUICE_REQUEST_NO_WRITE_BACK, 1);
IS(SLUICE_REQUEST_TELL_LOOKUP, 2);
IS(SLUICE_REQUEST_PREWARM, 4);
IS(SLUICE_APPS_NO_LEARNING, 1);
IS(SLUICE_APP_INCOMPLETE, 1);
IS(SLUICE_EVENT_WANT_PAGES, 0);
IS(SLUICE_EVENT_LOADED, 1);
IS(SLUICE_EVENT_READY, 2);
IS(SLUICE_EVENT_DETACHED, 3);
IS(SLUICE_EVENT_COMPUTED, 4);
IS(SLUICE_EVENT_CANCELLED, 5);
IS(SLUICE_EVENT_FAILED, 6);
IS(SLUICE_EVENT_QUIESCED, 7);
IS(SLUICE_EVENT_STORED, 8);
IS(SLUICE_EVENT_LOOKED_UP, 9);
IS(SLUICE_EVENT_BUSY, 1);

/* The _INIT macros set the size and nothing else. */
static int only_size(const void* object, size_t size) {
    const unsigned char* bytes = object;
    uint32_t first = 0;
    memcpy(&first, object, sizeof first);
    for (size_t i = sizeof first; i < size; ++i) {
        if (bytes[i] != 0) {
            return 0;
        }
    }
    return first == size;
}

#define CHECK_INIT(type, init)                                  \
    do {                                                        \
        type made = init;                                       \
        if (!only_size(&made, sizeof made)) {                   \
            printf("%s is not zero but for its size\n", #init); \
            bad = 1;                                            \
        }                                                       \
    } while (0)

int main(void) {
    int bad = 0;
    CHECK_INIT(sluice_clock, SLUICE_CLOCK_INIT);
    CHECK_INIT(sluice_host_device_options, SLUICE_HOST_DEVICE_OPTIONS_INIT);
    CHECK_INIT(sluice_device_driver, SLUICE_DEVICE_DRIVER_INIT);
    CHECK_INIT(sluice_memory_store_options, SLUICE_MEMORY_STORE_OPTIONS_INIT);
    CHECK_INIT(sluice_fabric_store_options, SLUICE_FABRIC_STORE_OPTIONS_INIT);
    CHECK_INIT(sluice_store_driver, SLUICE_STORE_DRIVER_INIT);
    CHECK_INIT(sluice_batch, SLUICE_BATCH_INIT);
    CHECK_INIT(sluice_policy, SLUICE_POLICY_INIT);
    CHECK_INIT(sluice_cost_model, SLUICE_COST_MODEL_INIT);
    CHECK_INIT(sluice_compute, SLUICE_COMPUTE_INIT);
    CHECK_INIT(sluice_pipeline_options, SLUICE_PIPELINE_OPTIONS_INIT);
    CHECK_INIT(sluice_request, SLUICE_REQUEST_INIT);
    CHECK_INIT(sluice_progress, SLUICE_PROGRESS_INIT);
    CHECK_INIT(sluice_report, SLUICE_REPORT_INIT);
    CHECK_INIT(sluice_stats, SLUICE_STATS_INIT);
    CHECK_INIT(sluice_planner_options, SLUICE_PLANNER_OPTIONS_INIT);
    CHECK_INIT(sluice_app_options, SLUICE_APP_OPTIONS_INIT);
    CHECK_INIT(sluice_app, SLUICE_APP_INIT);
    CHECK_INIT(sluice_unit, SLUICE_UNIT_INIT);
    CHECK_INIT(sluice_unit_result, SLUICE_UNIT_RESULT_INIT);
    if (sluice_api_version() != SLUICE_API_VERSION) {
        printf("the header's API version is %u, the library's %u\n", (unsigned)SLUICE_API_VERSION,
               (unsigned)sluice_api_version());
        bad = 1;
    }
    if (strcmp(sluice_status_name(SLUICE_E_TRUNCATED), "SLUICE_E_TRUNCATED") != 0 ||
        strcmp(sluice_status_name(12345), "SLUICE_E_?") != 0 || sluice_last_error() == NULL) {
        printf("names of codes, or the last error, are wrong\n");
        bad = 1;
    }
    return bad;
}
