// SPDX-License-Identifier: Apache-2.0
#include <sluice/sim/link.hpp>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>

#include "checks.hpp"
#include "due_queue.hpp"
#include "network_state.hpp"

namespace sluice::sim {
namespace {

using detail::flow;
using detail::instant;
using code = absl::StatusCode;

constexpr double first_pause = 250e6;  // before a slow node is probed
constexpr double longest_pause = 5e9;
constexpr std::uint32_t none = UINT32_MAX;

std::vector<detail::speed_step> steps_of(const link_options& o) {
    std::vector<detail::speed_step> steps;
    for (const rate_change& c : o.drift) {
        steps.push_back({detail::instant_of(c.at), c.factor});
    }
    return steps;
}

absl::Status failed(code why) noexcept { return {why, ""}; }

}  // namespace

struct link::state {
    state(network::state& over, const link_options& o)
        : net(over),
          overhead(detail::span_of(o.per_operation)),
          soft_timeout(detail::span_of(o.soft_timeout)),
          in(o.rate, steps_of(o)),
          out(o.rate, steps_of(o)),
          chance(over.seed * 0x9e3779b97f4a7c15u + ++over.links),
          peers(over.nodes.size()) {}
    ~state() { net.clock.disarm(alarm); }
    state(const state&) = delete;
    state& operator=(const state&) = delete;

    /// What happens when a flight is due.
    enum class step : std::uint8_t {
        enter,      ///< the node sends, the link begins
        arrive,     ///< it is through
        give_up,    ///< the node has not answered in time
        break_off,  ///< the node has died
        answer,     ///< of a lookup or remove
        late,       ///< a lookup or remove has missed the node's answer
    };
    /// A block on its way between the link and one node; or a message.
    struct flight {
        operation* op = nullptr;  ///< of a get or message; null: aborted
        std::uint64_t bytes = 0;
        instant node_end = 0;
        double wait = 0;           ///< latency and jitter
        std::uint32_t job = none;  ///< of a put
        std::uint16_t node = 0;
        std::uint8_t place = 0;  ///< of the node among the block's
        step next = step::answer;
        code how = code::kOk;  ///< what has become of it so far
    };
    struct put_job {
        store_put* op = nullptr;  ///< null: aborted
        std::uint32_t left = 0;   ///< flights
        code best = code::kUnavailable;
        std::array<std::uint16_t, detail::max_replicas> lives{};  ///< where it has landed
    };
    /// A node as this link sees it.
    struct peer {
        std::uint32_t late_in_a_row = 0;
        bool slow = false;
        double pause = 0;
        instant probe = 0;        ///< the next one
        std::uint64_t asked = 0;  ///< by the last message of that number
        instant answer = 0;       ///< `no_instant`: none in time
    };
    struct alarm_timer : timer {
        explicit alarm_timer(state& s) noexcept
            : timer([](timer& t) noexcept { static_cast<alarm_timer&>(t).owner.run(); }),
              owner(s) {}
        state& owner;
    };

    std::uint32_t new_flight() {
        if (free_flights.empty()) {
            flights.emplace_back();
            return static_cast<std::uint32_t>(flights.size() - 1);
        }
        const std::uint32_t id = free_flights.back();
        free_flights.pop_back();
        flights[id] = flight{};
        return id;
    }
    void end_flight(std::uint32_t id) {
        flights[id].op = nullptr;
        free_flights.push_back(id);
    }
    void due(instant at, std::uint32_t id, step next) {
        flights[id].next = next;
        queue.push(at, id);
    }

    void start(store_get& op);
    void ask_next(std::uint32_t id);
    void start(store_put& op);
    void send(std::uint32_t id, detail::node& n, flow& queue_of, std::uint64_t bytes);
    void enter(std::uint32_t id, instant now);
    void arrived(std::uint32_t id);
    void got(std::uint32_t id);
    void failed_over(std::uint32_t id, code why);
    void put_ended(std::uint32_t job, code how);
    void end_get(std::uint32_t id, code how);
    void message(operation& op, std::span<const block_key> keys, std::uint8_t* present);
    instant ask_message(std::uint16_t node);
    void reply(operation& op, code how);

    [[nodiscard]] bool usable(std::uint16_t node);
    void heard(std::uint16_t node) noexcept { peers[node].late_in_a_row = 0; }
    void missed(std::uint16_t node) noexcept;

    void run() noexcept;
    void arm();
    void take(std::uint32_t id, instant at);

    network::state& net;
    const double overhead;
    const double soft_timeout;
    flow in;
    flow out;
    detail::draws chance;
    std::vector<peer> peers;
    std::vector<flight> flights;
    std::vector<std::uint32_t> free_flights;
    std::vector<put_job> jobs;
    std::vector<std::uint32_t> free_jobs;
    detail::due_queue<std::uint32_t> queue;
    alarm_timer alarm{*this};
    std::uint64_t messages = 0;
    link_stats counts;
};

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

// ---- blocks

void link::state::start(store_get& op) {
    const std::uint32_t id = new_flight();
    flights[id].op = &op;
    if (op.key.empty() || op.into.empty()) {
        end_get(id, code::kInvalidArgument);
        return;
    }
    flights[id].how = code::kNotFound;
    ask_next(id);
}

// Asks the first of the block's nodes that is left.
void link::state::ask_next(std::uint32_t id) {
    flight& f = flights[id];
    const auto& op = static_cast<const store_get&>(*f.op);
    const sluice::detail::candidates where = net.of(op.key);
    for (; f.place < where.count; ++f.place) {
        f.node = where.nodes[f.place];
        if (!usable(f.node)) {
            f.how = code::kUnavailable;
            continue;
        }
        detail::node& n = net.nodes[f.node];
        const std::uint64_t there = net.bytes_at(n, f.place, op.key);
        ++(there > 0 ? n.stats.gets : n.stats.misses);
        const bool fits = there == op.into.size();
        f.bytes = fits ? there : 0;
        if (fits) {
            f.how = code::kOk;
        } else if (there > 0) {
            f.how = code::kInvalidArgument;
        }
        send(id, n, n.out, f.bytes);
        return;
    }
    end_get(id, f.how);
}

void link::state::start(store_put& op) {
    std::uint32_t id = 0;
    if (free_jobs.empty()) {
        id = static_cast<std::uint32_t>(jobs.size());
        jobs.emplace_back();
    } else {
        id = free_jobs.back();
        free_jobs.pop_back();
        jobs[id] = put_job{};
    }
    jobs[id].op = &op;
    jobs[id].left = 1;  // until all have been asked
    if (op.key.empty() || op.from.empty()) {
        put_ended(id, code::kInvalidArgument);
        return;
    }
    const sluice::detail::candidates where = net.of(op.key);
    for (std::uint32_t place = 0; place < where.count; ++place) {
        const std::uint16_t node = where.nodes[place];
        if (!usable(node)) {
            continue;
        }
        detail::node& n = net.nodes[node];
        const std::uint32_t leg = new_flight();
        flight& f = flights[leg];
        f.job = id;
        f.node = node;
        f.place = static_cast<std::uint8_t>(place);
        // What is there already is left as it is.
        f.bytes = net.bytes_at(n, place, op.key) > 0 ? 0 : op.from.size();
        jobs[id].lives[place] = n.life();
        ++jobs[id].left;
        send(leg, n, n.in, f.bytes);
    }
    put_ended(id, code::kUnavailable);
}

// Sends a block through the queue of a node, whose future is known.
void link::state::send(std::uint32_t id, detail::node& n, flow& queue_of, std::uint64_t bytes) {
    flight& f = flights[id];
    const instant now = net.now();
    const instant deadline = now + soft_timeout;
    const flow::passage p = queue_of.ask(now, n.overhead, bytes);
    f.wait = n.latency + (n.jitter > 0 ? n.jitter * chance.next() : 0);
    const bool late = (n.loss > 0 && chance.next() < n.loss) || p.end + f.wait > deadline;
    const instant death = n.next_death();
    if (!late) {
        queue_of.admit(now, p);
    }
    if (death <= (late ? deadline : p.end)) {
        due(death, id, step::break_off);
        return;
    }
    if (late) {
        due(deadline, id, step::give_up);
        return;
    }
    f.node_end = p.end;
    // It begins so that it ends with the node's last byte, if the link is the faster one.
    const instant begin = std::max(p.begin, p.end - (f.job == none ? in : out).span(now, bytes));
    if (begin <= now) {
        enter(id, now);
    } else {
        due(begin, id, step::enter);
    }
}

void link::state::enter(std::uint32_t id, instant now) {
    flight& f = flights[id];
    flow& way = f.job == none ? in : out;
    const flow::passage p = way.ask(now, overhead, f.bytes);
    way.admit(now, p);
    due(std::max(p.end, f.node_end) + f.wait, id, step::arrive);
}

void link::state::arrived(std::uint32_t id) {
    const flight& f = flights[id];
    heard(f.node);
    if (f.job == none) {
        got(id);
        return;
    }
    node_stats& n = net.nodes[f.node].stats;
    n.puts += f.bytes > 0 ? 1 : 0;
    n.bytes_in += f.bytes;
    const std::uint32_t job = f.job;
    end_flight(id);
    put_ended(job, code::kOk);
}

void link::state::got(std::uint32_t id) {
    flight& f = flights[id];
    net.nodes[f.node].stats.bytes_out += f.bytes;
    if (f.bytes > 0 || f.how == code::kInvalidArgument || f.op == nullptr) {
        end_get(id, f.how);
        return;
    }
    failed_over(id, code::kNotFound);
}

void link::state::failed_over(std::uint32_t id, code why) {
    flight& f = flights[id];
    if (f.job != none) {
        const std::uint32_t job = f.job;
        jobs[job].lives[f.place] = 0;
        end_flight(id);
        put_ended(job, why);
        return;
    }
    if (f.op == nullptr) {
        end_flight(id);
        return;
    }
    // That there was no answer says more than a miss elsewhere.
    if (why != code::kNotFound || f.how == code::kOk) {
        f.how = why;
    }
    ++f.place;
    const std::uint32_t nodes = net.of(static_cast<const store_get&>(*f.op).key).count;
    counts.failovers += f.place < nodes ? 1 : 0;
    ask_next(id);
}

void link::state::end_get(std::uint32_t id, code how) {
    operation* const op = flights[id].op;
    const std::uint64_t bytes = flights[id].bytes;
    end_flight(id);
    if (op == nullptr) {
        return;
    }
    ++counts.gets;
    if (how == code::kOk) {
        counts.bytes += bytes;
    } else {
        ++(how == code::kNotFound ? counts.misses : counts.failed);
    }
    op->complete(failed(how));
}

// One copy is enough to have been stored; without any, the last reason counts.
void link::state::put_ended(std::uint32_t job, code how) {
    put_job& j = jobs[job];
    if (j.best != code::kOk && how != code::kUnavailable) {
        j.best = how;
    }
    if (--j.left > 0) {
        return;
    }
    free_jobs.push_back(job);
    store_put* const op = std::exchange(j.op, nullptr);
    if (op == nullptr) {
        return;
    }
    ++counts.puts;
    if (j.best == code::kOk) {
        counts.put_bytes += op->from.size();
        detail::presence::block& b = net.blocks.insert(op->key);
        b.bytes = op->from.size();
        for (std::size_t place = 0; place < j.lives.size(); ++place) {
            b.lives[place] = j.lives[place] != 0 ? j.lives[place] : b.lives[place];
        }
    } else {
        ++counts.failed;
    }
    op->complete(failed(j.best));
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
        const sluice::detail::candidates where = net.of(keys[i]);
        instant at = now;
        detail::presence::block* const b = net.blocks.find(keys[i]);
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
            const bool there = b != nullptr && b->lives[place] == net.nodes[node].life();
            if (present != nullptr) {
                found = there;
            } else if (there) {
                b->lives[place] = 0;
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
