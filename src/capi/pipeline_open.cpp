// SPDX-License-Identifier: Apache-2.0
// Options of a pipeline, and its beginning and end.
#include <string_view>
#include <utility>

#include "drivers.hpp"
#include "pipeline_object.hpp"
#include "policy.hpp"
#include "read.hpp"
#include "status.hpp"
#include "structs.hpp"
#include "text.hpp"
#include "times.hpp"

namespace sluice::capi {

namespace {

/// What a zero leaves as it is.
template <class T, class U>
void set(T& option, U given) {
    if (given != U{}) {
        option = static_cast<T>(given);
    }
}
void set(duration& option, std::uint64_t ns) {
    if (ns != 0) {
        option = to_duration(ns);
    }
}

absl::Status read_enums(const sluice_pipeline_options& o, pipeline_options& to) {
    if (absl::Status s = check_flags(o.flags,
                                     SLUICE_PIPELINE_ENGINE_OWNS_L1 | SLUICE_PIPELINE_SPLIT_LOADS |
                                         SLUICE_PIPELINE_FAIL_ON_LOSS,
                                     "sluice_pipeline_options");
        !s.ok()) {
        return s;
    }
    if (o.reservation > SLUICE_RESERVE_LATE) {
        return invalid("reservation is {}; SLUICE_RESERVE_* are possible", o.reservation);
    }
    to.owner =
        (o.flags & SLUICE_PIPELINE_ENGINE_OWNS_L1) != 0 ? l1_owner::engine : l1_owner::library;
    to.split = (o.flags & SLUICE_PIPELINE_SPLIT_LOADS) != 0;
    to.on_load_failure = (o.flags & SLUICE_PIPELINE_FAIL_ON_LOSS) != 0 ? load_failure::fail
                                                                       : load_failure::recompute;
    to.reservation = static_cast<reservation_mode>(o.reservation);
    return absl::OkStatus();
}

void read_numbers(const sluice_pipeline_options& o, pipeline_options& to) {
    set(to.block_tokens, o.block_tokens);
    set(to.l2_bytes, o.l2_bytes);
    set(to.max_requests, o.max_requests);
    set(to.concurrent_computes, o.concurrent_computes);
    set(to.fetch.operations, o.fetch_operations);
    set(to.fetch.bytes, o.fetch_bytes);
    set(to.copy.operations, o.copy_operations);
    set(to.copy.bytes, o.copy_bytes);
    set(to.write_back.operations, o.write_back_operations);
    set(to.write_back.bytes, o.write_back_bytes);
    set(to.write_back_share, o.write_back_share);
    set(to.quarantine_share, o.quarantine_share);
    set(to.fetch_soft_timeout, o.fetch_soft_timeout_ns);
    set(to.fetch_hard_timeout, o.fetch_hard_timeout_ns);
    set(to.load_timeout, o.load_timeout_ns);
}

}  // namespace

absl::StatusOr<std::unique_ptr<pipeline_object>> pipeline_object::open(
    const sluice_pipeline_options& o) {
    std::unique_ptr<pipeline_object> made(new pipeline_object);
    pipeline_options to;
    if (absl::Status s = read_enums(o, to); !s.ok()) {
        return s;
    }
    read_numbers(o, to);
    absl::StatusOr<layout> l1 = read_layout(o.groups, o.n_groups);
    if (!l1.ok()) {
        return l1.status();
    }
    made->l1_ = *std::move(l1);
    to.l1 = &*made->l1_;
    if (o.device == nullptr) {
        return null_argument("device");
    }
    for (const absl::Status& s :
         {keep<loop_object>(o.loop, made->loop_), keep<device_object>(o.device, made->device_),
          keep<store_object>(o.store, made->store_)}) {
        if (!s.ok()) {
            return s;
        }
    }
    // Closing runs the pipeline's own loop only: what is on another would never end.
    if (!made->device_->may_serve(made->loop_) ||
        (made->store_ && !made->store_->may_serve(made->loop_))) {
        return invalid("the {} is on a loop that is not the pipeline's",
                       made->device_->may_serve(made->loop_) ? "store" : "device");
    }
    to.device = &made->device_->get();
    to.store = made->store_ ? &made->store_->get() : nullptr;
    if (made->loop_) {
        to.control = to.io = &made->loop_->get();
    }
    if (absl::Status s = made->follow_applications(o.apps); !s.ok()) {
        return s;
    }
    to.applications = &made->applications();
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
    if (o.compute != nullptr) {
        auto compute = make_compute(o.compute);
        if (!compute.ok()) {
            return compute.status();
        }
        made->compute_ = *std::move(compute);
        to.compute = made->compute_.get();
    }
    // A policy of the user's may do as "external" does.
    made->ranked_from_outside_ = o.custom_policy != nullptr ||
                                 (o.policy != nullptr && std::string_view(o.policy).find(
                                                             "external") != std::string_view::npos);
    made->serves_plans_ = to.owner == l1_owner::engine && to.compute == nullptr;
    auto pipe = sluice::pipeline::create(std::move(to));
    if (!pipe.ok()) {
        return pipe.status();
    }
    made->pipe_ = *std::move(pipe);
    return made;
}

pipeline_object::~pipeline_object() {
    if (pipe_ && loop_) {
        pipe_->begin_close();
        loop_->run_until([this] { return pipe_->closed(); });
    }
}

}  // namespace sluice::capi

using namespace sluice;
using namespace sluice::capi;

extern "C" {

sluice_status sluice_pipeline_open(const sluice_pipeline_options* options,
                                   sluice_pipeline** out) noexcept {
    return guarded("sluice_pipeline_open", [&]() -> absl::Status {
        if (out == nullptr) {
            return null_argument("out");
        }
        *out = nullptr;
        sluice_pipeline_options known;
        if (absl::Status s = read_struct(options, known, "sluice_pipeline_options"); !s.ok()) {
            return s;
        }
        auto made = pipeline_object::open(known);
        return made.ok() ? publish(*std::move(made), *out) : made.status();
    });
}

sluice_status sluice_pipeline_close(sluice_pipeline* pipeline) noexcept {
    return guarded("sluice_pipeline_close", [&] { return close<pipeline_object>(pipeline); });
}

}  // extern "C"
