// SPDX-License-Identifier: Apache-2.0
// Policies and cost models of the C API's users.
#include "policy.hpp"

#include <sluice/cost/linear_cost_model.hpp>
#include <sluice/sched/policy_registry.hpp>

#include "status.hpp"
#include "structs.hpp"
#include "text.hpp"
#include "times.hpp"

namespace sluice::capi {

namespace {

sluice_request_view view_of(const request_view& r) noexcept {
    sluice_request_view v{};
    v.struct_size = sizeof v;
    v.priority = r.priority;
    v.request = id_of(r.id);
    v.user = number_of(r.user);
    v.arrival_ns = from_time(r.arrival);
    v.deadline_ns = from_time(r.deadline);
    v.tenant = r.tenant;
    v.admitted = r.admitted ? 1 : 0;
    v.tenant_weight = r.tenant_weight;
    v.rank = r.rank;
    v.prompt_tokens = r.prompt_tokens;
    v.load_tokens = r.load_tokens;
    v.predicted_fetch_s = r.predicted.fetch;
    v.predicted_copy_s = r.predicted.copy;
    v.predicted_compute_s = r.predicted.compute;
    v.remaining_fetch_s = r.remaining.fetch;
    v.remaining_copy_s = r.remaining.copy;
    v.remaining_compute_s = r.remaining.compute;
    v.attained_fetch_s = r.attained.fetch;
    v.attained_copy_s = r.attained.copy;
    v.attained_compute_s = r.attained.compute;
    v.app = sluice::detail::app_id_of(r.application);
    v.prewarm = r.prewarm ? 1 : 0;
    return v;
}

class policy_driver final : public policy {
 public:
    explicit policy_driver(const sluice_policy& table) noexcept : table_(table) {}

    time_point next_change(const request_view& r, time_point now) noexcept override {
        if (table_.next_change == nullptr) {
            return never;
        }
        const sluice_request_view v = view_of(r);
        const callback_scope in_callback;
        return to_time(table_.next_change(table_.user, &v, from_time(now)));
    }
    duration interval() const noexcept override { return to_duration(table_.interval_ns); }
    bool ranks_by_service() const noexcept override {
        return (table_.flags & SLUICE_POLICY_RANKS_BY_SERVICE) != 0;
    }
    void submitted(const request_view& r, time_point now) noexcept override {
        if (table_.submitted != nullptr) {
            const sluice_request_view v = view_of(r);
            const callback_scope in_callback;
            table_.submitted(table_.user, &v, from_time(now));
        }
    }
    void served(const request_view& r, stage_id stage, double seconds) noexcept override {
        if (table_.served != nullptr) {
            const sluice_request_view v = view_of(r);
            const callback_scope in_callback;
            table_.served(table_.user, &v, static_cast<std::uint32_t>(stage), seconds);
        }
    }
    void done(const request_view& r, time_point now) noexcept override {
        if (table_.done != nullptr) {
            const sluice_request_view v = view_of(r);
            const callback_scope in_callback;
            table_.done(table_.user, &v, from_time(now));
        }
    }

 private:
    rank_value do_rank(const request_view& r, stage_id stage, time_point now) noexcept override {
        const sluice_request_view v = view_of(r);
        const callback_scope in_callback;
        return table_.rank(table_.user, &v, static_cast<std::uint32_t>(stage), from_time(now));
    }

    const sluice_policy table_;
};

class cost_driver final : public cost_model {
 public:
    explicit cost_driver(const sluice_cost_model& table) noexcept : table_(table) {}

    double predict(stage_id stage, const demand_shape& shape) const noexcept override {
        const sluice_demand d = demand_of(shape);
        const callback_scope in_callback;
        return table_.predict(table_.user, static_cast<std::uint32_t>(stage), &d);
    }
    void observe(stage_id stage, const demand_shape& shape, double seconds) noexcept override {
        if (table_.observe != nullptr) {
            const sluice_demand d = demand_of(shape);
            const callback_scope in_callback;
            table_.observe(table_.user, static_cast<std::uint32_t>(stage), &d, seconds);
        }
    }
    std::uint64_t generation() const noexcept override {
        if (table_.generation == nullptr) {
            return 0;
        }
        const callback_scope in_callback;
        return table_.generation(table_.user);
    }

 private:
    static sluice_demand demand_of(const demand_shape& s) noexcept {
        return {s.bytes, s.descriptors, s.query_tokens, s.context_tokens};
    }

    const sluice_cost_model table_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<policy>> make_policy(const char* spec, const sluice_policy* custom) {
    if (custom == nullptr) {
        return sluice::make_policy(spec == nullptr ? "sjf" : spec);
    }
    if (spec != nullptr) {
        return invalid("policy and custom_policy are both given; one of them must be NULL");
    }
    sluice_policy table;
    if (absl::Status s = read_struct(custom, table, "sluice_policy"); !s.ok()) {
        return s;
    }
    if (absl::Status s = check_flags(table.flags, SLUICE_POLICY_RANKS_BY_SERVICE, "sluice_policy");
        !s.ok()) {
        return s;
    }
    if (table.rank == nullptr) {
        return null_argument("sluice_policy.rank");
    }
    return std::make_unique<policy_driver>(table);
}

absl::StatusOr<std::unique_ptr<cost_model>> make_cost_model(const char* preset,
                                                            const sluice_cost_model* custom) {
    if (custom == nullptr) {
        const auto options =
            linear_cost_options::preset(preset == nullptr ? std::string_view("linear") : preset);
        if (!options) {
            return invalid("cost is \"{}\"; \"linear\" and \"calvo\" are known", preset);
        }
        return std::make_unique<linear_cost_model>(*options);
    }
    if (preset != nullptr) {
        return invalid("cost and custom_cost are both given; one of them must be NULL");
    }
    sluice_cost_model table;
    if (absl::Status s = read_struct(custom, table, "sluice_cost_model"); !s.ok()) {
        return s;
    }
    if (absl::Status s = check_flags(table.flags, 0, "sluice_cost_model"); !s.ok()) {
        return s;
    }
    if (table.predict == nullptr) {
        return null_argument("sluice_cost_model.predict");
    }
    return std::make_unique<cost_driver>(table);
}

}  // namespace sluice::capi
