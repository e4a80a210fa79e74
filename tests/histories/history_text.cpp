// SPDX-License-Identifier: Apache-2.0
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "history.hpp"

namespace sluice::histories {
namespace {

std::string time_text(duration d) {
    return fmt::format("{:.3f} us", static_cast<double>(d.count()) / 1e3);
}

std::string timing_text(const timing& t) {
    return fmt::format("{} + {} ns/B + 0..{}", time_text(t.latency), t.ns_per_byte,
                       time_text(t.jitter));
}

std::string limits_text(const stage_limits& l) {
    return fmt::format("{} ops, {} B", l.operations, l.bytes);
}

const char* name_of(fault_kind k) {
    static const char* const names[] = {"delay", "miss",    "fail",    "expired", "corrupt",
                                        "hang",  "no_room", "lie_yes", "lie_no"};
    return names[static_cast<std::size_t>(k)];
}

const char* name_of(action_kind k) {
    static const char* const names[] = {"submit", "cancel",   "release", "poke",
                                        "forget", "remember", "close",   "application"};
    return names[static_cast<std::size_t>(k)];
}

std::string block_text(std::uint64_t key) {
    return fmt::format("block {} of group {} (key {})", id_of(key), group_of(key), key);
}

std::string request_text(const config& c, const request_plan& r) {
    std::string s = fmt::format("blocks {}, +{} tokens, {} pages", r.ids, r.extra_tokens,
                                pages_per_group(c, r));
    const auto add = [&s]<class... Args>(bool is, fmt::format_string<Args...> text,
                                         Args&&... args) {
        if (is) {
            s += fmt::format(text, std::forward<Args>(args)...);
        }
    };
    add(r.resident > 0, ", {} resident", r.resident);
    add(r.max_load != UINT32_MAX, ", loads at most {}", r.max_load);
    add(r.min_query != 1, ", computes at least {}", r.min_query);
    add(r.waited > duration{0}, ", has waited {}", time_text(r.waited));
    add(r.deadline > duration{0}, ", deadline {}", time_text(r.deadline));
    add(r.tenant != 0, ", tenant {}", r.tenant);
    add(r.load_timeout > duration{0}, ", load timeout {}", time_text(r.load_timeout));
    add(!r.write_back, ", no write-back");
    add(r.prewarm, ", prewarms");
    add(r.app != no_app, ", of application {}", r.app);
    if (!c.library_owned) {
        add(r.bind == bind_when::never, ", never bound");
        add(r.bind == bind_when::early, ", bound {} after submit", time_text(r.bind_after));
        add(r.bind == bind_when::asked, ", bound {} after asked", time_text(r.bind_after));
        add(r.bind_twice, ", bound twice");
        add(r.hole, ", a hole");
    }
    if (!c.library_computes) {
        add(true, ", computes {}", time_text(r.compute_takes));
        add(!r.reports_compute, ", unreported");
    }
    add(true, ", released after {}", time_text(r.release_after));
    return s;
}

std::string simulation_text(const simulation& s) {
    const auto when = [](time_point at) { return time_text(at - beginning); };
    static const char* const changes[] = {"rate", "hangs", "dies", "recovers"};
    std::string out = fmt::format("  simulated network, {} replicas, seed {}\n", s.network.replicas,
                                  s.network.seed);
    for (const sim::node_options& n : s.network.nodes) {
        out += fmt::format("    node: {} B/s, {} each, latency {} + 0..{}, loses {}", n.rate,
                           time_text(n.per_operation), time_text(n.latency), time_text(n.jitter),
                           n.loss);
        for (const sim::node_event& e : n.events) {
            out += fmt::format("; at {} {}", when(e.at), changes[static_cast<std::size_t>(e.what)]);
            out += e.what == sim::node_change::rate ? fmt::format(" {}", e.factor) : "";
        }
        out += "\n";
    }
    out += fmt::format("    link: {} B/s, {} each, soft timeout {}", s.link.rate,
                       time_text(s.link.per_operation), time_text(s.link.soft_timeout));
    for (const sim::rate_change& r : s.link.drift) {
        out += fmt::format("; at {} rate {}", when(r.at), r.factor);
    }
    out += fmt::format("\n    copies: {} B/s, {} each, {} a piece, {} streams\n", s.copies.rate,
                       time_text(s.copies.per_operation), time_text(s.copies.per_descriptor),
                       s.copies.streams);
    if (s.compute == simulated_compute::prefill) {
        out += fmt::format("    prefill: {} s + {} s each + {} s a pair\n", s.prefill.c0_s,
                           s.prefill.c1_s, s.prefill.c2_s);
    } else if (s.compute == simulated_compute::iterations) {
        out += fmt::format("    iterations: prefill {} s + {} s each, chunks of {}, batch {}\n",
                           s.iteration.prefill_fixed_s, s.iteration.prefill_per_token_s,
                           s.iteration.chunk_tokens, s.iteration.max_batch);
    }
    return out;
}

}  // namespace

const char* name_of(seam s) noexcept {
    static const char* const names[] = {"lookup",   "get",   "put",    "copy_in",
                                        "copy_out", "stage", "compute"};
    return names[static_cast<std::size_t>(s)];
}

std::string to_text(const history& h) {
    const config& c = h.c;
    static const char* const reservations[] = {"proactive", "just in time", "late"};
    static const char* const costs[] = {"fixed", "learning", "hostile"};
    std::string s = fmt::format("seed {}\n", h.seed);
    for (const group_config& g : c.groups) {
        s += fmt::format("  group: {} slots of {} bytes{}{}\n", g.slots, g.pieces,
                         g.together ? " side by side" : "",
                         g.rule == hit_rule::last_n ? fmt::format(", last {}", g.last_n) : "");
    }
    s += fmt::format(
        "  L1 of the {}, compute by the {} ({} at once, {} per token), L2 of {} slots, "
        "{}\n",
        c.library_owned ? "library" : "engine", c.library_computes ? "library" : "engine",
        c.concurrent_computes, time_text(c.compute_per_token), c.l2_slots,
        c.has_store ? "a store" : "no store");
    s += fmt::format("  policy {}, reservation {}, cost {}{}, {} on load failure\n", c.policy,
                     reservations[static_cast<std::size_t>(c.reservation)],
                     costs[static_cast<std::size_t>(c.cost)],
                     (c.split ? std::string(", split") : std::string()) +
                         (c.applications ? ", applications" : ""),
                     c.on_load_failure == load_failure::fail ? "fail" : "recompute");
    s += fmt::format("  fetch {}; copy {}; write back {} (share {}); quarantine share {}\n",
                     limits_text(c.fetch), limits_text(c.copy), limits_text(c.write_back),
                     c.write_back_share, c.quarantine_share);
    s += fmt::format(
        "  timeouts: soft {}, hard {}, load {}; {} tokens per block; at most {} "
        "requests; polled every {}, {} at once\n",
        time_text(c.soft_timeout), time_text(c.hard_timeout), time_text(c.load_timeout),
        c.block_tokens, c.max_requests, time_text(c.poll_every), c.poll_batch);
    if (c.simulated) {
        s += simulation_text(*c.simulated);
    } else {
        s += fmt::format("  lookup {}; get {} (drift {}); put {}; copy in {}; copy out {}\n",
                         timing_text(c.lookup), timing_text(c.get), c.drift, timing_text(c.put),
                         timing_text(c.copy_in), timing_text(c.copy_out));
    }
    if (c.stages > 0) {
        s += fmt::format("  {} inbound stages: {}, {}\n", c.stages, timing_text(c.staging),
                         limits_text(c.stage));
    }
    std::set<std::uint64_t> named;
    for (const action& a : h.actions) {
        s += fmt::format("  at {:>12} {}", time_text(a.at), name_of(a.kind));
        if (a.kind == action_kind::app) {
            static const char* const verbs[] = {"begins",      "begins a unit", "makes progress",
                                                "ends a unit", "ends",          "is cut off"};
            const app_event e = app_event::of(a.what);
            s += fmt::format(" {} {} ({})\n", e.app, verbs[static_cast<std::size_t>(e.verb)],
                             e.value);
            continue;
        }
        if (a.kind == action_kind::forget || a.kind == action_kind::remember) {
            s += " " + block_text(a.what);
        } else if (a.kind != action_kind::close) {
            s += fmt::format(" request {}", a.what);
        }
        if (a.kind == action_kind::submit) {
            const request_plan& r = h.requests[a.what];
            s += ": " + request_text(c, r);
            for (const std::uint32_t id : r.ids) {
                for (std::uint32_t g = 0; g < c.groups.size(); ++g) {
                    named.insert(key_value(g, id));
                }
            }
        }
        s += "\n";
    }
    std::string absent;
    const std::set<std::uint64_t> stored(c.stored.begin(), c.stored.end());
    for (const std::uint64_t key : named) {
        if (!stored.contains(key)) {
            absent += fmt::format(" {}/{}", group_of(key), id_of(key));
        }
    }
    s += fmt::format("  not in the store at first (group/block):{}\n",
                     absent.empty() ? " none" : absent);
    for (const fault& f : h.faults) {
        s += fmt::format("  fault: {} number {} of {}: {} {}\n", name_of(f.at), f.nth,
                         f.at == seam::lookup || f.at == seam::compute
                             ? fmt::format("request {}", f.key)
                             : block_text(f.key),
                         name_of(f.kind), time_text(f.extra));
    }
    return s;
}

}  // namespace sluice::histories
