// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "store_core.hpp"

// Puts, lookups, removes, aborts and what the store says of itself.

namespace sluice::fabric {

/// A lookup, which may go to several nodes.
struct store_core::lookup_job {
    store_lookup* op = nullptr;         // null: it has ended
    std::vector<std::uint32_t> open;    // keys that no node has said to hold yet
    std::vector<std::uint8_t> attempt;  // by key: which of its nodes is the next to be asked
    std::uint32_t messages = 0;         // under way
};

void store_core::start_put(store_put& op) {
    if (op.key.empty() || op.from.empty()) {
        counts_.puts.add();
        op.complete({absl::StatusCode::kInvalidArgument, ""});
        return;
    }
    if (free_jobs_.empty()) {
        jobs_.emplace_back();
        free_jobs_.push_back(&jobs_.back());
    }
    put_job& job = *free_jobs_.back();
    free_jobs_.pop_back();
    job.op = &op;
    job.best = absl::StatusCode::kUnavailable;
    job.since = loop_.now();
    const detail::candidates nodes = placement_.of(op.key);
    job.left = 1;  // until all have been asked
    for (std::uint32_t i = 0; i < nodes.count; ++i) {
        peer& p = *peers_[nodes.nodes[i]];
        if (p.usable()) {
            job.items[i] = put_item{};
            job.items[i].op = &op;
            job.items[i].job = &job;
            ++job.left;
            p.put(job.items[i]);
        }
    }
    put_ended(job, absl::StatusCode::kUnavailable);
}

void store_core::on_put(peer&, put_item& item, absl::StatusCode how) {
    put_ended(*static_cast<put_job*>(item.job), how);
}

// One copy is enough to have been stored; without any, the last reason counts.
void store_core::put_ended(put_job& job, absl::StatusCode how) {
    if (job.best != absl::StatusCode::kOk && how != absl::StatusCode::kUnavailable) {
        job.best = how;
    }
    if (--job.left > 0) {
        return;
    }
    counts_.puts.add();
    store_put& op = *job.op;
    const absl::StatusCode best = job.best;
    const time_point since = job.since;
    free_jobs_.push_back(&job);
    end(op, best, best == absl::StatusCode::kOk ? op.from.size() : 0, since);
}

void store_core::start_lookup(store_lookup& op) {
    if (op.present.size() < op.keys.size() ||
        std::any_of(op.keys.begin(), op.keys.end(), [](const block_key& k) { return k.empty(); })) {
        op.complete({absl::StatusCode::kInvalidArgument, ""});
        return;
    }
    std::fill_n(op.present.begin(), op.keys.size(), std::uint8_t{0});
    const auto job = std::make_shared<lookup_job>();
    job->op = &op;
    job->attempt.resize(op.keys.size());
    job->open.resize(op.keys.size());
    for (std::size_t i = 0; i < op.keys.size(); ++i) {
        job->open[i] = static_cast<std::uint32_t>(i);
    }
    lookups_.push_back(job);
    ask_round(job);
}

// Asks the next node of every key that is open; keys without another one are absent.
void store_core::ask_round(const std::shared_ptr<lookup_job>& job) {
    std::map<std::uint32_t, std::vector<std::uint32_t>> by_node;
    for (const std::uint32_t i : job->open) {
        const detail::candidates nodes = placement_.of(job->op->keys[i]);
        std::uint8_t& attempt = job->attempt[i];
        while (attempt < nodes.count && !peers_[nodes.nodes[attempt]]->usable()) {
            ++attempt;
        }
        if (attempt < nodes.count) {
            by_node[nodes.nodes[attempt++]].push_back(i);
        }
    }
    job->open.clear();
    job->messages = 1;  // until all are sent
    const time_point asked = loop_.now();
    for (const auto& [node, keys] : by_node) {
        peer& p = *peers_[node];
        for (std::size_t from = 0; from < keys.size(); from += wire::max_batch) {
            const std::size_t to = std::min<std::size_t>(keys.size(), from + wire::max_batch);
            std::vector<std::uint32_t> which(keys.begin() + static_cast<std::ptrdiff_t>(from),
                                             keys.begin() + static_cast<std::ptrdiff_t>(to));
            wire::lookup request;
            request.keys.reserve(which.size());
            for (const std::uint32_t i : which) {
                request.keys.push_back(job->op->keys[i]);
            }
            ++job->messages;
            counts_.lookups.add();
            p.ask<wire::found>(request, [this, job, &p, asked, which = std::move(which)](
                                            const absl::StatusOr<wire::found>& answer) {
                answered(job, p, which, answer, asked);
            });
        }
    }
    lookup_step(job);
}

void store_core::answered(const std::shared_ptr<lookup_job>& job, peer& p,
                          const std::vector<std::uint32_t>& which,
                          const absl::StatusOr<wire::found>& answer, time_point asked) {
    if (job->op == nullptr) {
        return;  // aborted
    }
    const bool usable = answer.ok() && answer->blocks.size() == which.size();
    for (std::size_t i = 0; i < which.size(); ++i) {
        const block_key& key = job->op->keys[which[i]];
        spot where;
        if (usable && answer->blocks[i].there() && learn(p, key, answer->blocks[i], asked, where)) {
            job->op->present[which[i]] = 1;
        } else {
            job->open.push_back(which[i]);
        }
    }
    if (answer.ok() && !usable) {
        p.condemn(absl::InvalidArgumentError("the node answered for another number of keys"));
    }
    lookup_step(job);
}

void store_core::lookup_step(const std::shared_ptr<lookup_job>& job) {
    if (--job->messages > 0) {
        return;
    }
    if (!job->open.empty() && options_.replicas > 1) {
        ask_round(job);
        return;
    }
    std::erase(lookups_, job);
    std::exchange(job->op, nullptr)->complete(absl::OkStatus());
}

void store_core::start_remove(store_remove& op) {
    std::map<std::uint32_t, std::vector<block_key>> by_node;
    for (const block_key& key : op.keys) {
        if (key.empty()) {
            continue;
        }
        spots_.forget(key);
        const detail::candidates nodes = placement_.of(key);
        for (std::uint32_t i = 0; i < nodes.count; ++i) {
            if (peers_[nodes.nodes[i]]->usable()) {
                by_node[nodes.nodes[i]].push_back(key);
            }
        }
    }
    const auto job = std::make_shared<spread_job>(spread_job{&op, nullptr, 1});
    spread_.push_back(job);
    for (const auto& [node, keys] : by_node) {
        for (std::size_t from = 0; from < keys.size(); from += wire::max_batch) {
            const std::size_t to = std::min<std::size_t>(keys.size(), from + wire::max_batch);
            wire::remove request;
            request.keys.assign(keys.begin() + static_cast<std::ptrdiff_t>(from),
                                keys.begin() + static_cast<std::ptrdiff_t>(to));
            ++job->messages;
            peers_[node]->ask<wire::removed>(
                request, [this, job](const absl::StatusOr<wire::removed>&) { spread_step(job); });
        }
    }
    spread_step(job);
}

void store_core::spread_step(const std::shared_ptr<spread_job>& job) {
    if (--job->messages > 0 || job->op == nullptr) {
        return;
    }
    std::erase(spread_, job);
    if (job->inspect != nullptr) {
        for (std::size_t i = 0; i < peers_.size(); ++i) {
            job->inspect->reports[i].health = peers_[i]->health();
        }
    }
    job->op->complete(absl::OkStatus());
}

void store_core::start_inspect(fabric_inspect& op) {
    op.reports.assign(peers_.size(), {});
    const auto job = std::make_shared<spread_job>(spread_job{&op, &op, 1});
    spread_.push_back(job);
    const time_point asked = loop_.now();
    for (const auto& p : peers_) {
        if (!p->usable() && p->health().state != node_state::slow) {
            continue;
        }
        ++job->messages;
        p->ask<wire::pong>(
            wire::ping{}, [this, job, asked, i = p->index()](const absl::StatusOr<wire::pong>& a) {
                if (job->op != nullptr && a.ok()) {
                    node_report& r = job->inspect->reports[i];
                    r.answered = true;
                    r.round_trip = loop_.now() - asked;
                    r.blocks = a->blocks;
                    r.bytes = a->bytes;
                    r.capacity = a->capacity;
                    r.evicted = a->evicted;
                    r.damaged = a->damaged;
                    r.connections = a->connections;
                    r.uptime = std::chrono::milliseconds(
                        std::min<std::uint64_t>(a->uptime_ms, std::uint64_t{1} << 40));
                    r.draining = a->draining;
                    r.version = a->version;
                }
                spread_step(job);
            });
    }
    spread_step(job);
}

void store_core::abort_now(operation& op) {
    for (const auto& p : peers_) {
        p->abort(op);  // a put may be at several
    }
    // On a link with a rate it may only now wait for that.
    const auto late = absl::Status(absl::StatusCode::kDeadlineExceeded, "");
    for (const auto& job : lookups_) {
        if (job->op == &op) {
            job->op = nullptr;
            std::erase(lookups_, job);
            op.complete(late);
            return;
        }
    }
    for (const auto& job : spread_) {
        if (job->op == &op) {
            job->op = nullptr;
            std::erase(spread_, job);
            op.complete(late);
            return;
        }
    }
    const auto at = std::find_if(paced_.begin(), paced_.end(),
                                 [&op](const paced_end& e) { return e.op == &op; });
    if (at != paced_.end()) {
        paced_.erase(at);
        op.complete(late);
    }
}

void store_core::set_link_rate(double bytes_per_second) noexcept {
    const std::lock_guard lock(mutex_);
    new_rate_ = bytes_per_second;
    if (!awake_) {
        awake_ = true;
        loop_.post(wake_);
    }
}

void store_core::on_health(peer& p) {
    const std::lock_guard lock(mutex_);
    health_[p.index()] = p.health();
}

std::vector<node_health> store_core::health() const {
    const std::lock_guard lock(mutex_);
    return health_;
}

fabric_store_stats store_core::stats() const noexcept {
    fabric_store_stats out;
    out.gets = counts_.gets.value();
    out.puts = counts_.puts.value();
    out.bytes_read = counts_.bytes_read.value();
    out.bytes_written = counts_.bytes_written.value();
    out.misses = counts_.misses.value();
    out.corrupt = counts_.corrupt.value();
    out.failed = counts_.failed.value();
    out.failovers = counts_.failovers.value();
    out.transfers = counts_.transfers.value();
    out.merged_blocks = counts_.merged_blocks.value();
    out.vectored_transfers = counts_.vectored_transfers.value();
    out.lookups = counts_.lookups.value();
    out.soft_timeouts = counts_.soft_timeouts.value();
    out.stale = counts_.stale.value();
    return out;
}

}  // namespace sluice::fabric
