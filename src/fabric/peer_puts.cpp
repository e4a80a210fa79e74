// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <sluice/base/checksum.hpp>

#include "peer.hpp"

// Puts go in batches, one at a time per node: the node reserves room for all of a batch next to
// each other, the blocks are written to this client's staging area there, and the node moves those
// into place whose checksums are right.

namespace sluice::fabric {
namespace {

constexpr std::size_t most_items = 256;
constexpr std::uint64_t alignment = 64;

// A node that says no says so as a verdict; all else is that it cannot be had.
absl::StatusCode code_of(const absl::Status& status) noexcept {
    return absl::IsDeadlineExceeded(status) || absl::IsResourceExhausted(status)
               ? status.code()
               : absl::StatusCode::kUnavailable;
}

std::uint64_t aligned(std::uint64_t bytes) noexcept {
    return (bytes + alignment - 1) / alignment * alignment;
}

}  // namespace

void peer::put(put_item& item) {
    to_put_.push(item);
    take_turn();
}

void peer::begin_batch() {
    wire::reserve request;
    std::uint64_t staged = 0;
    while (!to_put_.empty() && request.blocks.size() < most_items) {
        put_item& item = *to_put_.front();
        const std::uint64_t length = item.op->from.size();
        if (length > max_block_bytes_ || length > staging_bytes_) {
            user_->on_put(*this, to_put_.pop(), absl::StatusCode::kResourceExhausted);
            continue;
        }
        if (staged + length > staging_bytes_) {
            break;
        }
        item.staging_offset = staged;
        item.lost = false;
        item.granted = false;
        staged += aligned(length);
        request.blocks.push_back({item.op->key, length});
        batch_.items.push_back(&to_put_.pop());
    }
    if (batch_.items.empty()) {
        return;
    }
    batch_.active = true;
    batch_.writing = false;
    const std::uint64_t number = ++batch_.number;
    ask<wire::reserved>(request, [this, number](absl::StatusOr<wire::reserved> answer) {
        if (!batch_.active || batch_.number != number) {
            return;
        }
        if (answer.ok() && answer->grants.size() != batch_.items.size()) {
            answer = absl::InternalError("the node answered for another number of blocks");
            condemn(answer.status());
            return;
        }
        if (answer.ok()) {
            granted(*answer);
        } else {
            end_batch(code_of(answer.status()));
        }
    });
}

void peer::granted(const wire::reserved& answer) {
    for (std::size_t i = 0; i < batch_.items.size(); ++i) {
        if (batch_.items[i] == nullptr) {
            continue;
        }
        switch (answer.grants[i].verdict) {
        case wire::reserve_verdict::granted:
            batch_.items[i]->granted = true;
            batch_.items[i]->token = answer.grants[i].token;
            batch_.items[i]->checksum = checksum64(batch_.items[i]->op->from);
            break;
        case wire::reserve_verdict::exists: end_item(i, absl::StatusCode::kOk); break;
        default: end_item(i, absl::StatusCode::kResourceExhausted);
        }
    }
    std::erase(batch_.items, nullptr);
    batch_.next_write = 0;
    batch_.writes_left = batch_.items.size();
    batch_.writing = true;
    if (batch_.items.empty()) {
        end_batch(absl::StatusCode::kOk);
    } else {
        take_turn();
    }
}

void peer::pump_writes(strand& s) {
    fabric::lane& l = *s.lane;
    const std::uint64_t cap =
        std::max<std::uint64_t>(1, tuning_->bytes_in_flight / strands_.size());
    while (batch_.writing && batch_.next_write < batch_.items.size() &&
           (l.in_flight() < 2 || l.bytes_in_flight() < cap)) {
        transfer* const t = l.acquire();
        if (t == nullptr) {
            return;
        }
        std::size_t next = batch_.next_write;
        pack(*t, next);
        if (t->bytes == 0) {
            l.release(*t);  // nothing of it can be written
            batch_.next_write = next;
            continue;
        }
        t->deadline =
            saturating_add(settings_.on->now(), soft_timeout(l.bytes_in_flight() + t->bytes));
        const bool taken = l.post(*t);
        posted(s, taken);
        if (!taken) {
            l.release(*t);
            return;
        }
        batch_.next_write = next;
        wake_by(t->deadline);
    }
}

// The blocks of a batch lie next to each other in the staging area: one piece there.
void peer::pack(transfer& t, std::size_t& next) {
    t.write = true;
    put_item* first = nullptr;
    put_item* last = nullptr;
    for (; next < batch_.items.size() && t.locals < tuning_->buffers; ++next) {
        put_item* const item = batch_.items[next];
        if (item == nullptr) {
            continue;
        }
        const std::span<const std::byte> from = item->op->from;
        const std::uint64_t remote = staging_.base + item->staging_offset;
        const bool joins = t.remotes > 0 && t.remote[0].addr + t.remote[0].len == remote;
        if (t.remotes > 0 && (!joins || t.bytes + from.size() > tuning_->message_bytes)) {
            break;
        }
        void* descriptor = nullptr;
        if (!settings_.memory->describe(*domain_, from, descriptor)) {
            --batch_.writes_left;
            end_item(next, absl::StatusCode::kInvalidArgument);
            continue;
        }
        t.local[t.locals] = {const_cast<std::byte*>(from.data()), from.size()};
        t.descriptors[t.locals++] = descriptor;
        if (joins) {
            t.remote[0].len += from.size();
        } else {
            t.remote[t.remotes++] = {remote, from.size(), staging_.key};
        }
        t.bytes += from.size();
        item->next = nullptr;
        (last == nullptr ? first : last->next) = item;
        last = item;
    }
    t.user = first;
    if (t.bytes == 0 && batch_.writes_left == 0) {
        commit_batch();
    }
}

void peer::written(put_item& item, bool ok) {
    item.next = nullptr;
    item.lost = !ok;
    if (--batch_.writes_left == 0) {
        commit_batch();
    }
}

void peer::commit_batch() {
    batch_.writing = false;
    wire::commit request;
    std::uint64_t bytes = 0;
    for (put_item* const item : batch_.items) {
        if (item != nullptr) {
            bytes += item->op->from.size();
            request.blocks.push_back(
                {item->token, item->staging_offset, item->checksum, item->lost});
        }
    }
    std::erase(batch_.items, nullptr);
    if (batch_.items.empty()) {
        end_batch(absl::StatusCode::kOk);
        return;
    }
    const std::uint64_t number = batch_.number;
    ask<wire::committed>(
        request,
        [this, number](absl::StatusOr<wire::committed> answer) {
            if (!batch_.active || batch_.number != number) {
                return;
            }
            if (answer.ok() && answer->verdicts.size() != batch_.items.size()) {
                answer = absl::InternalError("the node answered for another number of blocks");
                condemn(answer.status());
                return;
            }
            if (answer.ok()) {
                committed(*answer);
            } else {
                end_batch(code_of(answer.status()));
            }
        },
        bytes);
}

void peer::committed(const wire::committed& answer) {
    for (std::size_t i = 0; i < batch_.items.size(); ++i) {
        if (batch_.items[i] == nullptr) {
            continue;
        }
        if (batch_.items[i]->lost) {
            end_item(i, absl::StatusCode::kUnavailable);
            continue;
        }
        switch (answer.verdicts[i]) {
        case wire::commit_verdict::stored:
        case wire::commit_verdict::exists: end_item(i, absl::StatusCode::kOk); break;
        case wire::commit_verdict::damaged: end_item(i, absl::StatusCode::kDataLoss); break;
        default: end_item(i, absl::StatusCode::kUnavailable);
        }
    }
    end_batch(absl::StatusCode::kOk);
}

void peer::end_item(std::size_t i, absl::StatusCode how) {
    user_->on_put(*this, *std::exchange(batch_.items[i], nullptr), how);
}

// No write of the batch is in flight. What the node has reserved for it is given back.
void peer::end_batch(absl::StatusCode why) {
    wire::commit request;
    for (std::size_t i = 0; i < batch_.items.size(); ++i) {
        if (batch_.items[i] == nullptr) {
            continue;
        }
        if (batch_.items[i]->granted) {
            request.blocks.push_back({batch_.items[i]->token, 0, 0, true});
        }
        end_item(i, why);
    }
    batch_.items.clear();
    batch_.active = false;
    batch_.writing = false;
    if (welcome_ && !request.blocks.empty()) {
        ask<wire::committed>(request, [](const absl::StatusOr<wire::committed>&) {});
    }
    take_turn();
}

// \pre no data connection is open
void peer::fail_puts(absl::StatusCode why) {
    if (batch_.active) {
        end_batch(why);
    }
    fail_waiting_puts(why);
}

void peer::fail_waiting_puts(absl::StatusCode why) {
    for (put_item* item = to_put_.take_all(); item != nullptr;) {
        put_item& current = *item;
        item = item->next;
        current.next = nullptr;
        user_->on_put(*this, current, why);
    }
}

bool peer::abort_put(const operation& op) {
    if (put_item* const item = to_put_.extract([&op](const put_item& p) { return p.op == &op; });
        item != nullptr) {
        user_->on_put(*this, *item, absl::StatusCode::kDeadlineExceeded);
        return true;
    }
    for (std::size_t i = 0; i < batch_.items.size(); ++i) {
        if (batch_.items[i] == nullptr || batch_.items[i]->op != &op) {
            continue;
        }
        if (!batch_.writing) {
            end_item(i, absl::StatusCode::kDeadlineExceeded);  // only messages are under way
            return true;
        }
        // Nothing tells which connection carries its write.
        close_strands(absl::StatusCode::kUnavailable);
        if (batch_.active) {
            end_batch(absl::StatusCode::kUnavailable);
        }
        if (welcome_ && state_ == node_state::ready) {
            open_strands();
        }
        return true;
    }
    return false;
}

}  // namespace sluice::fabric
