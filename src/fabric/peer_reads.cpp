// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "peer.hpp"

namespace sluice::fabric {
namespace {

// A node that gives leases too short to be used must not make a get go round for ever.
constexpr std::uint8_t most_stale = 3;

}  // namespace

void peer::locate(read_item& item) {
    to_locate_.push(item);
    take_turn();
}

void peer::read(read_item& item) {
    to_read_.push(item);
    take_turn();
}

void peer::send_locates() {
    while (!to_locate_.empty()) {
        wire::lookup request;
        // The items wait in the call, in the order of their keys.
        auto items = std::make_shared<std::vector<read_item*>>();
        while (!to_locate_.empty() && request.keys.size() < wire::max_batch) {
            read_item& item = to_locate_.pop();
            items->push_back(&item);
            request.keys.push_back(item.op->key);
        }
        settings_.counts->lookups.add();
        const time_point asked = settings_.on->now();
        locating_.push_back(items);
        ask<wire::found>(request, [this, items, asked](absl::StatusOr<wire::found> answer) {
            std::erase(locating_, items);
            if (answer.ok() && answer->blocks.size() != items->size()) {
                answer =
                    absl::InternalError(fmt::format("{} answered for {} of {} keys", health_.node,
                                                    answer->blocks.size(), items->size()));
                condemn(answer.status());
            }
            for (std::size_t i = 0; i < items->size(); ++i) {
                read_item* const item = (*items)[i];
                if (item == nullptr) {
                    continue;  // aborted
                }
                if (answer.ok()) {
                    user_->on_located(*this, *item, answer->blocks[i], asked);
                } else {
                    user_->on_failed(*this, *item,
                                     absl::IsDeadlineExceeded(answer.status())
                                         ? absl::StatusCode::kDeadlineExceeded
                                         : absl::StatusCode::kUnavailable);
                }
            }
            take_turn();
        });
    }
}

// Gives the provider as much as may be in flight.
void peer::pump() {
    for (const auto& s : strands_) {
        if (s->lane != nullptr && s->lane->ready() && !s->broken) {
            pump_writes(*s);
            pump_reads(*s);
        }
    }
}

// A connection that takes nothing while nothing is in flight on it has a soft timeout for that.
void peer::posted(strand& s, bool taken) {
    if (taken) {
        s.deadline = never;
    } else if (s.lane->in_flight() == 0 && s.deadline == never) {
        s.deadline = saturating_add(settings_.on->now(), soft_timeout(0));
        wake_by(s.deadline);
    }
}

void peer::after_transfers() {
    pump();
    for (const auto& s : strands_) {
        if (state_ == node_state::slow && s->lane != nullptr && s->lane->ready() &&
            s->lane->in_flight() == 0) {
            probe_read(*s);  // it was refused before
        }
    }
    if (draining_) {
        take_turn();
    }
}

void peer::pump_reads(strand& s) {
    if (state_ != node_state::ready) {
        return;
    }
    fabric::lane& l = *s.lane;
    const std::uint64_t cap =
        std::max<std::uint64_t>(1, tuning_->bytes_in_flight / strands_.size());
    while (!to_read_.empty() && (l.in_flight() < 2 || l.bytes_in_flight() < cap)) {
        transfer* const t = l.acquire();
        if (t == nullptr) {
            return;
        }
        if (!pack(*t)) {
            l.release(*t);
            continue;
        }
        t->deadline =
            saturating_add(settings_.on->now(), soft_timeout(l.bytes_in_flight() + t->bytes));
        const bool taken = l.post(*t);
        posted(s, taken);
        if (!taken) {
            unpack(*t);
            l.release(*t);
            return;
        }
        wake_by(t->deadline);
        settings_.counts->transfers.add();
        settings_.counts->vectored_transfers.add(t->remotes > 1 ? 1 : 0);
    }
}

// Puts the next blocks into one transfer: neighbours as one piece, others as several.
// \return false if there is none to read after all.
bool peer::pack(transfer& t) {
    const tuning& limits = *tuning_;
    const time_point now = settings_.on->now();
    item_queue<read_item> taken;
    while (!to_read_.empty()) {
        read_item& item = *to_read_.front();
        const spot& where = item.where;
        const std::span<std::byte> into = item.op->into;
        if (where.session != session_ || where.until <= now) {
            // It waited too long, or the node is another one by now.
            if (++to_read_.front()->stale > most_stale) {
                user_->on_failed(*this, to_read_.pop(), absl::StatusCode::kUnavailable);
            } else {
                locate(to_read_.pop());
            }
            continue;
        }
        if (t.bytes != 0 && t.bytes + into.size() > limits.message_bytes) {
            break;
        }
        const std::uint64_t remote = pool_.base + where.offset;
        const bool joins_remote =
            t.remotes > 0 && t.remote[t.remotes - 1].addr + t.remote[t.remotes - 1].len == remote;
        void* descriptor = nullptr;
        if (!settings_.memory->describe(*domain_, into, descriptor)) {
            user_->on_failed(*this, to_read_.pop(), absl::StatusCode::kInvalidArgument);
            continue;
        }
        iovec* const last = t.locals > 0 ? &t.local[t.locals - 1] : nullptr;
        const bool joins_local =
            last != nullptr &&
            static_cast<std::byte*>(last->iov_base) + last->iov_len == into.data() &&
            t.descriptors[t.locals - 1] == descriptor;
        if ((!joins_remote && t.remotes == limits.segments) ||
            (!joins_local && t.locals == limits.buffers)) {
            break;
        }
        if (joins_remote) {
            t.remote[t.remotes - 1].len += into.size();
            settings_.counts->merged_blocks.add();
        } else {
            t.remote[t.remotes++] = {remote, into.size(), pool_.key};
        }
        if (joins_local) {
            last->iov_len += into.size();
        } else {
            t.local[t.locals] = {into.data(), into.size()};
            t.descriptors[t.locals++] = descriptor;
        }
        t.bytes += into.size();
        item.posted = now;
        taken.push(to_read_.pop());
    }
    t.user = taken.take_all();
    return t.bytes != 0;
}

// Its items are the first in the queue again.
void peer::unpack(transfer& t) {
    for (auto* item = static_cast<read_item*>(t.user); item != nullptr;) {
        read_item& current = *item;
        item = item->next;
        refused_.push(current);
    }
    while (!to_read_.empty()) {
        refused_.push(to_read_.pop());
    }
    std::swap(refused_, to_read_);
}

void peer::fail_reads(absl::StatusCode why) {
    for (item_queue<read_item>* const queue : {&to_locate_, &to_read_}) {
        for (read_item* item = queue->take_all(); item != nullptr;) {
            read_item& current = *item;
            item = item->next;
            current.next = nullptr;
            user_->on_failed(*this, current, why);
        }
    }
}

bool peer::abort_read(const operation& op) {
    const auto is_it = [&op](const read_item& item) { return item.op == &op; };
    const auto drop = [this](read_item& item) {
        item.aborted = true;
        user_->on_failed(*this, item, absl::StatusCode::kDeadlineExceeded);
        return true;
    };
    for (item_queue<read_item>* const queue : {&to_locate_, &to_read_}) {
        if (read_item* const item = queue->extract(is_it); item != nullptr) {
            return drop(*item);
        }
    }
    for (const located_items& items : locating_) {
        for (read_item*& item : *items) {
            if (item != nullptr && is_it(*item)) {
                return drop(*std::exchange(item, nullptr));
            }
        }
    }
    for (const auto& s : strands_) {
        const transfer* t = s->lane == nullptr ? nullptr : s->lane->oldest();
        for (; t != nullptr; t = t->newer) {
            auto* item = t->write ? nullptr : static_cast<read_item*>(t->user);
            while (item != nullptr && !is_it(*item)) {
                item = item->next;
            }
            if (item != nullptr) {
                item->aborted = true;
                close_strand(*s, absl::StatusCode::kUnavailable);
                if (welcome_ && state_ == node_state::ready) {
                    open_strand(*s);
                }
                return true;
            }
        }
    }
    return false;
}

}  // namespace sluice::fabric
