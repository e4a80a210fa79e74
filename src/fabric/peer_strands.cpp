// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/bytes.hpp>

#include "peer.hpp"

namespace sluice::fabric {
namespace {

constexpr duration stir_every = std::chrono::milliseconds(200);
constexpr std::uint64_t least_sample = 64 * kib;  // smaller ones tell the latency, not the rate

/// Goes through what a transfer carries; each item may be queued elsewhere meanwhile.
template <class Item, class Act>
void for_each(const transfer& t, Act act) {
    for (auto* next = static_cast<Item*>(t.user); next != nullptr;) {
        Item& item = *next;
        next = std::exchange(item.next, nullptr);
        act(item);
    }
}

}  // namespace

void peer::open_strands() {
    if (domain_ == nullptr) {
        absl::StatusOr<std::shared_ptr<domain>> d =
            settings_.memory->domain_for(settings_.provider, address_.host);
        if (!d.ok()) {
            condemn(d.status());
            return;
        }
        domain_ = *std::move(d);
        tuning_ = tune(domain_->limits(), settings_.bytes_in_flight);
    }
    while (strands_.size() < settings_.connections) {
        strands_.push_back(std::make_unique<strand>(*this));
    }
    for (const auto& s : strands_) {
        if (s->lane == nullptr && welcome_) {
            open_strand(*s);
        }
    }
}

void peer::open_strand(strand& s) {
    absl::StatusOr<std::unique_ptr<lane>> opened = lane::open(*settings_.on, domain_, s);
    if (!opened.ok()) {
        condemn(opened.status());
        return;
    }
    s.lane = *std::move(opened);
    s.lane->use_congestion_control(settings_.congestion_control);
    s.broken = false;
    wire::open_lane request;
    request.provider = settings_.provider;
    request.kind = domain_->limits().connected ? wire::endpoint_kind::connected
                                               : wire::endpoint_kind::datagram;
    request.endpoint = s.lane->endpoint();
    const std::uint64_t number = ++s.opened;
    ask<wire::lane>(request, [this, &s, number](absl::StatusOr<wire::lane> answer) {
        if (s.lane == nullptr || s.opened != number) {
            return;  // closed meanwhile
        }
        if (!answer.ok()) {
            close_strand(s, absl::StatusCode::kUnavailable);
            if (!welcome_) {
                return;
            }
            if (answer.status().code() != absl::StatusCode::kDeadlineExceeded) {
                condemn(answer.status());
            } else if (state_ == node_state::ready) {
                open_strand(s);  // late answers are counted, so this does not go on for ever
            }
            return;
        }
        pool_ = answer->pool;
        staging_ = answer->staging;
        s.deadline = saturating_add(settings_.on->now(), settings_.connect_timeout);
        wake_by(s.deadline);
        lane::destination to;
        to.endpoint = answer->endpoint;
        to.ticket = answer->ticket;
        if (absl::Status status = s.lane->connect(to); !status.ok()) {
            s.broken = true;
            s.why = std::move(status);
            take_turn();
        }
    });
}

void peer::strand_ready(strand& s) {
    s.deadline = never;
    s.last_end = settings_.on->now();
    if (state_ == node_state::slow) {
        probe_read(s);
    } else {
        if (state_ != node_state::ready) {
            connect_deadline_ = never;
            ++health_.connects;
            come_back();
        }
        take_turn();
    }
}

void peer::probe_read(strand& s) {
    transfer* const t = s.lane->acquire();
    if (t == nullptr) {
        return;
    }
    t->locals = 1;
    t->remotes = 1;
    t->bytes = std::min<std::uint64_t>(scratch_.size(), pool_bytes_);
    t->local[0] = {scratch_.data(), static_cast<std::size_t>(t->bytes)};
    t->remote[0] = {pool_.base, static_cast<std::size_t>(t->bytes), pool_.key};
    t->deadline = saturating_add(settings_.on->now(), soft_timeout(t->bytes));
    if (!settings_.memory->describe(*domain_, scratch_, t->descriptors[0])) {
        // It cannot be tried: then its message must do.
        s.lane->release(*t);
        come_back();
        return;
    }
    const bool taken = s.lane->post(*t);
    if (!taken) {
        s.lane->release(*t);
    }
    posted(s, taken);
    wake_by(t->deadline);
}

void peer::strand_broke(strand& s, absl::Status why) {
    s.broken = true;
    s.why = std::move(why);
    take_turn();
}

void peer::close_strand(strand& s, absl::StatusCode why) {
    s.deadline = never;
    s.broken = false;
    if (s.lane == nullptr) {
        return;
    }
    const std::unique_ptr<fabric::lane> closed = std::move(s.lane);
    closed->close([&](transfer& t) { give_back(t, why); });
}

void peer::close_strands(absl::StatusCode why) {
    for (const auto& s : strands_) {
        close_strand(*s, why);
    }
}

// The items of a transfer that will not end any more.
void peer::give_back(transfer& t, absl::StatusCode why) {
    if (t.write) {
        for_each<put_item>(t, [&](put_item& item) { written(item, false); });
        return;
    }
    for_each<read_item>(t, [&](read_item& item) { user_->on_failed(*this, item, why); });
}

void peer::transferred(strand& s, transfer& t, absl::Status status) {
    if (!status.ok()) {
        health_.error = status;
        give_back(t, absl::StatusCode::kUnavailable);
        return;
    }
    const time_point now = settings_.on->now();
    late_transfers_ = 0;
    if (t.user == nullptr) {
        come_back();  // a probe's
        return;
    }
    if (!domain_->limits().waits && now - stirred_at_ > stir_every) {
        // Where the node has nothing to wait on, it looks often only while it is asked something.
        stirred_at_ = now;
        ask<wire::pong>(wire::ping{}, [](const absl::StatusOr<wire::pong>&) {});
    }
    const double seconds = to_seconds(now - std::max(t.posted_at, s.last_end));
    s.last_end = now;
    if (seconds > 0 && t.bytes >= least_sample) {
        const double rate = static_cast<double>(t.bytes) / seconds;
        bytes_per_second_ = bytes_per_second_ <= 0 ? rate : bytes_per_second_ * 0.9 + rate * 0.1;
        health_.bytes_per_second = bytes_per_second_;
    }
    if (t.write) {
        settings_.counts->bytes_written.add(t.bytes);
        for_each<put_item>(t, [&](put_item& item) { written(item, true); });
        return;
    }
    for_each<read_item>(t, [&](read_item& item) { user_->on_landed(*this, item); });
}

}  // namespace sluice::fabric
