// SPDX-License-Identifier: Apache-2.0
#include "peer.hpp"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

namespace sluice::fabric {
namespace {

using namespace std::chrono_literals;

constexpr duration least_soft_timeout = 250ms;
constexpr duration most_soft_timeout = 10s;
// A node that is asked for much at once does its work at least so fast.
constexpr double least_work_rate = 20e6;
constexpr duration first_pause = 50ms;
constexpr duration longest_pause = 5s;
constexpr std::uint32_t strikes_to_slow = 2;
constexpr duration time_to_look = 2ms;

absl::Status failure_in(const wire::frame& f) {
    const absl::StatusOr<wire::failure> failure = wire::decode<wire::failure>(f.body);
    return failure.ok() ? wire::status_of(*failure) : failure.status();
}

}  // namespace

peer::peer(const peer_settings& settings, const wire::address& at, std::string name,
           std::uint32_t index, user& who)
    : settings_(settings),
      address_(at),
      index_(index),
      user_(&who),
      alarm_(*this),
      turn_(
          *settings.on, [](void* p) noexcept { static_cast<peer*>(p)->on_turn(); }, this) {
    health_.node = std::move(name);
}

peer::~peer() { settings_.on->disarm(alarm_); }

void peer::start() { connect(); }

void peer::connect() {
    loop& on = *settings_.on;
    retry_at_ = never;
    welcome_ = false;
    draining_ = false;
    handshake_.emplace(*settings_.secret);
    connect_deadline_ = saturating_add(on.now(), settings_.connect_timeout);
    wake_by(connect_deadline_);
    absl::StatusOr<std::unique_ptr<wire::connection>> control =
        wire::connection::connect(on, address_, *this);
    if (!control.ok()) {
        go_down(control.status());
        return;
    }
    control_ = *std::move(control);
}

void peer::on_connected(wire::connection& c) { c.send(handshake_->begin(), 0); }

void peer::on_closed(wire::connection& c, absl::Status why) {
    if (&c != control_.get()) {
        return;  // given up before
    }
    if (why.ok()) {
        why = absl::UnavailableError("the node closed the connection");
    }
    go_down(std::move(why));
}

void peer::on_frame(wire::connection&, const wire::frame& f) {
    if (!welcome_) {
        shake_hands(f);
        return;
    }
    if (f.type == wire::message_type::draining) {
        // What it has begun to read may be read; nothing new is asked.
        draining_ = true;
        fail_waiting_puts(absl::StatusCode::kUnavailable);
        user_->on_health(*this);
        take_turn();
        return;
    }
    const auto at = calls_.find(f.id);
    if (at == calls_.end()) {
        return;  // the answer to what has timed out
    }
    pending_call call = std::move(at->second);
    calls_.erase(at);
    late_calls_ = 0;
    if (f.type == wire::message_type::failure) {
        call.then(failure_in(f));
    } else if (f.type != call.answer) {
        const absl::Status wrong = absl::InternalError(
            fmt::format("{} answered with a message of type {} where {} was due", health_.node,
                        static_cast<int>(f.type), static_cast<int>(call.answer)));
        call.then(wrong);
        condemn(wrong);
    } else {
        call.then(f);
    }
    if (draining_) {
        take_turn();
    }
}

void peer::shake_hands(const wire::frame& f) {
    absl::Status status = absl::InvalidArgumentError("the node does not speak the protocol");
    if (f.type == wire::message_type::challenge) {
        const absl::StatusOr<wire::challenge> c = wire::decode<wire::challenge>(f.body);
        status = c.status();
        if (c.ok()) {
            const absl::StatusOr<wire::proof> proof = handshake_->answer(*c);
            status = proof.status();
            if (proof.ok()) {
                control_->send(*proof, 0);
            }
        }
    } else if (f.type == wire::message_type::welcome) {
        const absl::StatusOr<wire::welcome> w = wire::decode<wire::welcome>(f.body);
        status = w.ok() ? handshake_->finish(*w) : w.status();
        if (status.ok()) {
            welcomed(*w);
        }
    } else if (f.type == wire::message_type::failure) {
        status = failure_in(f);
    }
    if (!status.ok()) {
        condemn(std::move(status));
    }
}

void peer::welcomed(const wire::welcome& w) {
    welcome_ = true;
    ++session_;
    pool_bytes_ = w.pool_bytes;
    max_block_bytes_ = w.max_block_bytes;
    staging_bytes_ = w.staging_bytes;
    // A part of the lease goes to the clocks' running differently and to the message's way.
    lease_ = std::chrono::milliseconds(w.lease_ms) * 9 / 10;
    send_outbox();
    if (control_ != nullptr) {
        open_strands();
    }
}

void peer::condemn(absl::Status why) {
    pause_ = longest_pause;  // trying again soon would end the same way
    go_down(std::move(why));
}

// Everything that was under way fails over to other nodes.
void peer::go_down(absl::Status why) {
    // May be called by the connection itself, which must not die in its own callback's caller.
    ended_control_ = std::move(control_);
    if (ended_control_ != nullptr) {
        ended_control_->close_when_sent();
    }
    connect_deadline_ = never;
    welcome_ = false;
    draining_ = false;
    health_.error = why;
    pause_ = pause_ == duration{0} ? first_pause : std::min(pause_ * 2, longest_pause);
    retry_at_ = saturating_add(settings_.on->now(), pause_);
    set_state(node_state::down);
    close_strands(absl::StatusCode::kUnavailable);
    fail_calls(absl::UnavailableError(""));
    fail_reads(absl::StatusCode::kUnavailable);
    fail_puts(absl::StatusCode::kUnavailable);
    outbox_.clear();
    wake_by(retry_at_);
}

void peer::go_slow() {
    pause_ = least_soft_timeout;
    retry_at_ = saturating_add(settings_.on->now(), pause_);
    set_state(node_state::slow);
    close_strands(absl::StatusCode::kDeadlineExceeded);
    fail_reads(absl::StatusCode::kDeadlineExceeded);
    fail_puts(absl::StatusCode::kDeadlineExceeded);
    wake_by(retry_at_);
}

void peer::come_back() {
    late_calls_ = 0;
    late_transfers_ = 0;
    pause_ = duration{0};
    retry_at_ = never;
    health_.error = absl::OkStatus();
    set_state(node_state::ready);
}

void peer::strike(std::uint32_t& in_a_row) {
    ++health_.soft_timeouts;
    settings_.counts->soft_timeouts.add();
    user_->on_health(*this);
    if (state_ == node_state::ready && ++in_a_row >= strikes_to_slow) {
        health_.error = absl::DeadlineExceededError("timed out twice in a row");
        go_slow();
    }
}

void peer::set_state(node_state s) {
    if (state_ != s) {
        state_ = s;
        health_.state = s;
        user_->on_health(*this);
    }
}

duration peer::soft_timeout(std::uint64_t bytes) const noexcept {
    if (settings_.soft_timeout > duration{0}) {
        return settings_.soft_timeout;
    }
    if (bytes_per_second_ <= 0) {
        return least_soft_timeout;
    }
    const double predicted = static_cast<double>(bytes) / bytes_per_second_;
    return std::clamp(from_seconds(4 * predicted), least_soft_timeout, most_soft_timeout);
}

void peer::wake_by(time_point at) {
    if (at != never && (!alarm_.armed() || alarm_.due() > at)) {
        settings_.on->arm(alarm_, at);
    }
}

bool peer::is_late(const strand& s, time_point now) noexcept {
    return s.deadline <= now ||
           (s.lane != nullptr && s.lane->oldest() != nullptr && s.lane->oldest()->deadline <= now);
}

// Whether something has not come in time, and not only because this loop has slept too long: then
// what has come is looked at first.
bool peer::finds_lateness(time_point now) noexcept {
    bool late = now >= connect_deadline_ && state_ != node_state::ready;
    for (const auto& [id, call] : calls_) {
        late = late || call.deadline <= now;
    }
    for (const auto& s : strands_) {
        late = late || is_late(*s, now);
    }
    if (late && !std::exchange(looked_, true)) {
        settings_.on->arm(alarm_, now + time_to_look);
        return false;
    }
    looked_ = false;
    return late;
}

// Fires at the earliest of what there was to watch; looks what has come of it.
void peer::on_alarm() {
    const time_point now = settings_.on->now();
    if (finds_lateness(now)) {
        give_up_late(now);
    } else if (looked_) {
        return;
    }
    if (now >= retry_at_) {
        if (state_ == node_state::down) {
            ended_control_.reset();
            connect();
        } else if (state_ == node_state::slow) {
            probe();
        }
    }
    time_point next = std::min(connect_deadline_, retry_at_);
    for (const auto& [id, call] : calls_) {
        next = std::min(next, call.deadline);
    }
    for (const auto& s : strands_) {
        next = std::min(next, s->deadline);
        if (s->lane != nullptr && s->lane->oldest() != nullptr) {
            next = std::min(next, s->lane->oldest()->deadline);
        }
    }
    wake_by(next);
}

void peer::give_up_late(time_point now) {
    if (now >= connect_deadline_ && state_ != node_state::ready) {
        go_down(absl::DeadlineExceededError(
            fmt::format("{} did not answer while being connected to", health_.node)));
    }
    std::vector<pending_call> late;
    for (auto at = calls_.begin(); at != calls_.end();) {
        if (at->second.deadline <= now) {
            late.push_back(std::move(at->second));
            at = calls_.erase(at);
        } else {
            ++at;
        }
    }
    for (const pending_call& call : late) {
        call.then(absl::DeadlineExceededError(""));
    }
    if (!late.empty()) {
        strike(late_calls_);
    }
    for (const auto& s : strands_) {
        if (is_late(*s, now)) {
            close_strand(*s, absl::StatusCode::kDeadlineExceeded);
            strike(late_transfers_);
            if (welcome_ && state_ == node_state::ready) {
                open_strand(*s);
            }
        }
    }
}

// A slow node gets one message and one small read at a time, until both come in time.
void peer::probe() {
    pause_ = std::min(pause_ * 2, longest_pause);
    retry_at_ = saturating_add(settings_.on->now(), pause_);
    wake_by(retry_at_);
    ask<wire::pong>(wire::ping{}, [this](absl::StatusOr<wire::pong> pong) {
        if (pong.ok() && state_ == node_state::slow && welcome_) {
            open_strands();
        }
    });
}

std::uint64_t peer::add_call(wire::message_type answer, std::uint64_t work,
                             std::function<void(const absl::StatusOr<wire::frame>&)> then) {
    // While it is being connected to, what is asked waits for that.
    const time_point now = settings_.on->now();
    time_point deadline = saturating_add(
        now, soft_timeout(0) + from_seconds(static_cast<double>(work) / least_work_rate));
    if (!welcome_ && connect_deadline_ != never) {
        deadline = std::max(deadline, connect_deadline_);
    }
    const std::uint64_t id = next_call_++;
    calls_.emplace(id, pending_call{answer, deadline, std::move(then)});
    wake_by(deadline);
    return id;
}

void peer::send_outbox() {
    if (welcome_ && control_ != nullptr && !outbox_.empty()) {
        control_->send_frames(outbox_);
        outbox_.clear();
    }
}

void peer::fail_calls(absl::Status why) {
    const std::map<std::uint64_t, pending_call> calls = std::exchange(calls_, {});
    for (const auto& [id, call] : calls) {
        call.then(why);
    }
}

// What cannot be done inside the callbacks of lanes and connections.
void peer::on_turn() {
    for (const auto& s : strands_) {
        if (s->broken) {
            const absl::Status why = s->why;
            close_strand(*s, absl::StatusCode::kUnavailable);
            if (!welcome_ || state_ == node_state::down) {
                continue;
            }
            // Without data connections the node is of no use; the control connection's next
            // attempt is the data connections', too.
            go_down(why);
            return;
        }
    }
    if (welcome_ && state_ == node_state::ready && !draining_) {
        open_strands();  // those that were closed while it was not ready
    }
    send_locates();
    pump();
    if (welcome_ && !batch_.active && !to_put_.empty()) {
        begin_batch();
    }
    leave_if_drained();
}

// A node that drains waits for its clients to go.
void peer::leave_if_drained() {
    bool busy = !draining_ || !calls_.empty() || !to_read_.empty() || batch_.active;
    for (const auto& s : strands_) {
        busy = busy || (s->lane != nullptr && s->lane->in_flight() > 0);
    }
    if (!busy) {
        go_down(absl::UnavailableError(fmt::format("{} is ending", health_.node)));
    }
}

bool peer::abort(const operation& op) { return abort_read(op) || abort_put(op); }

}  // namespace sluice::fabric
