// SPDX-License-Identifier: Apache-2.0
#include "store_core.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/checksum.hpp>

namespace sluice::fabric {

store_core::store_core(loop& on, const fabric_store_options& options, wire::shared_secret secret,
                       std::vector<wire::address> nodes)
    : loop_(on),
      options_(options),
      placement_(options.nodes, options.replicas),
      limiter_(options.link_rate, duration{0}),
      rate_(options.link_rate),
      gate_(*this),
      wake_(*this) {
    settings_.on = &loop_;
    settings_.provider = options.provider;
    settings_.congestion_control = options.congestion_control;
    settings_.secret = std::move(secret);
    settings_.connections = options.connections;
    settings_.bytes_in_flight = options.bytes_in_flight;
    settings_.soft_timeout = options.soft_timeout;
    settings_.connect_timeout = options.connect_timeout;
    settings_.memory = &memory_;
    settings_.counts = &counts_;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        peers_.push_back(std::make_unique<peer>(settings_, nodes[i], options.nodes[i],
                                                static_cast<std::uint32_t>(i),
                                                static_cast<peer::user&>(*this)));
        health_.push_back(peers_.back()->health());
    }
    const std::lock_guard lock(mutex_);
    awake_ = true;
    loop_.post(wake_);  // the nodes are connected to on the loop
}

store_core::~store_core() { loop_.disarm(gate_); }

void store_core::orphan::operator()(store_core* core) const noexcept {
    // A wake-up that the loop still has finds an empty shell.
    core->peers_.clear();
    core->loop_.disarm(core->gate_);
    {
        const std::lock_guard lock(core->mutex_);
        if (core->awake_) {
            core->orphaned_ = true;
            return;
        }
    }
    delete core;
}

void store_core::on_wake(work& w) noexcept {
    store_core& self = *static_cast<wake&>(w).owner;
    bool faster = false;
    {
        std::unique_lock lock(self.mutex_);
        self.awake_ = false;
        if (self.orphaned_) {
            lock.unlock();
            delete &self;
            return;
        }
        self.taken_.swap(self.inbox_);
        if (self.new_rate_ >= 0) {
            self.rate_ = std::exchange(self.new_rate_, -1);
            self.limiter_.set_rate(self.rate_);
            faster = self.rate_ <= 0;
        }
    }
    if (faster) {
        for (paced_end& e : self.paced_) {
            e.due = time_point::min();  // nothing holds them any more
        }
        self.open_gate();
    }
    if (!std::exchange(self.started_, true)) {
        for (const auto& p : self.peers_) {
            p->start();
        }
    }
    self.take_inbox();
}

void store_core::take_inbox() {
    for (const posted& p : taken_) {
        switch (p.what) {
        case kind::get: start_get(static_cast<store_get&>(*p.op)); break;
        case kind::put: start_put(static_cast<store_put&>(*p.op)); break;
        case kind::lookup: start_lookup(static_cast<store_lookup&>(*p.op)); break;
        case kind::remove: start_remove(static_cast<store_remove&>(*p.op)); break;
        case kind::inspect: start_inspect(static_cast<fabric_inspect&>(*p.op)); break;
        case kind::abort: abort_now(*p.op); break;
        }
    }
    taken_.clear();
}

void store_core::start_get(store_get& op) {
    if (op.key.empty() || op.into.empty()) {
        counts_.gets.add();
        counts_.failed.add();
        op.complete({absl::StatusCode::kInvalidArgument, ""});
        return;
    }
    try_next(new_item(op));
}

// Asks the first node that is left for the block and answers at present.
void store_core::try_next(read_item& item) {
    const detail::candidates nodes = placement_.of(item.op->key);
    const time_point now = loop_.now();
    const spot* const known = spots_.find(item.op->key, now);
    for (; item.attempt < nodes.count; ++item.attempt) {
        peer& p = *peers_[nodes.nodes[item.attempt]];
        if (!p.usable()) {
            item.failure = absl::StatusCode::kUnavailable;
            continue;
        }
        if (known == nullptr || known->node != p.index() || known->session != p.session()) {
            p.locate(item);
        } else if (known->length != item.op->into.size()) {
            end_get(item, absl::StatusCode::kInvalidArgument);
        } else {
            item.where = *known;
            p.read(item);
        }
        return;
    }
    end_get(item, item.failure);
}

void store_core::next_node(read_item& item, absl::StatusCode why) {
    // Damage tells more than absence of an answer, and that more than a miss elsewhere.
    if (item.failure != absl::StatusCode::kDataLoss && why != absl::StatusCode::kNotFound) {
        item.failure = why;
    }
    ++item.attempt;
    item.doubted = false;
    if (item.attempt < options_.replicas) {
        counts_.failovers.add();
    }
    try_next(item);
}

void store_core::on_located(peer& p, read_item& item, const wire::placement& at, time_point asked) {
    if (!at.there()) {
        next_node(item, absl::StatusCode::kNotFound);
    } else if (!p.readable() || !learn(p, item.op->key, at, asked, item.where)) {
        next_node(item, absl::StatusCode::kUnavailable);
    } else if (at.length != item.op->into.size()) {
        end_get(item, absl::StatusCode::kInvalidArgument);
    } else {
        p.read(item);
    }
}

// What a node says is used for nothing before it is known to lie in the node's pool.
bool store_core::learn(peer& p, const block_key& key, const wire::placement& at, time_point asked,
                       spot& out) {
    if (at.length > p.pool_bytes() || at.offset > p.pool_bytes() - at.length) {
        p.condemn(absl::InvalidArgumentError(fmt::format("{} named bytes {} to {} of a pool of {}",
                                                         p.health().node, at.offset,
                                                         at.offset + at.length, p.pool_bytes())));
        return false;
    }
    out = {p.index(),
           p.session(),
           at.offset,
           at.length,
           at.generation,
           at.checksum,
           saturating_add(asked, p.lease())};
    spots_.learn(key, out, loop_.now());
    return true;
}

void store_core::on_landed(peer& p, read_item& item) {
    const bool in_time = loop_.now() < item.where.until;
    const bool right =
        options_.checksums ? checksum64(item.op->into) == item.where.checksum : in_time;
    if (right) {
        counts_.bytes_read.add(item.op->into.size());
        end_get(item, absl::StatusCode::kOk);
        return;
    }
    spots_.forget(item.op->key);
    if (!in_time) {
        // The node may have put something else there meanwhile: where is it now?
        counts_.stale.add();
        if (!std::exchange(item.doubted, true) && p.usable()) {
            p.locate(item);
        } else {
            next_node(item, absl::StatusCode::kUnavailable);
        }
        return;
    }
    counts_.corrupt.add();
    p.ask<wire::reported>(wire::report{item.op->key, item.where.generation},
                          [](const absl::StatusOr<wire::reported>&) {});
    next_node(item, absl::StatusCode::kDataLoss);
}

void store_core::on_failed(peer&, read_item& item, absl::StatusCode why) {
    if (item.aborted) {
        end_get(item, absl::StatusCode::kDeadlineExceeded);
    } else if (why == absl::StatusCode::kInvalidArgument) {
        end_get(item, why);  // not the node's fault: the memory is not registered
    } else {
        next_node(item, why == absl::StatusCode::kDeadlineExceeded
                            ? why
                            : absl::StatusCode::kUnavailable);
    }
}

void store_core::end_get(read_item& item, absl::StatusCode how) {
    counts_.gets.add();
    if (how == absl::StatusCode::kNotFound) {
        counts_.misses.add();
    } else if (how != absl::StatusCode::kOk) {
        counts_.failed.add();
    }
    store_get& op = *item.op;
    const time_point since = item.posted;
    free_item(item);
    end(op, how, how == absl::StatusCode::kOk ? op.into.size() : 0, since);
}

// Completes an operation or, on a link with a rate, when its bytes are through that.
void store_core::end(operation& op, absl::StatusCode how, std::uint64_t bytes, time_point since) {
    if (rate_ <= 0 && paced_.empty()) {
        op.complete(absl::Status(how, ""));
        return;
    }
    const time_point due = bytes == 0 ? limiter_.free_at() : limiter_.admit(since, bytes);
    paced_.push_back({&op, how, due});
    open_gate();
}

void store_core::open_gate() {
    const time_point now = loop_.now();
    while (!paced_.empty() && paced_.front().due <= now) {
        const paced_end through = paced_.front();
        paced_.pop_front();
        through.op->complete(absl::Status(through.how, ""));
    }
    if (!paced_.empty() && (!gate_.armed() || gate_.due() != paced_.front().due)) {
        loop_.arm(gate_, paced_.front().due);
    }
}

read_item& store_core::new_item(store_get& op) {
    if (free_items_.empty()) {
        items_.emplace_back();
        free_items_.push_back(&items_.back());
    }
    read_item& item = *free_items_.back();
    free_items_.pop_back();
    item = read_item{};
    item.op = &op;
    item.posted = loop_.now();
    return item;
}

void store_core::free_item(read_item& item) noexcept { free_items_.push_back(&item); }

}  // namespace sluice::fabric
