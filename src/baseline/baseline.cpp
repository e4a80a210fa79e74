// SPDX-License-Identifier: Apache-2.0
// The way of a request through a baseline: who is looked at when.
#include "baseline.hpp"

#include <algorithm>
#include <utility>

namespace sluice::baselines {

absl::StatusOr<std::unique_ptr<baseline>> baseline::create(const baseline_options& o,
                                                           outcome_function on_outcome) {
    if (o.l1 == nullptr || o.compute == nullptr || o.device == nullptr || o.store == nullptr ||
        o.home == nullptr) {
        return absl::InvalidArgumentError("a baseline needs a layout, a loop and every seam");
    }
    if (o.l1->groups().size() != 1 || o.l1->groups()[0].rule != hit_rule::all_blocks) {
        return absl::InvalidArgumentError("a baseline knows one group that needs all blocks");
    }
    const std::uint64_t bytes = o.l1->block_bytes(0);
    if (o.block_tokens == 0 || o.loading == 0 || o.l2_bytes < bytes || o.poll <= duration{0}) {
        return absl::InvalidArgumentError(
            "a baseline needs tokens in a block, a block of L2, a load at a time and a poll");
    }
    if (o.policy != nullptr && (o.kind != baseline_kind::coupled || o.cost == nullptr)) {
        return absl::InvalidArgumentError(
            "only the coupled baseline takes a policy, and it needs a cost model beside it");
    }
    if (absl::Status s = o.device->register_layout(*o.l1); !s.ok()) {
        return s;
    }
    const absl::StatusOr<std::span<std::byte>> memory =
        o.device->allocate_pinned(o.l2_bytes / bytes * bytes);
    if (!memory.ok()) {
        return memory.status();
    }
    if (absl::Status s = o.store->register_memory(*memory); !s.ok()) {
        o.device->free_pinned(*memory);
        return s;
    }
    return std::unique_ptr<baseline>(new baseline(o, std::move(on_outcome), *memory));
}

baseline::baseline(const baseline_options& options, outcome_function on_outcome,
                   std::span<std::byte> l2_memory)
    : o_(options),
      on_outcome_(std::move(on_outcome)),
      home_(*options.home),
      block_bytes_(options.l1->block_bytes(0)),
      l2_memory_(l2_memory),
      l1_(options.l1->slots(0)),
      l2_(static_cast<std::uint32_t>(l2_memory.size() / block_bytes_)),
      work_(home_),
      may_admit_(home_),
      room_(home_),
      quiet_(home_),
      fetch_(home_, fetch_use_, options.fetch),
      copy_(home_, copy_use_, options.copy),
      copy_out_(home_, copy_out_use_, options.write_back),
      put_(home_, put_use_, options.write_back),
      tasks_(home_) {}

baseline::~baseline() {
    o_.store->unregister_memory(l2_memory_);
    o_.device->free_pinned(l2_memory_);
}

void baseline::submit(const baseline_spec& spec) {
    if (submitted_ == 0) {  // here, since only the loop may start tasks
        if (o_.kind == baseline_kind::coupled) {
            tasks_.spawn(serve_one_by_one());
        } else {
            tasks_.spawn(admit());
            tasks_.spawn(step());
        }
    }
    std::uint32_t id = static_cast<std::uint32_t>(requests_.size());
    if (free_ids_.empty()) {
        requests_.emplace_back();
    } else {
        id = free_ids_.back();
        free_ids_.pop_back();
    }
    requests_[id] = std::make_unique<request>(home_);
    request& r = *requests_[id];
    r.id = id;
    r.order = submitted_++;
    r.spec = spec;
    r.outcome.user = spec.user;
    r.outcome.id = id;
    r.outcome.report.arrival = spec.arrival == never ? home_.now() : spec.arrival;
    r.view.id = {id, r.order + 1};
    r.view.user = spec.user;
    r.view.arrival = r.outcome.report.arrival;
    r.view.deadline = spec.deadline;
    r.view.prompt_tokens = spec.prompt_tokens;
    if (o_.policy != nullptr) {
        o_.policy->submitted(r.view, home_.now());
    }
    ++live_;
    quiet_.reset();
    for (const block_key& key : spec.keys) {
        r.entries.push_back(table_.intern(key, 0));
    }
    const std::uint64_t least = (spec.prompt_tokens + o_.block_tokens - 1) / o_.block_tokens;
    r.pages_needed = static_cast<std::uint32_t>(std::max<std::uint64_t>(least, spec.pages));
    if (r.pages_needed > l1_.size()) {
        finish(r, absl::OutOfRangeError("the request can never fit into L1"));
        return;
    }
    waiting_.push_back(&r);
    work_.set();
    may_admit_.set();
}

// ---- coupled

task<void> baseline::serve_one_by_one() {
    for (;;) {
        while (waiting_.empty() && !closing_) {
            work_.reset();
            co_await work_;
        }
        if (waiting_.empty()) {
            co_return;
        }
        if (o_.policy != nullptr) {
            co_await meet_waiting();
        }
        request& r = take_next();
        r.outcome.begun = home_.now();
        if (!r.looked_up) {
            co_await look_up(r);
        }
        for (bool loaded = false; !loaded;) {
            while (!reserve(r)) {  // only while write-back holds pages
                room_.reset();
                co_await room_;
            }
            loaded = co_await bring(r);
        }
        co_await compute_one(r);
    }
}

// ---- async

// The connector's half: starts loads, at arrival and whenever the control loop has seen one end.
task<void> baseline::admit() {
    for (;;) {
        while (!closing_ && (waiting_.empty() || loading_ >= o_.loading)) {
            may_admit_.reset();
            co_await may_admit_;
        }
        if (waiting_.empty()) {
            co_return;
        }
        request& r = *waiting_.front();
        if (!r.looked_up) {
            r.outcome.begun = home_.now();
            co_await look_up(r);
        }
        may_admit_.reset();
        if (!reserve(r)) {
            co_await may_admit_;
            continue;
        }
        waiting_.pop_front();
        admitted_.push_back(&r);
        ++loading_;
        tasks_.spawn(load_one(r));
        work_.set();  // an idle control loop polls from now on, or finds that nothing had to move
    }
}

task<void> baseline::load_one(request& r) {
    for (bool loaded = false; !loaded;) {
        loaded = co_await bring(r);
        while (!loaded && !reserve(r)) {
            room_.reset();
            co_await room_;
        }
    }
    r.landed = true;  // and nobody is told: the control loop looks when it looks
}

// The control loop's half: one look per turn, then a computation if something is ready.
task<void> baseline::step() {
    for (;;) {
        auto ready = admitted_.end();
        for (auto it = admitted_.begin(); it != admitted_.end(); ++it) {
            request& r = **it;
            if (r.landed && !r.seen) {
                r.seen = true;
                --loading_;
                may_admit_.set();
            }
            if (r.seen && ready == admitted_.end()) {
                ready = it;
            }
        }
        if (ready != admitted_.end()) {
            request& r = **ready;
            admitted_.erase(ready);
            co_await compute_one(r);
            continue;
        }
        if (closing_) {
            co_return;
        }
        work_.reset();
        if (loading_ > 0) {
            home_.arm(poll_timer_, saturating_add(home_.now(), o_.poll));
        }
        co_await work_;
        home_.disarm(poll_timer_);
    }
}

// ---- parts of the way

task<void> baseline::look_up(request& r) {
    r.found.assign(r.entries.size(), 0);
    if (!r.entries.empty()) {
        awaited<store_lookup> op;
        op.keys = r.spec.keys;
        op.present = r.found;
        class store* const l3 = o_.store;
        const auto start = [l3](store_lookup& o) { l3->lookup(o); };
        const absl::Status status = co_await op.run(home_, start);
        if (!status.ok()) {
            r.found.assign(r.entries.size(), 0);
        }
    }
    r.looked_up = true;
    // A first token needs one that is computed.
    const std::uint64_t loadable = (r.spec.prompt_tokens - 1) / o_.block_tokens;
    r.limit = static_cast<std::uint32_t>(
        std::min<std::uint64_t>({r.entries.size(), r.spec.max_load_blocks, loadable, l2_.size()}));
    r.outcome.report.looked_up = home_.now();
    if (o_.cost != nullptr) {
        predict(r);
    }
}

task<void> baseline::compute_one(request& r) {
    request_report& report = r.outcome.report;
    awaited<compute_job> job;
    job.user = r.spec.user;
    job.loaded_blocks = r.plan;
    job.context_tokens = std::uint64_t{r.plan} * o_.block_tokens;
    job.query_tokens = r.spec.prompt_tokens - job.context_tokens;
    job.pages = r.pages;
    job.pages_per_group = static_cast<std::uint32_t>(r.pages.size());
    report.compute_begin = home_.now();
    class compute* const model = o_.compute;
    const auto start = [model](compute_job& j) { model->start(j); };
    absl::Status status = co_await job.run(home_, start);
    report.first_token = home_.now();
    const duration took = report.first_token - report.compute_begin;
    report.attained.compute = to_seconds(took);
    report.loaded_blocks = r.plan;
    ++stats_.compute.operations;
    stats_.compute.busy += took;
    finish(r, std::move(status));
}

void baseline::finish(request& r, absl::Status status) {
    r.outcome.status = std::move(status);
    ++stats_.outcomes;
    if (r.outcome.status.ok()) {
        publish(r);
        learn(r);
    }
    if (o_.policy != nullptr) {
        o_.policy->done(r.view, home_.now());
    }
    r.kept = r.outcome.status.ok() && r.spec.keep_pages;
    r.storing = true;  // it stays until here, even if it is released meanwhile
    on_outcome_(r.outcome);
    r.storing = r.outcome.status.ok() && r.spec.write_back;
    if (r.storing) {
        tasks_.spawn(store_back(r));
    } else {
        retire(r);
    }
}

void baseline::release(std::uint32_t id) {
    request& r = *requests_[id];
    r.kept = false;
    retire(r);
}

void baseline::retire(request& r) {
    if (r.kept || r.storing) {
        return;
    }
    give_up_pages(r);
    for (const std::uint32_t entry : r.entries) {
        table_.release(entry);
    }
    free_ids_.push_back(r.id);
    requests_[r.id].reset();
    if (--live_ == 0) {
        quiet_.set();
    }
}

// The way back of what was computed. It delays nobody, and never waits for memory.
task<void> baseline::store_back(request& r) {
    const auto cap = static_cast<std::uint32_t>(o_.write_back_share * l2_.size());
    std::vector<std::uint32_t> out;
    r.pending.clear();
    for (std::uint32_t i = r.plan; i < r.entries.size(); ++i) {
        block_entry& e = table_[r.entries[i]];
        if (r.found[i] != 0 || e.l2 != level::absent || e.l1 == level::coming) {
            continue;  // stored, or somebody is about to
        }
        const slot_id s = write_back_slots_ < cap ? take_l2(r.entries[i]) : no_slot;
        if (s == no_slot) {
            ++stats_.store_drops;
            continue;
        }
        ++write_back_slots_;
        e.l2 = level::coming;
        e.l2_slot = s;
        r.pending.push_back(i);
    }
    const auto slots = static_cast<std::uint32_t>(r.pending.size());
    out = r.pending;
    co_await run(r, copy_out_);
    if (!r.kept) {
        give_up_pages(r);
    }
    for (const std::uint32_t i : out) {
        if (table_[r.entries[i]].l2 == level::present) {
            r.pending.push_back(i);
        }
    }
    co_await run(r, put_);
    write_back_slots_ -= slots;
    r.storing = false;
    retire(r);
}

// ---- the rest

task<void> baseline::idle() {
    while (live_ > 0) {
        quiet_.reset();
        co_await quiet_;
    }
}

task<void> baseline::close() {
    co_await idle();
    closing_ = true;
    work_.set();
    may_admit_.set();
    co_await tasks_.join();
}

pipeline_stats baseline::stats() const {
    pipeline_stats s = stats_;
    s.fetch = fetch_.counters();
    s.copy = copy_.counters();
    s.copy_out = copy_out_.counters();
    s.put = put_.counters();
    s.submitted = submitted_;
    s.live_requests = live_;
    s.l1_free = l1_.free();
    s.l1_cold = l1_.cold();
    s.l2_slots = l2_.size();
    s.l2_free = l2_.free();
    s.l2_cold = l2_.cold();
    return s;
}

}  // namespace sluice::baselines
