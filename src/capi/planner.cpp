// SPDX-License-Identifier: Apache-2.0
// Engines whose scheduler and workers are separate processes.
#include "../split/planner.hpp"

#include <utility>

#include <sluice/base/status.hpp>

#include "pipeline_object.hpp"
#include "policy.hpp"
#include "status.hpp"
#include "structs.hpp"
#include "text.hpp"
#include "times.hpp"

namespace sluice::capi {

absl::StatusOr<std::unique_ptr<pipeline_object>> pipeline_object::open_planner(
    const sluice_planner_options& o) {
    if (absl::Status s = check_flags(o.flags, 0, "sluice_planner_options"); !s.ok()) {
        return s;
    }
    std::unique_ptr<pipeline_object> object(new pipeline_object);
    split::planner_options to;
    if (absl::Status s = object->follow_applications(o.apps); !s.ok()) {
        return s;
    }
    to.applications = &object->applications();
    const auto set = [](auto& option, auto given) {
        if (given != 0) {
            option = given;
        }
    };
    set(to.workers, o.workers);
    to.groups = o.n_groups;
    to.pages = o.pages;
    set(to.block_tokens, o.block_tokens);
    set(to.max_requests, o.max_requests);
    set(to.block_pieces, o.block_pieces);
    to.block_bytes = o.block_bytes;
    auto order = make_policy(o.policy, o.custom_policy);
    if (!order.ok()) {
        return order.status();
    }
    to.policy = *std::move(order);
    auto cost = make_cost_model(o.cost, o.custom_cost);
    if (!cost.ok()) {
        return cost.status();
    }
    to.cost = *std::move(cost);
    sluice_clock clock;
    if (absl::Status s = read_clock(o.clock, clock); !s.ok()) {
        return s;
    }
    to.now = [clock] { return to_time(now_of(clock)); };
    auto made = split::planner::create(std::move(to));
    if (!made.ok()) {
        return made.status();
    }
    object->planner_ = *std::move(made);
    return object;
}

absl::StatusOr<split::worker*> pipeline_object::become_worker() {
    if (planner_ || !serves_plans_) {
        return absl::FailedPreconditionError(
            "a worker's pipeline is one with engine-owned L1 whose engine drives compute");
    }
    if (!ranked_from_outside_) {
        return absl::FailedPreconditionError(
            "a worker's pipeline has the policy \"external\": its planner ranks");
    }
    const std::scoped_lock lock(worker_mutex_);
    if (!worker_) {
        if (pipe_->stats().live_requests > 0) {
            return absl::FailedPreconditionError(
                "the pipeline has requests of its own; a worker's serves plans only");
        }
        worker_.emplace(*pipe_);
        is_worker_.store(true, std::memory_order_release);
    }
    return &*worker_;
}

namespace {

/// Runs `body(planner)`.
template <class Body>
absl::Status with_planner(sluice_pipeline* handle, Body body) {
    const auto found = pin<pipeline_object>(handle);
    if (!found.ok()) {
        return found.status();
    }
    split::planner* const p = (*found)->planner();
    return p != nullptr ? body(*p) : absl::FailedPreconditionError("the pipeline is not a planner");
}

absl::Status check_message(const void* bytes, std::uint64_t size) {
    return bytes == nullptr && size > 0 ? null_argument("the message") : absl::OkStatus();
}

std::span<const std::byte> message(const void* bytes, std::uint64_t size) {
    return {static_cast<const std::byte*>(bytes), static_cast<std::size_t>(size)};
}

absl::Status merge_reports(const void* const* reports, const std::uint64_t* bytes, std::uint32_t n,
                           split::report& all) {
    if (n == 0) {
        return invalid("n is 0; there is nothing to merge");
    }
    if (reports == nullptr || bytes == nullptr) {
        return null_argument(reports == nullptr ? "reports" : "bytes");
    }
    for (std::uint32_t i = 0; i < n; ++i) {
        if (absl::Status s = check_message(reports[i], bytes[i]); !s.ok()) {
            return s;
        }
        if (bytes[i] == 0) {
            continue;  // nothing had happened there
        }
        const absl::StatusOr<split::report> r = split::decode_report(message(reports[i], bytes[i]));
        if (!r.ok()) {
            return annotate(r.status(), fmt::format("report {}", i));
        }
        if (all.planner != 0 && r->planner != all.planner) {
            return invalid("report {}: of another planner than those before", i);
        }
        all.planner = r->planner;
        split::merge(all, *r);
    }
    return absl::OkStatus();
}

}  // namespace

}  // namespace sluice::capi

using namespace sluice;
using namespace sluice::capi;

extern "C" {

sluice_status sluice_planner_open(const sluice_planner_options* options,
                                  sluice_pipeline** out) noexcept {
    return guarded("sluice_planner_open", [&]() -> absl::Status {
        if (out == nullptr) {
            return null_argument("out");
        }
        *out = nullptr;
        sluice_planner_options known;
        if (absl::Status s = read_struct(options, known, "sluice_planner_options"); !s.ok()) {
            return s;
        }
        auto made = pipeline_object::open_planner(known);
        return made.ok() ? publish(*std::move(made), *out) : made.status();
    });
}

sluice_status sluice_plan_export(sluice_pipeline* planner, void* buffer, uint64_t capacity,
                                 uint64_t* needed) noexcept {
    return guarded("sluice_plan_export", [&]() -> absl::Status {
        if (needed == nullptr) {
            return null_argument("needed");
        }
        *needed = 0;
        return with_planner(planner, [&](split::planner& p) {
            return p.export_plan([&](std::span<const std::byte> bytes) {
                return write_bytes(bytes.data(), bytes.size(), buffer, capacity, needed);
            });
        });
    });
}

sluice_status sluice_plan_import(sluice_pipeline* worker, const void* plan, uint64_t bytes,
                                 const void* key_suffix, uint32_t suffix_size) noexcept {
    return guarded("sluice_plan_import", [&]() -> absl::Status {
        const auto found = pin<pipeline_object>(worker);
        if (!found.ok()) {
            return found.status();
        }
        if (absl::Status s = check_message(plan, bytes); !s.ok()) {
            return s;
        }
        if (suffix_size > block_key::max_size || (key_suffix == nullptr && suffix_size > 0)) {
            return invalid("key_suffix is {} bytes at {}", suffix_size, key_suffix);
        }
        if (bytes == 0) {
            return absl::OkStatus();  // nothing had been decided
        }
        const absl::StatusOr<split::worker*> w = (*found)->become_worker();
        return w.ok() ? (*w)->import_plan(message(plan, bytes), message(key_suffix, suffix_size))
                      : w.status();
    });
}

sluice_status sluice_worker_report_export(sluice_pipeline* worker, uint32_t rank, void* buffer,
                                          uint64_t capacity, uint64_t* needed) noexcept {
    return guarded("sluice_worker_report_export", [&]() -> absl::Status {
        if (needed == nullptr) {
            return null_argument("needed");
        }
        *needed = 0;
        if (rank >= split::max_workers) {
            return invalid("rank is {}; 0 to {} are possible", rank, split::max_workers - 1);
        }
        const auto found = pin<pipeline_object>(worker);
        if (!found.ok()) {
            return found.status();
        }
        if ((*found)->planner() != nullptr) {
            return absl::FailedPreconditionError("a planner has nothing to report");
        }
        split::worker* const w = (*found)->worker();
        return w == nullptr
                   ? absl::OkStatus()  // no plan has come yet
                   : w->export_report(rank, [&](std::span<const std::byte> bytes) {
                         return write_bytes(bytes.data(), bytes.size(), buffer, capacity, needed);
                     });
    });
}

sluice_status sluice_report_merge(const void* const* reports, const uint64_t* bytes, uint32_t n,
                                  void* buffer, uint64_t capacity, uint64_t* needed) noexcept {
    return guarded("sluice_report_merge", [&]() -> absl::Status {
        if (needed == nullptr) {
            return null_argument("needed");
        }
        *needed = 0;
        split::report all;
        if (absl::Status s = merge_reports(reports, bytes, n, all); !s.ok()) {
            return s;
        }
        const std::vector<std::byte> merged =
            all.facts.empty() ? std::vector<std::byte>{} : split::encode(all);
        return write_bytes(merged.data(), merged.size(), buffer, capacity, needed);
    });
}

sluice_status sluice_report_import(sluice_pipeline* planner, const void* report,
                                   uint64_t bytes) noexcept {
    return guarded("sluice_report_import", [&]() -> absl::Status {
        return with_planner(planner, [&](split::planner& p) -> absl::Status {
            if (absl::Status s = check_message(report, bytes); !s.ok()) {
                return s;
            }
            return bytes == 0 ? absl::OkStatus() : p.import_report(message(report, bytes));
        });
    });
}

}  // extern "C"
