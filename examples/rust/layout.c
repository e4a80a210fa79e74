// SPDX-License-Identifier: Apache-2.0
/* The truth that layout.rs compares ffi.rs with: sizes, offsets and numbers as the header has them,
   and the functions as ffi.rs declares them. */
#include <stddef.h>
#include <stdint.h>

#include <sluice/sluice.h>

/* A declaration that contradicts the header's does not compile: change ffi.rs too. */
const char* sluice_status_name(int32_t);
const char* sluice_last_error(void);
int32_t sluice_device_open_host(const sluice_host_device_options*, sluice_device**);
int32_t sluice_device_close(sluice_device*);
int32_t sluice_store_open_memory(const sluice_memory_store_options*, sluice_store**);
int32_t sluice_store_close(sluice_store*);
int32_t sluice_pipeline_open(const sluice_pipeline_options*, sluice_pipeline**);
int32_t sluice_pipeline_close(sluice_pipeline*);
int32_t sluice_submit(sluice_pipeline*, const sluice_request*, uint64_t*);
int32_t sluice_cancel(sluice_pipeline*, uint64_t);
int32_t sluice_release(sluice_pipeline*, uint64_t);
int32_t sluice_compute_done(sluice_pipeline*, uint64_t, uint64_t);
int32_t sluice_pages(sluice_pipeline*, uint64_t, uint32_t*, uint32_t, uint32_t*);
int32_t sluice_event_fd(sluice_pipeline*, int*);
int32_t sluice_poll(sluice_pipeline*, sluice_event*, uint32_t, uint32_t*);

struct example_rust_entry {
    const char* name;
    int64_t value;
    uint64_t size;
};

#define TYPE(type) \
    { #type, 0, sizeof(type) }
#define AT(type, member) \
    { #type "." #member, offsetof(type, member), sizeof(((type*)0)->member) }
#define IS(name) \
    { #name, name, 0 }

const struct example_rust_entry example_rust_layout[] = {
    TYPE(sluice_region),
    AT(sluice_region, base),
    AT(sluice_region, stride),
    AT(sluice_region, bytes),
    AT(sluice_region, slots),
    AT(sluice_region, layer),

    TYPE(sluice_group),
    AT(sluice_group, regions),
    AT(sluice_group, n_regions),
    AT(sluice_group, hit_rule),
    AT(sluice_group, last_n),
    AT(sluice_group, reserved),

    TYPE(sluice_memory_store_options),
    AT(sluice_memory_store_options, struct_size),
    AT(sluice_memory_store_options, flags),
    AT(sluice_memory_store_options, loop),
    AT(sluice_memory_store_options, capacity),
    AT(sluice_memory_store_options, bytes_per_second),
    AT(sluice_memory_store_options, latency_ns),

    TYPE(sluice_pipeline_options),
    AT(sluice_pipeline_options, struct_size),
    AT(sluice_pipeline_options, flags),
    AT(sluice_pipeline_options, groups),
    AT(sluice_pipeline_options, n_groups),
    AT(sluice_pipeline_options, block_tokens),
    AT(sluice_pipeline_options, device),
    AT(sluice_pipeline_options, store),
    AT(sluice_pipeline_options, loop),
    AT(sluice_pipeline_options, policy),
    AT(sluice_pipeline_options, custom_policy),
    AT(sluice_pipeline_options, cost),
    AT(sluice_pipeline_options, custom_cost),
    AT(sluice_pipeline_options, compute),
    AT(sluice_pipeline_options, l2_bytes),
    AT(sluice_pipeline_options, max_requests),
    AT(sluice_pipeline_options, concurrent_computes),
    AT(sluice_pipeline_options, reservation),
    AT(sluice_pipeline_options, fetch_operations),
    AT(sluice_pipeline_options, fetch_bytes),
    AT(sluice_pipeline_options, copy_operations),
    AT(sluice_pipeline_options, write_back_operations),
    AT(sluice_pipeline_options, copy_bytes),
    AT(sluice_pipeline_options, write_back_bytes),
    AT(sluice_pipeline_options, write_back_share),
    AT(sluice_pipeline_options, quarantine_share),
    AT(sluice_pipeline_options, fetch_soft_timeout_ns),
    AT(sluice_pipeline_options, fetch_hard_timeout_ns),
    AT(sluice_pipeline_options, load_timeout_ns),
    AT(sluice_pipeline_options, apps),

    TYPE(sluice_request),
    AT(sluice_request, struct_size),
    AT(sluice_request, flags),
    AT(sluice_request, keys),
    AT(sluice_request, key_size),
    AT(sluice_request, n_keys),
    AT(sluice_request, prompt_tokens),
    AT(sluice_request, user),
    AT(sluice_request, pages),
    AT(sluice_request, resident_blocks),
    AT(sluice_request, max_load_blocks),
    AT(sluice_request, min_query_tokens),
    AT(sluice_request, priority),
    AT(sluice_request, tenant),
    AT(sluice_request, tenant_weight),
    AT(sluice_request, rank),
    AT(sluice_request, arrival_ns),
    AT(sluice_request, deadline_ns),
    AT(sluice_request, load_timeout_ns),
    AT(sluice_request, app),

    TYPE(sluice_event),
    AT(sluice_event, request),
    AT(sluice_event, user),
    AT(sluice_event, kind),
    AT(sluice_event, flags),
    AT(sluice_event, blocks),
    AT(sluice_event, status),
    AT(sluice_event, text),

    IS(SLUICE_OK),
    IS(SLUICE_E_INVALID_ARGUMENT),
    IS(SLUICE_E_NOT_FOUND),
    IS(SLUICE_E_RESOURCE_EXHAUSTED),
    IS(SLUICE_EVENT_READY),
    IS(SLUICE_EVENT_CANCELLED),
    IS(SLUICE_EVENT_FAILED),
    IS(SLUICE_EVENT_QUIESCED),
    IS(SLUICE_EVENT_STORED),
    IS(SLUICE_HIT_ALL_BLOCKS),
};
const uint64_t example_rust_layout_entries =
    sizeof example_rust_layout / sizeof *example_rust_layout;
