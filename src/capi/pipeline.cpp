// SPDX-License-Identifier: Apache-2.0
// Requests and events of a pipeline. All of it is translation: what is refused, and why, is decided
// by the C++ library.
#include <algorithm>
#include <array>
#include <deque>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <sluice/base/status.hpp>

#include "pipeline_object.hpp"
#include "policy.hpp"
#include "read.hpp"
#include "status.hpp"
#include "structs.hpp"
#include "text.hpp"
#include "thread_scratch.hpp"
#include "times.hpp"

namespace sluice::capi {

namespace {

/// Who may call: everybody, or not the users of a worker, whose requests are its planner's.
enum class callers { all, not_of_workers };

/// Runs `body(pipeline or planner)` for a live handle.
template <callers Who, class Body>
absl::Status run_with(sluice_pipeline* handle, Body& body) {
    const auto found = pin<pipeline_object>(handle);
    if (!found.ok()) {
        return found.status();
    }
    if (split::planner* const planner = (*found)->planner()) {
        return body(*planner);
    }
    if (Who == callers::not_of_workers && (*found)->worker() != nullptr) {
        return absl::FailedPreconditionError(
            "the pipeline serves plans; its requests are its planner's");
    }
    return body((*found)->pipe());
}

template <callers Who = callers::not_of_workers, class Body>
sluice_status with_pipeline(std::string_view function, sluice_pipeline* handle,
                            Body body) noexcept {
    return guarded(function, [&] { return run_with<Who>(handle, body); });
}

/// As above, with a result that is zero on failure.
template <callers Who = callers::not_of_workers, class Out, class Body>
sluice_status with_result(std::string_view function, sluice_pipeline* handle, Out* out,
                          Body body) noexcept {
    if (out == nullptr) {
        return guarded(function, [] { return null_argument("the result"); });
    }
    *out = Out{};
    return with_pipeline<Who>(function, handle, body);
}

/// As above, with a struct of the caller's age for a result: `body(pipeline or planner, result)`.
template <callers Who = callers::not_of_workers, class Out, class Body>
sluice_status with_struct(std::string_view function, sluice_pipeline* handle, Out* out,
                          std::string_view name, Body body) noexcept {
    return guarded(function, [&] {
        Out result{};
        auto fill = [&](auto& p) -> absl::Status { return body(p, result); };
        const absl::Status status = run_with<Who>(handle, fill);
        const absl::Status written = write_struct(out, result, name);
        return written.ok() ? status : written;
    });
}

absl::StatusOr<request_spec> read_request(const sluice_request* given,
                                          std::vector<block_key>& keys) {
    sluice_request r;
    if (absl::Status s = read_struct(given, r, "sluice_request"); !s.ok()) {
        return s;
    }
    if (absl::Status s = check_flags(
            r.flags,
            SLUICE_REQUEST_NO_WRITE_BACK | SLUICE_REQUEST_TELL_LOOKUP | SLUICE_REQUEST_PREWARM,
            "sluice_request");
        !s.ok()) {
        return s;
    }
    if (absl::Status s = read_keys(r.keys, r.key_size, r.n_keys, keys); !s.ok()) {
        return s;
    }
    constexpr std::uint32_t all = std::numeric_limits<std::uint32_t>::max();
    request_spec spec;
    spec.keys = keys;
    spec.prompt_tokens = r.prompt_tokens;
    spec.pages = r.pages;
    spec.resident_blocks = r.resident_blocks;
    spec.max_load_blocks = r.max_load_blocks == 0     ? all
                           : r.max_load_blocks == all ? 0
                                                      : r.max_load_blocks;
    spec.min_query_tokens = r.min_query_tokens == 0 ? 1 : r.min_query_tokens;
    spec.arrival = r.arrival_ns == 0 ? never : to_time(r.arrival_ns);
    spec.deadline = r.deadline_ns == 0 ? never : to_time(r.deadline_ns);
    spec.priority = r.priority;
    spec.tenant = r.tenant;
    spec.tenant_weight = r.tenant_weight == 0 ? 1 : r.tenant_weight;
    spec.rank = r.rank;
    spec.load_timeout = to_duration(r.load_timeout_ns);
    spec.write_back = (r.flags & SLUICE_REQUEST_NO_WRITE_BACK) == 0;
    spec.tell_lookup = (r.flags & SLUICE_REQUEST_TELL_LOOKUP) != 0;
    spec.prewarm = (r.flags & SLUICE_REQUEST_PREWARM) != 0;
    spec.application = sluice::detail::app_of_id(r.app);
    spec.user = pointer_of(r.user);
    return spec;
}

absl::Status take_id(const absl::StatusOr<request_handle>& made, sluice_request_id* out) {
    if (made.ok()) {
        *out = id_of(*made);
    }
    return made.status();
}

/// Texts go where they stay until the thread polls again; a thread that ends has no such place.
void write_event(const request_event& from, sluice_event& to, std::deque<std::string>* texts) {
    to = {};
    to.request = id_of(from.request);
    to.user = number_of(from.user);
    to.kind = static_cast<std::uint32_t>(from.kind);
    to.flags = from.busy ? SLUICE_EVENT_BUSY : 0;
    to.blocks = from.blocks;
    to.status = from.kind == event_kind::failed ? code_of(from.status) : SLUICE_OK;
    to.text = "";
    if (from.kind == event_kind::failed) {
        const std::string_view why = message_of(from.status);
        const char* const name = sluice_status_name(to.status);
        to.text = why.empty() || texts == nullptr ? name : texts->emplace_back(why).c_str();
    }
}

static_assert(static_cast<std::uint32_t>(event_kind::want_pages) == SLUICE_EVENT_WANT_PAGES);
static_assert(static_cast<std::uint32_t>(event_kind::ready) == SLUICE_EVENT_READY);
static_assert(static_cast<std::uint32_t>(event_kind::failed) == SLUICE_EVENT_FAILED);
static_assert(static_cast<std::uint32_t>(event_kind::stored) == SLUICE_EVENT_STORED);
static_assert(static_cast<std::uint32_t>(event_kind::looked_up) == SLUICE_EVENT_LOOKED_UP);

sluice_progress progress_of(const request_progress& p) noexcept {
    sluice_progress c = SLUICE_PROGRESS_INIT;
    c.looked_up = p.looked_up ? 1 : 0;
    c.hit_blocks = p.hit_blocks;
    c.planned_blocks = p.planned_blocks;
    c.fetching_blocks = p.fetching;
    c.loading_blocks = p.loading;
    c.predicted_fetch_s = p.predicted.fetch;
    c.predicted_copy_s = p.predicted.copy;
    c.predicted_compute_s = p.predicted.compute;
    return c;
}

sluice_report report_of(const request_report& r) noexcept {
    sluice_report c = SLUICE_REPORT_INIT;
    c.hit_blocks = r.hit_blocks;
    c.planned_blocks = r.planned_blocks;
    c.loaded_blocks = r.loaded_blocks;
    c.arrival_ns = from_time(r.arrival);
    c.looked_up_ns = from_time(r.looked_up);
    c.first_fetch_ns = from_time(r.first_fetch);
    c.fetched_ns = from_time(r.fetched);
    c.granted_ns = from_time(r.granted);
    c.first_copy_ns = from_time(r.first_copy);
    c.loaded_ns = from_time(r.loaded);
    c.compute_begin_ns = from_time(r.compute_begin);
    c.first_token_ns = from_time(r.first_token);
    c.predicted_fetch_s = r.predicted.fetch;
    c.predicted_copy_s = r.predicted.copy;
    c.predicted_compute_s = r.predicted.compute;
    c.attained_fetch_s = r.attained.fetch;
    c.attained_copy_s = r.attained.copy;
    c.attained_compute_s = r.attained.compute;
    c.bytes_fetched = r.bytes_fetched;
    c.bytes_deduplicated = r.bytes_deduplicated;
    return c;
}

sluice_stats stats_of(const pipeline_stats& s, const demand::app_tracker_stats& apps) noexcept {
    sluice_stats c = SLUICE_STATS_INIT;
    c.live_requests = s.live_requests;
    c.submitted = s.submitted;
    c.outcomes = s.outcomes;
    c.fetched_bytes = s.fetch.bytes;
    c.copied_bytes = s.copy.bytes;
    c.copied_out_bytes = s.copy_out.bytes;
    c.put_bytes = s.put.bytes;
    c.fetch_busy_ns = from_duration(s.fetch.busy);
    c.copy_busy_ns = from_duration(s.copy.busy);
    c.compute_busy_ns = from_duration(s.compute.busy);
    c.bytes_deduplicated = s.bytes_deduplicated;
    c.l1_hits = s.l1_hits;
    c.l2_hits = s.l2_hits;
    c.blocks_missed = s.blocks_missed;
    c.blocks_corrupt = s.blocks_corrupt;
    c.blocks_failed = s.blocks_failed;
    c.soft_timeouts = s.soft_timeouts;
    c.hard_timeouts = s.hard_timeouts;
    c.stored_blocks = s.stored_blocks;
    c.store_drops = s.store_drops;
    c.policy_faults = s.policy_faults;
    c.cost_faults = s.cost_faults;
    c.l2_slots = s.l2_slots;
    c.l2_free = s.l2_free;
    c.l2_cold = s.l2_cold;
    c.l2_quarantined = s.l2_quarantined;
    c.store_dead = s.store_dead ? 1 : 0;
    c.fetch_error = s.relative_error.fetch;
    c.copy_error = s.relative_error.copy;
    c.compute_error = s.relative_error.compute;
    c.prewarm_requests = s.prewarm_requests;
    c.prewarmed_blocks = s.prewarmed_blocks;
    c.apps_begun = apps.begun;
    c.apps_ended = apps.ended;
    c.app_events_refused =
        apps.refused_unknown + apps.refused_order + apps.refused_value + apps.refused_full;
    return c;
}

}  // namespace

}  // namespace sluice::capi

using namespace sluice;
using namespace sluice::capi;

extern "C" {

sluice_status sluice_submit(sluice_pipeline* pipeline, const sluice_request* request,
                            sluice_request_id* out) noexcept {
    return with_result("sluice_submit", pipeline, out, [&](auto& p) -> absl::Status {
        key_scratch scratch;
        const absl::StatusOr<request_spec> spec = read_request(request, scratch.keys());
        return spec.ok() ? take_id(p.submit(*spec), out) : spec.status();
    });
}

sluice_status sluice_query(sluice_pipeline* pipeline, sluice_request_id request,
                           sluice_progress* out) noexcept {
    return with_struct(
        "sluice_query", pipeline, out, "sluice_progress", [&](auto& p, sluice_progress& c) {
            const absl::StatusOr<request_progress> now = p.progress(handle_of_id(request));
            if (now.ok()) {
                c = progress_of(*now);
            }
            return now.status();
        });
}

sluice_status sluice_bind(sluice_pipeline* pipeline, sluice_request_id request,
                          const uint32_t* pages, uint32_t n) noexcept {
    return with_pipeline("sluice_bind", pipeline, [&](auto& p) -> absl::Status {
        if (absl::Status s = check_array(pages, n, "pages"); !s.ok()) {
            return s;
        }
        return p.bind(handle_of_id(request), {pages, n});
    });
}

sluice_status sluice_detach(sluice_pipeline* pipeline, sluice_request_id request) noexcept {
    return with_pipeline("sluice_detach", pipeline,
                         [&](auto& p) { return p.detach(handle_of_id(request)); });
}

sluice_status sluice_cancel(sluice_pipeline* pipeline, sluice_request_id request) noexcept {
    return with_pipeline("sluice_cancel", pipeline,
                         [&](auto& p) { return p.cancel(handle_of_id(request)); });
}

sluice_status sluice_release(sluice_pipeline* pipeline, sluice_request_id request) noexcept {
    return with_pipeline("sluice_release", pipeline,
                         [&](auto& p) { return p.release(handle_of_id(request)); });
}

sluice_status sluice_set_rank(sluice_pipeline* pipeline, sluice_request_id request,
                              double rank) noexcept {
    return with_pipeline("sluice_set_rank", pipeline,
                         [&](auto& p) { return p.set_rank(handle_of_id(request), rank); });
}

sluice_status sluice_compute_done(sluice_pipeline* pipeline, sluice_request_id request,
                                  uint64_t compute_ns) noexcept {
    return with_pipeline("sluice_compute_done", pipeline, [&](auto& p) {
        return p.compute_done(handle_of_id(request), static_cast<double>(compute_ns) * 1e-9);
    });
}

sluice_status sluice_store_blocks(sluice_pipeline* pipeline, const void* keys, uint32_t key_size,
                                  const uint32_t* pages, uint32_t n, uint64_t user,
                                  sluice_request_id* out) noexcept {
    return with_result("sluice_store_blocks", pipeline, out, [&](auto& p) -> absl::Status {
        if (absl::Status s = check_array(pages, n, "pages"); !s.ok()) {
            return s;
        }
        key_scratch scratch;
        if (absl::Status s = read_keys(keys, key_size, n, scratch.keys()); !s.ok()) {
            return s;
        }
        return take_id(p.store_blocks(scratch.keys(), {pages, n}, pointer_of(user)), out);
    });
}

sluice_status sluice_pages(sluice_pipeline* pipeline, sluice_request_id request, uint32_t* out,
                           uint32_t capacity, uint32_t* out_n) noexcept {
    return with_result("sluice_pages", pipeline, out_n, [&](auto& p) -> absl::Status {
        if (absl::Status s = check_array(out, capacity, "out"); !s.ok()) {
            return s;
        }
        const absl::StatusOr<std::vector<slot_id>> pages = p.pages(handle_of_id(request));
        if (!pages.ok()) {
            return pages.status();
        }
        *out_n = static_cast<std::uint32_t>(pages->size());
        if (pages->size() > capacity) {
            return truncated(pages->size(), capacity);
        }
        std::ranges::copy(*pages, out);
        return absl::OkStatus();
    });
}

sluice_status sluice_event_fd(sluice_pipeline* pipeline, int* out_fd) noexcept {
    return with_result<callers::all>("sluice_event_fd", pipeline, out_fd,
                                     [&](auto& p) -> absl::Status {
                                         *out_fd = p.event_fd();
                                         return absl::OkStatus();
                                     });
}

sluice_status sluice_poll(sluice_pipeline* pipeline, sluice_event* out, uint32_t capacity,
                          uint32_t* out_n) noexcept {
    return with_result("sluice_poll", pipeline, out_n, [&](auto& p) -> absl::Status {
        if (absl::Status s = check_array(out, capacity, "out"); !s.ok()) {
            return s;
        }
        auto* const texts = thread_scratch<std::deque<std::string>>();
        if (texts != nullptr) {
            texts->clear();
        }
        std::array<request_event, 16> batch;  // made anew each time: few
        while (*out_n < capacity) {
            const std::size_t room = std::min<std::size_t>(batch.size(), capacity - *out_n);
            const std::size_t n = p.poll_events(std::span(batch).first(room));
            for (std::size_t i = 0; i < n; ++i) {
                write_event(batch[i], out[(*out_n)++], texts);
            }
            if (n < room) {
                break;
            }
        }
        return absl::OkStatus();
    });
}

sluice_status sluice_sort(sluice_pipeline* pipeline, sluice_request_id* requests,
                          uint32_t n) noexcept {
    return with_pipeline("sluice_sort", pipeline, [&](auto& p) -> absl::Status {
        if (absl::Status s = check_array(requests, n, "requests"); !s.ok()) {
            return s;
        }
        std::vector<request_handle> handles;
        handles.reserve(n);
        for (const sluice_request_id id : std::span(requests, n)) {
            handles.push_back(handle_of_id(id));
        }
        p.sort_by_rank(handles);
        std::ranges::transform(handles, requests, id_of);
        return absl::OkStatus();
    });
}

sluice_status sluice_next_ready(sluice_pipeline* pipeline, sluice_request_id* out) noexcept {
    return with_result("sluice_next_ready", pipeline, out, [&](auto& p) -> absl::Status {
        *out = id_of(p.next_ready());
        return absl::OkStatus();
    });
}

sluice_status sluice_request_report(sluice_pipeline* pipeline, sluice_request_id request,
                                    sluice_report* out) noexcept {
    return with_struct(
        "sluice_request_report", pipeline, out, "sluice_report", [&](auto& p, sluice_report& c) {
            const absl::StatusOr<request_report> story = p.report(handle_of_id(request));
            if (story.ok()) {
                c = report_of(*story);
            }
            return story.status();
        });
}

sluice_status sluice_pipeline_stats(sluice_pipeline* pipeline, sluice_stats* out) noexcept {
    return with_struct<callers::all>(
        "sluice_pipeline_stats", pipeline, out, "sluice_stats", [&](auto& p, sluice_stats& c) {
            const auto object = pin<pipeline_object>(pipeline);
            c = stats_of(p.stats(), object.ok() ? (*object)->applications().stats()
                                                : demand::app_tracker_stats{});
            return absl::OkStatus();
        });
}

sluice_status sluice_metrics(sluice_pipeline* pipeline, char* buffer, uint64_t capacity,
                             uint64_t* needed) noexcept {
    return with_result<callers::all>(
        "sluice_metrics", pipeline, needed, [&](auto& p) -> absl::Status {
            if (buffer != nullptr && capacity > 0) {
                buffer[0] = '\0';
            }
            const std::string text = p.metrics_text();
            return write_bytes(text.c_str(), text.size() + 1, buffer, capacity, needed);
        });
}

}  // extern "C"
