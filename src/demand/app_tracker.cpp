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

constexpr std::uint64_t most_tokens = 1'000'000'000'000;  // of one unit
constexpr std::uint32_t most_calls = 1'000'000;
constexpr double most_seconds = 1e9;

bool is_name(std::string_view name) noexcept {
    return !name.empty() && name.size() <= detail::app_table::max_name;
}

// Of one call, if all were alike.
std::uint64_t even_share(std::uint64_t sum, std::uint32_t calls) noexcept {
    return sum / calls + (sum % calls != 0 ? 1 : 0);
}

}  // namespace

detail::spent detail::spent_on(const service_rates& rates, const visit& v, bool llm) noexcept {
    if (!llm) {
        return {v.seconds * v.calls, v.seconds};
    }
    const auto seconds = [&](double prompt, double cached, double completion) {
        return rates.load_s_per_token * cached + rates.prefill_s_per_token * (prompt - cached) +
               rates.decode_s_per_token * completion;
    };
    const auto prompt = static_cast<double>(v.prompt_tokens);
    const auto cached = static_cast<double>(v.cached_tokens);
    const auto longest = static_cast<double>(v.max_prompt_tokens);
    return {seconds(prompt, cached, static_cast<double>(v.completion_tokens)),
            seconds(longest, prompt > 0 ? longest * cached / prompt : 0,
                    static_cast<double>(v.max_completion_tokens))};
}

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
        return refuse(
            nullptr, &app_tracker_stats::refused_value,
            absl::InvalidArgumentError(fmt::format("begin: the name of a class has 1 to {} bytes",
                                                   detail::app_table::max_name)));
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
        return invalid(fmt::format("the names of a unit and its backend have 1 to {} bytes",
                                   detail::app_table::max_name));
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
                      absl::FailedPreconditionError(fmt::format(
                          "begin_unit: \"{}\" begins, but \"{}\" has not ended", unit.unit,
                          table_.in_class(a->in_class).units[a->visits.back().unit].name)));
    }
    const absl::StatusOr<time_point> at = time_of(unit.time);
    if (!at.ok()) {
        return at.status();
    }
    const std::uint32_t number =
        detail::app_table::unit_of(table_.in_class(a->in_class), unit.unit, unit.backend);
    if (number == detail::app_table::no_unit || a->visits.size() >= most_visits) {
        return refuse(a, &app_tracker_stats::refused_value,
                      absl::ResourceExhaustedError(
                          fmt::format("begin_unit: more than {} units of a class, or {} in a run",
                                      detail::app_table::max_units, most_visits)));
    }
    detail::visit& v = a->visits.emplace_back();
    v.unit = number;
    v.calls = unit.calls;
    v.prompt_tokens = unit.prompt_tokens;
    v.cached_tokens = unit.cached_tokens;
    a->in_unit = true;
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
    if (!a->in_unit) {
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
    detail::visit v = a->visits.back();
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
        return sum > most_tokens || longest > sum || longest < even_share(sum, v.calls);
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
    if (!(unit.seconds <= most_seconds)) {
        return refuse(
            a, &app_tracker_stats::refused_value,
            absl::InvalidArgumentError(fmt::format("end_unit: {} seconds; at most {} are possible",
                                                   unit.seconds, most_seconds)));
    }
    const absl::StatusOr<time_point> at = time_of(unit.time);
    if (!at.ok()) {
        return at.status();
    }
    const bool llm = table_.in_class(a->in_class).units[v.unit].llm;
    if (!llm) {
        v.seconds = unit.seconds >= 0 ? unit.seconds
                                      : std::clamp(to_seconds(*at - a->since), 0.0, most_seconds);
    }
    a->visits.back() = v;
    a->before += detail::spent_on(options_.rates, v, llm);
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
