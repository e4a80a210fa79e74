// SPDX-License-Identifier: Apache-2.0
// The engine of an app server: its calls, and what it reports of them.
#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>

#include "app_server.hpp"

namespace sluice::experiment {
namespace {

// Calls that the pipeline has before it computes them, where calls wait outside.
constexpr std::uint32_t most_inside = 2;

}  // namespace

void app_server::come(std::uint32_t i) {
    if (cold_ != nullptr) {
        cold_->call_comes(i);
    } else {
        enter(i);
    }
}

void app_server::enter(std::uint32_t i) {
    if (s_.options.cache == cache_use::late) {
        outside_.push_back(i);
        submit_waiting();
    } else {
        submit(i);
    }
}

// The next ones by their applications' ranks; by arrival, if policies rank requests.
void app_server::submit_waiting() {
    while (inside_ < most_inside && !outside_.empty()) {
        auto best = outside_.begin();
        if (by_application_) {
            const auto rank = [this](std::uint32_t i) {
                const rank_value r = external_rank(s_.draw.owner[i]);
                return std::pair(r.tier, r.value);
            };
            best = std::min_element(
                outside_.begin(), outside_.end(),
                [&](std::uint32_t a, std::uint32_t b) { return rank(a) < rank(b); });
        }
        const std::uint32_t i = *best;
        outside_.erase(best);
        ++inside_;
        submit(i);
    }
}

void app_server::submit(std::uint32_t i) {
    const load_request& r = s_.draw.calls.requests[i];
    keys_.clear();
    append_keys(r, keys_);
    request_spec spec;
    spec.keys = keys_;
    spec.prompt_tokens = r.prompt_tokens;
    spec.pages = bed_->pages_of(i);
    spec.application = live_[s_.draw.owner[i]].handle;
    spec.write_back = s_.options.load_share == 0 && s_.options.host_gb;  // L3 has it
    spec.user = bed_->user_of(i);
    const absl::StatusOr<request_handle> handle = pipe_->submit(spec);
    keep(annotate(handle.status(), fmt::format("call {}", i)));
    if (handle.ok()) {
        calls_[i].handle = *handle;
    }
}

std::size_t app_server::collect() {
    std::array<request_event, 32> events;
    std::size_t taken = 0;
    while (const std::size_t n = pipe_->poll_events(events)) {
        taken += n;
        for (const request_event& e : std::span(events).first(n)) {
            if (prefixes_ != nullptr && prefixes_->take(e)) {
                continue;
            }
            if (is_outcome(e.kind)) {
                take(e);
            }
        }
    }
    return taken;
}

void app_server::take(const request_event& e) {
    const auto i = static_cast<std::uint32_t>(bed_->request_of(e.user));
    if (e.kind != event_kind::computed) {
        keep(absl::InternalError(fmt::format("call {} has failed", i)));
        return;
    }
    const std::uint64_t prompt = s_.draw.calls.requests[i].prompt_tokens;
    const std::uint64_t loaded =
        std::min(prompt, std::uint64_t{e.blocks} * s_.draw.calls.block_tokens);
    out_.prompt_tokens += prompt;
    out_.computed_tokens += prompt - loaded;
    if (const absl::StatusOr<request_report> report = pipe_->report(e.request); report.ok()) {
        const std::uint64_t bytes = report->bytes_fetched + report->bytes_deduplicated;
        out_.fetched_tokens +=
            std::min(loaded, bytes / bed_->block_bytes() * s_.draw.calls.block_tokens);
        ttft_total_s_ += to_seconds(report->first_token - report->arrival);
    }
    if (s_.options.cache == cache_use::late) {
        --inside_;
        submit_waiting();
    }
    live_task& t = live_[s_.draw.owner[i]];
    t.had.prompt_tokens += prompt;
    t.had.cached_tokens += loaded;
    t.changed = true;
    part_ended(i);
}

void app_server::part_ended(std::uint32_t i) {
    if (--calls_[i].parts > 0) {
        return;
    }
    keep(pipe_->release(calls_[i].handle));
    if (cold_ != nullptr) {
        cold_->call_ended(i);
    }
    const std::uint32_t task = s_.draw.owner[i];
    live_task& t = live_[task];
    const demand::unit_record& unit = *visit_of(task).record;
    t.had.completion_tokens += s_.draw.calls.requests[i].output_tokens;
    t.changed = true;
    if (--t.open_calls > 0) {
        return;
    }
    demand::unit_end end;
    end.prompt_tokens = t.had.prompt_tokens;
    end.cached_tokens = t.had.cached_tokens;
    end.completion_tokens = t.had.completion_tokens;
    for (const demand::call_record& c : unit.calls) {
        end.max_prompt_tokens = std::max<std::uint64_t>(end.max_prompt_tokens, c.prompt_tokens);
        end.max_completion_tokens =
            std::max<std::uint64_t>(end.max_completion_tokens, c.completion_tokens);
    }
    keep(tracker_->end_unit(t.handle, end));
    t.changed = false;
    end_visit(task);
}

void app_server::report_progress() {
    std::vector<std::pair<std::uint32_t, std::uint64_t>> running;  // task, tokens
    bed_->iteration()->for_each_running([&](void* user, std::uint32_t left) {
        const auto i = static_cast<std::uint32_t>(bed_->request_of(user));
        running.emplace_back(s_.draw.owner[i], s_.draw.calls.requests[i].output_tokens - left);
    });
    std::sort(running.begin(), running.end());
    for (std::size_t i = 0; i < running.size();) {
        const std::uint32_t task = running[i].first;
        demand::unit_progress so_far = live_[task].had;
        for (; i < running.size() && running[i].first == task; ++i) {
            so_far.completion_tokens += running[i].second;
        }
        keep(tracker_->progress(live_[task].handle, so_far));
        live_[task].changed = false;
    }
    home().arm(*progress_timer_, saturating_add(home().now(), progress_interval));
}

}  // namespace sluice::experiment
