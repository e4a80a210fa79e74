// SPDX-License-Identifier: Apache-2.0
// What is reported of applications. What follows from it is in app_refresh.cpp.
#include <sluice/demand/app_tracker.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "app_tracker_impl.hpp"

namespace sluice::demand {

namespace {

// Of one unit. What a run may hold is less than what numbers can.
constexpr std::uint64_t most_tokens = std::uint64_t{max_call_tokens} * max_calls_per_unit;
constexpr std::uint32_t most_calls = max_calls_per_unit;

bool is_name(std::string_view name) noexcept {
    return !name.empty() && name.size() <= max_name_bytes;
}

// Of one call, if all were alike.
std::uint64_t even_share(std::uint64_t sum, std::uint32_t calls) noexcept {
    return sum / calls + (sum % calls != 0 ? 1 : 0);
}

// As much of `whole` as `of` is of `all`.
std::uint64_t share_of(std::uint64_t whole, std::uint64_t of, std::uint64_t all) noexcept {
    return all == 0
               ? 0
               : static_cast<std::uint64_t>(static_cast<double>(whole) * static_cast<double>(of) /
                                            static_cast<double>(all));
}

}  // namespace

app_tracker::impl::impl(options o) : options_(o) {
    if (options_.models == nullptr) {
        own_models_ = std::make_unique<model_set>();
        options_.models = own_models_.get();
    }
}

// ---- events

template <class Count>
absl::Status app_tracker::impl::refuse(application* a, Count count, absl::Status why) {
    ++(stats_.*count);
    if (a != nullptr && !std::exchange(a->irregular, true)) {
        ++stats_.irregular;
        mark(*a);
    }
    return why;
}

absl::Status app_tracker::impl::unknown(std::string_view event) {
    ++stats_.refused_unknown;
    return absl::NotFoundError(fmt::format(
        "{}: the handle names no live application: it has ended, or never began here", event));
}

absl::StatusOr<time_point> app_tracker::impl::time_of(time_point given) const {
    if (given != never) {
        return given;
    }
    if (ranker_ == nullptr) {
        return absl::FailedPreconditionError(
            "no pipeline has the tracker yet, so there is no clock; give a time");
    }
    return ranker_->now();
}

// In the queue of what is to be worked out.
void app_tracker::impl::mark(application& a) {
    if (std::exchange(a.dirty, true)) {
        return;
    }
    dirty_.push_back(a.index);
    ask();
}

void app_tracker::impl::ask() {
    if (ranker_ != nullptr && !std::exchange(asked_, true)) {
        ranker_->due();
    }
}

absl::StatusOr<app_handle> app_tracker::impl::begin(const app_spec& spec) {
    const std::scoped_lock lock(mutex_);
    if (!is_name(spec.application)) {
        return refuse(nullptr, &app_tracker_stats::refused_value,
                      absl::InvalidArgumentError(fmt::format(
                          "begin: the name of a class has 1 to {} bytes", max_name_bytes)));
    }
    if (!(spec.tenant_weight > 0) || !std::isfinite(spec.tenant_weight)) {
        return refuse(
            nullptr, &app_tracker_stats::refused_value,
            absl::InvalidArgumentError(fmt::format(
                "begin: tenant_weight is {}, not a positive number", spec.tenant_weight)));
    }
    if (stats_.live >= options_.max_applications) {
        return refuse(
            nullptr, &app_tracker_stats::refused_full,
            absl::ResourceExhaustedError(fmt::format(
                "begin: {} applications are live, the limit of max_applications; end some",
                stats_.live)));
    }
    const absl::StatusOr<time_point> at = time_of(spec.arrival);
    if (!at.ok()) {
        return at.status();
    }
    application& a = table_.at(table_.take());
    a.in_class = table_.class_of(spec.application);
    a.tenant = spec.tenant;
    a.tenant_weight = spec.tenant_weight;
    a.user = spec.user;
    a.arrival = a.since = *at;
    a.deadline = spec.deadline;
    a.known_service_s = spec.known_service_s;
    a.known_path_s = spec.known_path_s;
    ++stats_.live;
    ++stats_.begun;
    mark(a);
    return app_handle{a.index, a.epoch};
}

std::string_view app_tracker::impl::name_of_unit(const application& a) {
    const std::uint32_t unit = a.in_local ? a.local_unit : a.visits.back().unit;
    return table_.in_class(a.in_class).units[unit].name;
}

absl::Status app_tracker::impl::begin_unit(app_handle h, const unit_begin& unit) {
    const std::scoped_lock lock(mutex_);
    application* const a = table_.find(h);
    if (a == nullptr) {
        return unknown("begin_unit");
    }
    const auto invalid = [&](std::string_view why) {
        return refuse(a, &app_tracker_stats::refused_value,
                      absl::InvalidArgumentError(fmt::format("begin_unit: {}", why)));
    };
    if (!is_name(unit.unit) || !is_name(unit.backend)) {
        return invalid(
            fmt::format("the names of a unit and its backend have 1 to {} bytes", max_name_bytes));
    }
    if (unit.calls == 0 || unit.calls > most_calls) {
        return invalid(fmt::format("{} calls; 1 to {} are possible", unit.calls, most_calls));
    }
    if (unit.prompt_tokens > most_tokens || unit.cached_tokens > unit.prompt_tokens) {
        return invalid(fmt::format("{} cached tokens of {}; at most {} tokens are possible",
                                   unit.cached_tokens, unit.prompt_tokens, most_tokens));
    }
    if (a->in_unit) {
        return refuse(a, &app_tracker_stats::refused_order,
                      absl::FailedPreconditionError(
                          fmt::format("begin_unit: \"{}\" begins, but \"{}\" has not ended",
                                      unit.unit, name_of_unit(*a))));
    }
    const absl::StatusOr<time_point> at = time_of(unit.time);
    if (!at.ok()) {
        return at.status();
    }
    const std::uint32_t number =
        detail::app_table::unit_of(table_.in_class(a->in_class), unit.unit, unit.backend);
    if (number == no_unit || a->visits.size() >= max_units_per_run) {
        return refuse(a, &app_tracker_stats::refused_value,
                      absl::ResourceExhaustedError(
                          fmt::format("begin_unit: more than {} units of a class, or {} in a run",
                                      detail::app_table::max_units, max_units_per_run)));
    }
    a->in_unit = true;
    a->in_local = table_.in_class(a->in_class).units[number].local;
    if (a->in_local) {
        a->local_unit = number;
    } else {
        unit_visit& v = a->visits.emplace_back();
        v.unit = number;
        v.calls = unit.calls;
        v.prompt_tokens = unit.prompt_tokens;
        v.cached_tokens = unit.cached_tokens;
    }
    a->since = *at;
    a->so_far = {};
    mark(*a);
    return absl::OkStatus();
}

absl::Status app_tracker::impl::progress(app_handle h, const unit_progress& so_far) {
    const std::scoped_lock lock(mutex_);
    application* const a = table_.find(h);
    if (a == nullptr) {
        return unknown("progress");
    }
    if (!a->in_unit || a->in_local) {
        return refuse(a, &app_tracker_stats::refused_order,
                      absl::FailedPreconditionError("progress: no unit is under way"));
    }
    const unit_progress& before = a->so_far;
    if (so_far.prompt_tokens < before.prompt_tokens ||
        so_far.cached_tokens < before.cached_tokens ||
        so_far.completion_tokens < before.completion_tokens ||
        so_far.cached_tokens > so_far.prompt_tokens || so_far.prompt_tokens > most_tokens ||
        so_far.completion_tokens > most_tokens) {
        return refuse(
            a, &app_tracker_stats::refused_value,
            absl::InvalidArgumentError(fmt::format(
                "progress: {} prompt tokens, {} of them cached, and {} completed, after "
                "{}, {} and {}; what a unit has had does not become less, and is at most {}",
                so_far.prompt_tokens, so_far.cached_tokens, so_far.completion_tokens,
                before.prompt_tokens, before.cached_tokens, before.completion_tokens,
                most_tokens)));
    }
    a->so_far = so_far;
    if (!a->dirty && !std::exchange(a->progressed, true)) {
        progressed_.push_back(a->index);
        if (progressed_.size() == 1) {
            ask();
        }
    }
    return absl::OkStatus();
}

absl::Status app_tracker::impl::end_unit(app_handle h, const unit_end& unit) {
    const std::scoped_lock lock(mutex_);
    application* const a = table_.find(h);
    if (a == nullptr) {
        return unknown("end_unit");
    }
    if (!a->in_unit) {
        return refuse(a, &app_tracker_stats::refused_order,
                      absl::FailedPreconditionError("end_unit: no unit is under way"));
    }
    if (a->in_local) {
        const absl::StatusOr<time_point> at = time_of(unit.time);
        if (at.ok()) {
            a->in_unit = a->in_local = false;
            a->since = *at;
            mark(*a);
        }
        return at.status();
    }
    unit_visit v = a->visits.back();
    if (unit.prompt_tokens > 0) {
        v.prompt_tokens = unit.prompt_tokens;
        v.cached_tokens = unit.cached_tokens;
    }
    v.completion_tokens = unit.completion_tokens;
    v.max_prompt_tokens =
        unit.max_prompt_tokens > 0 ? unit.max_prompt_tokens : even_share(v.prompt_tokens, v.calls);
    v.max_completion_tokens = unit.max_completion_tokens > 0
                                  ? unit.max_completion_tokens
                                  : even_share(v.completion_tokens, v.calls);
    const auto impossible = [&](std::uint64_t sum, std::uint64_t longest) {
        return longest > max_call_tokens || longest > sum || longest < even_share(sum, v.calls);
    };
    if (impossible(v.prompt_tokens, v.max_prompt_tokens) ||
        impossible(v.completion_tokens, v.max_completion_tokens) ||
        v.cached_tokens > v.prompt_tokens) {
        return refuse(
            a, &app_tracker_stats::refused_value,
            absl::InvalidArgumentError(fmt::format(
                "end_unit: {} calls with {} prompt tokens (at most {} each, {} cached) and "
                "{} completed (at most {} each) cannot be",
                v.calls, v.prompt_tokens, v.max_prompt_tokens, v.cached_tokens, v.completion_tokens,
                v.max_completion_tokens)));
    }
    if (!(unit.seconds <= max_call_seconds)) {
        return refuse(
            a, &app_tracker_stats::refused_value,
            absl::InvalidArgumentError(fmt::format("end_unit: {} seconds; at most {} are possible",
                                                   unit.seconds, max_call_seconds)));
    }
    const absl::StatusOr<time_point> at = time_of(unit.time);
    if (!at.ok()) {
        return at.status();
    }
    const bool llm = table_.in_class(a->in_class).units[v.unit].llm;
    if (!llm) {
        v.max_seconds = unit.seconds >= 0
                            ? unit.seconds
                            : std::clamp(to_seconds(*at - a->since), 0.0, max_call_seconds);
        v.seconds = v.max_seconds * v.calls;
    }
    v.max_cached_tokens = share_of(v.max_prompt_tokens, v.cached_tokens, v.prompt_tokens);
    a->visits.back() = v;
    a->before += {service_seconds(v, options_.rates), path_seconds(v, options_.rates)};
    a->prompt_tokens += v.prompt_tokens;
    a->completion_tokens += v.completion_tokens;
    a->in_unit = false;
    a->since = *at;
    a->so_far = {};
    mark(*a);
    return absl::OkStatus();
}

absl::Status app_tracker::impl::end(app_handle h, bool complete) {
    const std::scoped_lock lock(mutex_);
    application* const a = table_.find(h);
    if (a == nullptr) {
        return unknown("end");
    }
    a->live = false;
    a->complete = complete && !a->in_unit && !a->irregular;
    --stats_.live;
    ++stats_.ended;
    mark(*a);
    return absl::OkStatus();
}

void app_tracker::impl::add_model(std::unique_ptr<demand_model> model) {
    const std::scoped_lock lock(mutex_);
    new_models_.push_back(std::move(model));
    ask();
}

absl::StatusOr<rank_value> app_tracker::impl::rank(app_handle h) {
    const std::scoped_lock lock(mutex_);
    const application* const a = table_.find(h);
    if (a == nullptr) {
        return absl::NotFoundError("rank: the handle names no live application");
    }
    return a->rank;
}

absl::StatusOr<time_point> app_tracker::impl::deadline(app_handle h) {
    const std::scoped_lock lock(mutex_);
    const application* const a = table_.find(h);
    if (a == nullptr) {
        return absl::NotFoundError("deadline: the handle names no live application");
    }
    return a->deadline;
}

app_tracker_stats app_tracker::impl::stats() {
    const std::scoped_lock lock(mutex_);
    return stats_;
}

// ---- app_tracker

app_tracker::app_tracker(options o) : impl_(std::make_unique<impl>(o)) {}
app_tracker::~app_tracker() = default;

absl::StatusOr<app_handle> app_tracker::begin(const app_spec& spec) { return impl_->begin(spec); }
absl::Status app_tracker::begin_unit(app_handle a, const unit_begin& unit) {
    return impl_->begin_unit(a, unit);
}
absl::Status app_tracker::progress(app_handle a, const unit_progress& so_far) {
    return impl_->progress(a, so_far);
}
absl::Status app_tracker::end_unit(app_handle a, const unit_end& unit) {
    return impl_->end_unit(a, unit);
}
absl::Status app_tracker::end(app_handle a, bool complete) { return impl_->end(a, complete); }
void app_tracker::add_model(std::unique_ptr<demand_model> model) {
    impl_->add_model(std::move(model));
}
absl::StatusOr<rank_value> app_tracker::rank(app_handle a) const { return impl_->rank(a); }
absl::StatusOr<time_point> app_tracker::deadline(app_handle a) const { return impl_->deadline(a); }
app_tracker_stats app_tracker::stats() const { return impl_->stats(); }
void app_tracker::set_observer(app_observer* observer) { impl_->set_observer(observer); }
absl::Status app_tracker::attach(app_ranker& ranker) { return impl_->attach(ranker); }
void app_tracker::detach() noexcept { impl_->detach(); }
time_point app_tracker::refresh(time_point now) { return impl_->refresh(now); }
std::optional<rank_value> app_tracker::rank_now(app_handle a, time_point now) {
    return impl_->rank_now(a, now);
}

}  // namespace sluice::demand
