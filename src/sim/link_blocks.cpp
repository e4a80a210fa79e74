// SPDX-License-Identifier: Apache-2.0
// Blocks on their way between a link and its nodes.
#include <algorithm>
#include <utility>

#include "link_state.hpp"

namespace sluice::sim {

using detail::flow;
using detail::instant;
using code = absl::StatusCode;

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
    const detail::presence::block* const known = net.blocks.find(op.key);
    const detail::candidates where = net.of(op.key, known);
    for (; f.place < where.count; ++f.place) {
        f.node = where.nodes[f.place];
        if (!usable(f.node)) {
            f.how = code::kUnavailable;
            continue;
        }
        detail::node& n = net.nodes[f.node];
        const std::uint64_t there = net.bytes_at(n, f.place, known);
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
    const detail::presence::block* const known = net.blocks.find(op.key);
    const detail::candidates where = net.of(op.key, known);
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
        f.bytes = net.bytes_at(n, place, known) > 0 ? 0 : op.from.size();
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
    f.deadline = now + soft_timeout;
    const flow::passage p = queue_of.ask(now, n.overhead, bytes);
    f.wait = n.latency + (n.jitter > 0 ? n.jitter * chance.next() : 0);
    const bool late = (n.loss > 0 && chance.next() < n.loss) || p.end + f.wait > f.deadline;
    const instant death = n.next_death();
    if (!late) {
        queue_of.admit(now, p);
    }
    if (death <= (late ? f.deadline : p.end)) {
        due(death, id, step::break_off);
        return;
    }
    if (late) {
        due(f.deadline, id, step::give_up);
        return;
    }
    f.node_end = p.end;
    // It begins so that it ends with the node's last byte, if the link is the faster one.
    const instant begin = std::max(p.begin, p.end - (f.job == no_job ? in : out).span(now, bytes));
    if (begin <= now) {
        enter(id, now);
    } else {
        due(begin, id, step::enter);
    }
}

void link::state::enter(std::uint32_t id, instant now) {
    flight& f = flights[id];
    flow& way = f.job == no_job ? in : out;
    const flow::passage p = way.ask(now, overhead, f.bytes);
    const instant end = std::max(p.end, f.node_end);
    if (const auto* const o = net.nodes[f.node].outage_in(now, end); o != nullptr) {
        interrupt(id, now, *o);
        return;
    }
    way.admit(now, p);
    due(end + f.wait, id, step::arrive);
}

// The node would fall silent while the block waits for the link or is on it: the link serves others
// in its place.
void link::state::interrupt(std::uint32_t id, instant now, const detail::node::outage& o) {
    const instant deadline = std::max({now, o.from, flights[id].deadline});
    if (o.dead) {
        due(std::max(now, o.from), id, step::break_off);
    } else if (o.until > deadline) {
        due(deadline, id, step::give_up);
    } else {
        due(o.until, id, step::enter);
    }
}

void link::state::arrived(std::uint32_t id) {
    const flight& f = flights[id];
    heard(f.node);
    if (f.job == no_job) {
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
    if (f.job != no_job) {
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
    counts.failovers += f.place < net.replicas ? 1 : 0;
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
    op->complete(absl::Status(how, ""));
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
        detail::presence::block* b = net.blocks.find(op->key);
        if (b == nullptr) {
            b = &net.blocks.insert(op->key, net.of(op->key, nullptr));
        }
        b->bytes = op->from.size();
        const std::span<detail::presence::home> homes = net.blocks.homes(*b);
        for (std::size_t place = 0; place < homes.size(); ++place) {
            homes[place].life = j.lives[place] != 0 ? j.lives[place] : homes[place].life;
        }
    } else {
        ++counts.failed;
    }
    op->complete(absl::Status(j.best, ""));
}

}  // namespace sluice::sim
