// SPDX-License-Identifier: Apache-2.0
#include <sluice/sim/link.hpp>

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>

#include "checks.hpp"
#include "link_state.hpp"

namespace sluice::sim {
namespace {

using detail::instant;
using code = absl::StatusCode;

constexpr double first_pause = 250e6;  // before a slow node is probed
constexpr double longest_pause = 5e9;

absl::Status failed(code why) noexcept { return {why, ""}; }

}  // namespace

std::vector<detail::speed_step> link::state::drift_of(const link_options& o) {
    std::vector<detail::speed_step> steps;
    for (const rate_change& c : o.drift) {
        steps.push_back({detail::instant_of(c.at), c.factor});
    }
    return steps;
}

// ---- health

bool link::state::usable(std::uint16_t node) {
    const instant now = net.now();
    detail::node& n = net.nodes[node];
    n.advance(now);
    peer& p = peers[node];
    while (p.slow && p.probe <= now) {
        if (n.answers(p.probe) == p.probe) {
            p.slow = false;
            p.late_in_a_row = 0;
        }
        p.pause = std::min(2 * p.pause, longest_pause);
        p.probe += p.pause;
    }
    return !p.slow && !n.dead(now);
}

void link::state::missed(std::uint16_t node) noexcept {
    ++counts.timeouts;
    peer& p = peers[node];
    if (++p.late_in_a_row >= 2 && !p.slow) {
        p.slow = true;
        p.pause = first_pause;
        p.probe = net.now() + first_pause;
    }
}

// ---- messages

// When the node's answer to the present message is here; `no_instant`: not in time.
instant link::state::ask_message(std::uint16_t node) {
    peer& p = peers[node];
    if (p.asked == messages) {
        return p.answer;
    }
    p.asked = messages;
    const detail::node& n = net.nodes[node];
    const instant now = net.now();
    const double wait = n.latency + (n.jitter > 0 ? n.jitter * chance.next() : 0);
    const bool lost = n.loss > 0 && chance.next() < n.loss;
    p.answer = n.answers(now) + wait;
    if (lost || p.answer > now + soft_timeout) {
        p.answer = detail::no_instant;
        const std::uint32_t id = new_flight();
        flights[id].node = node;
        due(now + soft_timeout, id, step::late);
    } else {
        heard(node);
    }
    return p.answer;
}

// Asks each key's nodes until one answers and has it (present given), or all of them. Nodes that do
// not answer cost the soft timeout.
void link::state::message(operation& op, std::span<const block_key> keys, std::uint8_t* present) {
    ++messages;
    const instant now = net.now();
    instant end = now;
    for (std::size_t i = 0; i < keys.size(); ++i) {
        const detail::presence::block* const known = net.blocks.find(keys[i]);
        const detail::candidates where = net.of(keys[i], known);
        instant at = now;
        bool found = false;
        for (std::uint32_t place = 0; place < where.count && !found; ++place) {
            const std::uint16_t node = where.nodes[place];
            if (!usable(node)) {
                continue;
            }
            const instant answer = ask_message(node);
            if (answer == detail::no_instant) {
                at += soft_timeout;
                continue;
            }
            at += answer - now;
            const bool there = net.bytes_at(net.nodes[node], place, known) > 0;
            if (present != nullptr) {
                found = there;
            } else if (there) {
                net.blocks.homes(*known)[place].life = 0;
            }
        }
        if (present != nullptr) {
            present[i] = found ? 1 : 0;
        }
        end = std::max(end, at);
    }
    const std::uint32_t id = new_flight();
    flights[id].op = &op;
    due(end, id, step::answer);
}

void link::state::reply(operation& op, code how) { op.complete(failed(how)); }

// ---- time

void link::state::take(std::uint32_t id, instant at) {
    switch (flights[id].next) {
    case step::enter: enter(id, at); break;
    case step::arrive: arrived(id); break;
    case step::give_up:
        missed(flights[id].node);
        failed_over(id, code::kDeadlineExceeded);
        break;
    case step::break_off: failed_over(id, code::kUnavailable); break;
    case step::answer: {
        operation* const op = flights[id].op;
        end_flight(id);
        if (op != nullptr) {
            reply(*op, code::kOk);
        }
        break;
    }
    case step::late:
        missed(flights[id].node);
        end_flight(id);
        break;
    }
}

void link::state::run() noexcept {
    const time_point now = net.clock.now();
    while (!queue.empty() && detail::time_of(queue.top().at) <= now) {
        const instant at = queue.top().at;
        take(queue.pop(), at);
    }
    arm();
}

void link::state::arm() {
    if (queue.empty()) {
        return;
    }
    const time_point next = detail::time_of(queue.top().at);
    if (!alarm.armed() || alarm.due() > next) {
        net.clock.arm(alarm, next);
    }
}

// ---- store

absl::StatusOr<std::unique_ptr<link>> link::create(network& over, const link_options& options) {
    SLUICE_RETURN_IF_ERROR(detail::check_rate("link", "rate", options.rate));
    SLUICE_RETURN_IF_ERROR(detail::check_time("link", "per_operation", options.per_operation));
    SLUICE_RETURN_IF_ERROR(detail::check_time("link", "soft_timeout", options.soft_timeout));
    if (options.soft_timeout == duration{0}) {
        return absl::InvalidArgumentError("link: soft_timeout is 0; above 0, up to a day");
    }
    for (std::size_t i = 0; i < options.drift.size(); ++i) {
        const std::string which = fmt::format("drift {}", i);
        SLUICE_RETURN_IF_ERROR(
            detail::check_factor("link", which + ", factor", options.drift[i].factor));
        if (options.rate == 0) {
            return absl::InvalidArgumentError("link: drift of a link that has no rate");
        }
        if (i > 0 && options.drift[i].at < options.drift[i - 1].at) {
            return absl::InvalidArgumentError(
                fmt::format("link: {} is before the one before it", which));
        }
    }
    return std::unique_ptr<link>(new link(std::make_unique<state>(*over.state_, options)));
}

link::link(std::unique_ptr<state> s) noexcept : state_(std::move(s)) {}

link::~link() = default;

absl::Status link::register_memory(std::span<std::byte> memory) {
    if (memory.empty()) {
        return absl::InvalidArgumentError("there is no memory to register");
    }
    return absl::OkStatus();
}

void link::unregister_memory(std::span<std::byte> /*memory*/) noexcept {}

void link::lookup(store_lookup& op) noexcept {
    const bool empty_key =
        std::any_of(op.keys.begin(), op.keys.end(), [](const block_key& k) { return k.empty(); });
    if (op.present.size() < op.keys.size() || empty_key) {
        state_->reply(op, code::kInvalidArgument);
        return;
    }
    state_->message(op, op.keys, op.present.data());
    state_->arm();
}

void link::get(std::span<store_get* const> ops) noexcept {
    for (store_get* const op : ops) {
        state_->start(*op);
    }
    state_->arm();
}

void link::put(std::span<store_put* const> ops) noexcept {
    for (store_put* const op : ops) {
        state_->start(*op);
    }
    state_->arm();
}

void link::remove(store_remove& op) noexcept {
    state_->message(op, op.keys, nullptr);
    state_->arm();
}

void link::abort(operation& op) noexcept {
    const auto give_up = [&op](auto& all) {
        const auto at =
            std::find_if(all.begin(), all.end(), [&op](const auto& f) { return f.op == &op; });
        if (at == all.end()) {
            return false;
        }
        at->op = nullptr;
        op.complete(failed(code::kDeadlineExceeded));
        return true;
    };
    if (!give_up(state_->flights)) {
        give_up(state_->jobs);
    }
}

link_stats link::stats() const noexcept {
    const instant now = state_->net.now();
    link_stats out = state_->counts;
    out.busy_seconds = state_->in.busy_seconds(now);
    out.put_busy_seconds = state_->out.busy_seconds(now);
    return out;
}

}  // namespace sluice::sim
