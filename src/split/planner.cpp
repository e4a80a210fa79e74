// SPDX-License-Identifier: Apache-2.0
// The planner's requests: what the scheduler asks for, and what it is told of them.
#include "planner.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>
#include <sluice/demand/app_tracker.hpp>
#include <sluice/sched/ready_queue.hpp>

#include "../pipeline/metrics_text.hpp"
#include "../pipeline/options_check.hpp"
#include "planner_apps.hpp"
#include "planner_entry.hpp"

namespace sluice::split {

namespace {

absl::Status stale() {
    return absl::NotFoundError(
        "the handle names no live request: it was released, or never submitted here");
}

std::uint64_t some_number() noexcept {
    std::uint64_t n = 0;
    if (::getentropy(&n, sizeof n) != 0 || n == 0) {
        n = (static_cast<std::uint64_t>(::getpid()) << 32) | 1;
    }
    return n;
}

}  // namespace

absl::StatusOr<std::unique_ptr<planner>> planner::create(planner_options options) {
    const auto out_of = [](std::string_view name, std::uint64_t value, std::uint64_t most) {
        return absl::InvalidArgumentError(
            fmt::format("planner: {} is {}; 1 to {} are possible", name, value, most));
    };
    if (options.workers == 0 || options.workers > max_workers) {
        return out_of("workers", options.workers, max_workers);
    }
    if (options.groups == 0 || options.groups > 255) {
        return out_of("n_groups", options.groups, 255);
    }
    if (options.pages == 0 || options.pages == no_slot) {
        return out_of("pages", options.pages, no_slot - 1);
    }
    if (options.block_bytes > std::uint64_t{1} << 48) {
        return out_of("block_bytes", options.block_bytes, std::uint64_t{1} << 48);
    }
    std::unique_ptr<planner> p(new planner(std::move(options)));
    if (!p->readable_.valid()) {
        return absl::ResourceExhaustedError("planner: no descriptor for events (eventfd failed)");
    }
    std::vector<group_layout> groups(p->options_.groups);
    std::uintptr_t base = 1;
    for (group_layout& g : groups) {
        g.regions = {{.base = base, .stride = 1, .bytes = 1, .slots = p->options_.pages}};
        base += p->options_.pages;
    }
    absl::StatusOr<layout> l1 = layout::create(std::move(groups));
    if (!l1.ok()) {
        return l1.status();
    }
    p->l1_ = *std::move(l1);
    p->checks_.l1 = &*p->l1_;
    p->checks_.block_tokens = p->options_.block_tokens;
    p->checks_.owner = l1_owner::engine;
    p->checks_.applications = p->options_.applications;
    p->generation_ = p->options_.cost->generation();
    SLUICE_RETURN_IF_ERROR(annotate(p->take_applications(), "planner: applications"));
    return p;
}

planner::planner(planner_options options) : options_(std::move(options)), id_(some_number()) {}

const planner::entry* planner::find(request_handle h) const noexcept {
    if (h.index >= entries_.size()) {
        return nullptr;
    }
    const entry& e = entries_[h.index];
    return e.live && e.handle() == h ? &e : nullptr;
}
planner::entry* planner::find(request_handle h) noexcept {
    return const_cast<entry*>(std::as_const(*this).find(h));
}

absl::StatusOr<planner::entry*> planner::take_entry() {
    if (stats_.live_requests >= options_.max_requests) {
        return absl::ResourceExhaustedError(
            fmt::format("submit: {} requests are live, the limit of max_requests; release some",
                        stats_.live_requests));
    }
    if (free_.empty()) {
        free_.push_back(static_cast<std::uint32_t>(entries_.size()));
        entries_.emplace_back(free_.back());
    }
    entry& e = entries_[free_.back()];
    free_.pop_back();
    const std::uint32_t epoch = std::max(e.view.id.epoch + 1, 1U);
    e = entry(e.view.id.index);
    e.view.id.epoch = epoch;
    e.live = true;
    e.order = next_order_++;
    e.compute_rank = pack_rank(std::numeric_limits<double>::infinity());
    ++stats_.live_requests;
    ++stats_.submitted;
    return &e;
}

order& planner::tell(const entry& e, order::kind what) {
    order& o = orders_.emplace_back();
    o.what = what;
    o.request = e.id();
    return o;
}

void planner::tell_once(entry& e, order::kind what, bool& told) {
    if (!std::exchange(told, true)) {
        tell(e, what);
    }
}

void planner::note(const entry& e, news::kind what) {
    news_.push_back({what, e.view, e.story.loaded_blocks, e.story.bytes_fetched});
}

// ---- what the scheduler asks for

absl::StatusOr<request_handle> planner::submit(const request_spec& spec) {
    const auto shape = sluice::detail::check_spec(checks_, spec);
    if (!shape.ok()) {
        return shape.status();
    }
    const time_point now = options_.now();
    absl::StatusOr<time_point> application_deadline = absl::NotFoundError("none");
    if (spec.application != app_handle{}) {
        application_deadline = options_.applications->deadline(spec.application);
    }
    const std::scoped_lock lock(mutex_);
    const absl::StatusOr<entry*> fresh = take_entry();
    if (!fresh.ok()) {
        return fresh.status();
    }
    entry& e = **fresh;
    e.write_back = spec.write_back && !spec.prewarm;
    e.tell_lookup = spec.tell_lookup;
    e.blocks = shape->blocks;
    e.per_group = shape->per_group;
    e.resident = std::min(spec.resident_blocks, shape->blocks);
    e.max_load = std::min(spec.max_load_blocks, shape->loadable);
    sluice::detail::describe(spec, now, e.view);
    if (application_deadline.ok()) {
        e.view.application = spec.application;
        e.view.deadline = std::min(e.view.deadline, *application_deadline);
    }
    if (spec.prewarm) {
        e.view.prewarm = true;
        e.view.prompt_tokens = std::uint64_t{e.blocks} * options_.block_tokens;
        e.compute_rank =
            pack_rank({std::numeric_limits<double>::infinity(), rank_tier::background});
    }
    e.story.arrival = e.view.arrival;
    order& o = tell(e, order::kind::submit);
    o.keys.assign(spec.keys.begin(), spec.keys.end());
    o.prompt_tokens = e.view.prompt_tokens;
    o.prewarm = spec.prewarm;
    o.pages_per_group = shape->per_group;
    o.resident_blocks = e.resident;
    o.max_load_blocks = spec.max_load_blocks;
    o.min_query_tokens = spec.min_query_tokens;
    o.load_timeout_ns = static_cast<std::uint64_t>(spec.load_timeout.count());
    o.tenant = spec.tenant;
    o.tenant_weight = spec.tenant_weight;
    o.write_back = e.write_back;
    // Behind all that are ranked, and among those by arrival, until the policy has ranked it.
    o.rank = {std::numeric_limits<double>::infinity(),
              spec.prewarm ? rank_tier::background : rank_tier::normal};
    note(e, news::kind::submitted);
    return e.handle();
}

absl::StatusOr<request_handle> planner::store_blocks(std::span<const block_key> keys,
                                                     std::span<const slot_id> pages, void* user) {
    const auto blocks = sluice::detail::check_stored(checks_, keys, pages);
    if (!blocks.ok()) {
        return blocks.status();
    }
    const std::scoped_lock lock(mutex_);
    const absl::StatusOr<entry*> fresh = take_entry();
    if (!fresh.ok()) {
        return fresh.status();
    }
    entry& e = **fresh;
    e.storing = e.stored_owed = true;
    e.blocks = e.per_group = *blocks;
    e.view.user = user;
    order& o = tell(e, order::kind::store);
    o.keys.assign(keys.begin(), keys.end());
    o.pages.assign(pages.begin(), pages.end());
    return e.handle();
}

absl::Status planner::bind(request_handle h, std::span<const slot_id> pages) {
    const std::scoped_lock lock(mutex_);
    entry* const e = find(h);
    if (e == nullptr) {
        return stale();
    }
    SLUICE_RETURN_IF_ERROR(sluice::detail::check_pages("bind", *l1_, e->per_group, pages));
    if (e->view.prewarm) {
        return absl::FailedPreconditionError("bind: a request that prewarms takes no pages");
    }
    if (!e->pages.empty() || e->storing) {
        return absl::FailedPreconditionError("bind: the request has its pages already");
    }
    e->pages.assign(pages.begin(), pages.end());
    tell(*e, order::kind::bind).pages = e->pages;
    return absl::OkStatus();
}

absl::Status planner::detach(request_handle h) {
    const std::scoped_lock lock(mutex_);
    entry* const e = find(h);
    if (e == nullptr) {
        return stale();
    }
    if (!e->ended) {
        tell_once(*e, order::kind::detach, e->detach_told);
    }
    return absl::OkStatus();
}

absl::Status planner::cancel(request_handle h) {
    const std::scoped_lock lock(mutex_);
    entry* const e = find(h);
    if (e == nullptr) {
        return stale();
    }
    if (!e->ended && !recall(*e)) {
        tell_once(*e, order::kind::cancel, e->cancel_told);
    }
    return absl::OkStatus();
}

bool planner::recall(entry& e) {
    if (e.exported) {
        return false;
    }
    recalled_.push_back(e.id());
    if (recalled_.size() * 4 > orders_.size()) {
        forget_recalled();
    }
    e.release_told = true;  // there is nobody to tell
    e.stored_owed = false;
    settle(e, event_kind::cancelled, 0, false, absl::OkStatus());
    return true;
}

// Many at once: each looks through all the orders.
void planner::forget_recalled() {
    if (recalled_.empty()) {
        return;
    }
    std::ranges::sort(recalled_);
    std::erase_if(orders_,
                  [&](const order& o) { return std::ranges::binary_search(recalled_, o.request); });
    recalled_.clear();
}

absl::Status planner::release(request_handle h) {
    const std::scoped_lock lock(mutex_);
    entry* const e = find(h);
    if (e == nullptr) {
        return stale();
    }
    e->released = true;
    if (e->ended) {
        offers_.erase(h.index);
        tell_once(*e, order::kind::release, e->release_told);
        retire_if_over(*e);
    } else if (!recall(*e)) {
        tell_once(*e, order::kind::cancel, e->cancel_told);
    }
    return absl::OkStatus();
}

absl::Status planner::set_rank(request_handle h, rank_value rank) {
    if (std::isnan(rank.value)) {
        return absl::InvalidArgumentError("set_rank: the rank is not a number");
    }
    const std::scoped_lock lock(mutex_);
    entry* const e = find(h);
    if (e == nullptr) {
        return stale();
    }
    e->view.rank = rank.value;
    e->view.tier = rank.tier;
    note(*e, news::kind::ranked);
    return absl::OkStatus();
}

absl::Status planner::compute_done(request_handle h, double seconds) {
    const time_point now = options_.now();
    const std::scoped_lock lock(mutex_);
    entry* const e = find(h);
    if (e == nullptr) {
        return stale();
    }
    if (e->released) {  // nobody could be told any more
        return absl::FailedPreconditionError("compute_done: the request was released");
    }
    const std::optional<fact>& outcome = e->known(fact::kind::outcome);
    if (!e->ended || !outcome || outcome->end > event_kind::detached) {
        return absl::FailedPreconditionError("compute_done: the request is not ready");
    }
    if (std::exchange(e->computed, true)) {
        return absl::FailedPreconditionError("compute_done: reported before");
    }
    seconds = std::isfinite(seconds) && seconds > 0 ? std::min(seconds, 1e9) : 0;
    e->story.first_token = now;
    e->view.attained.compute = seconds;
    e->stored_owed = e->write_back;
    tell(*e, order::kind::compute_done).seconds = seconds;
    note(*e, news::kind::computed);
    return absl::OkStatus();
}

// ---- what is known

absl::StatusOr<std::vector<slot_id>> planner::pages(request_handle h) const {
    const std::scoped_lock lock(mutex_);
    const entry* const e = find(h);
    if (e == nullptr) {
        return stale();
    }
    if (!e->ended || e->storing) {
        return absl::FailedPreconditionError("pages: the request is not loaded yet");
    }
    return e->pages;
}

absl::StatusOr<request_progress> planner::progress(request_handle h) const {
    const std::scoped_lock lock(mutex_);
    const entry* const e = find(h);
    if (e == nullptr) {
        return stale();
    }
    request_progress p;
    p.looked_up = e->story.looked_up != never;
    p.hit_blocks = e->story.hit_blocks;
    p.planned_blocks = e->ended ? e->story.loaded_blocks : e->story.planned_blocks;
    if (!e->ended && p.planned_blocks > e->resident) {
        p.fetching = p.loading = (p.planned_blocks - e->resident) * options_.groups;
    }
    p.predicted = e->story.predicted;
    return p;
}

absl::StatusOr<request_report> planner::report(request_handle h) const {
    const std::scoped_lock lock(mutex_);
    const entry* const e = find(h);
    if (e == nullptr) {
        return stale();
    }
    if (!e->ended) {
        return absl::FailedPreconditionError("report: the request has had no outcome yet");
    }
    request_report r = e->story;
    r.attained = e->view.attained;
    return r;
}

void planner::sort_by_rank(std::span<request_handle> requests) const {
    const std::scoped_lock lock(mutex_);
    std::ranges::stable_sort(requests, [this](request_handle a, request_handle b) {
        const entry* const x = find(a);
        const entry* const y = find(b);
        if (x == nullptr || y == nullptr) {
            return x != nullptr && y == nullptr;
        }
        return x->compute_key() < y->compute_key();
    });
}

request_handle planner::next_ready() {
    const std::scoped_lock lock(mutex_);
    if (offers_.empty()) {
        return {};
    }
    const std::uint32_t best = offers_.top();
    offers_.pop();
    return entries_[best].handle();
}

pipeline_stats planner::stats() const {
    const std::scoped_lock lock(mutex_);
    pipeline_stats s = stats_;
    s.policy_faults = options_.policy->faults();
    return s;
}

std::string planner::metrics_text() const {
    return sluice::detail::metrics_text(stats(), options_.applications);
}

}  // namespace sluice::split
