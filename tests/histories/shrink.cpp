// SPDX-License-Identifier: Apache-2.0
#include "shrink.hpp"

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

namespace sluice::histories {
namespace {

constexpr int budget = 3000;  // runs
constexpr unsigned patience_s = 20;

void write_all(int fd, const std::string& s) {
    for (std::size_t at = 0; at < s.size();) {
        const ssize_t n = ::write(fd, s.data() + at, s.size() - at);
        if (n <= 0) {
            return;
        }
        at += static_cast<std::size_t>(n);
    }
}

std::string read_all(int fd) {
    std::string s;
    char buffer[4096];
    for (ssize_t n = 0; (n = ::read(fd, buffer, sizeof buffer)) > 0;) {
        s.append(buffer, static_cast<std::size_t>(n));
    }
    return s;
}

std::function<void(config&)> simulated(void (*change)(simulation&)) {
    return [change](config& c) {
        if (c.simulated) {
            change(*c.simulated);
        }
    };
}

std::function<void(config&)> each_node(void (*change)(sim::node_options&)) {
    return [change](config& c) {
        if (c.simulated) {
            std::ranges::for_each(c.simulated->network.nodes, change);
        }
    };
}

class shrinker {
 public:
    shrinker(history h, std::string check) : best_(std::move(h)), check_(std::move(check)) {}

    history run() {
        bool smaller = true;
        while (smaller && runs_ < budget) {
            smaller = false;
            smaller |= thin(&history::actions);
            smaller |= thin(&history::faults);
            smaller |= plain_options();
            smaller |= plain_requests();
        }
        return std::move(best_);
    }

 private:
    bool still_fails(const history& h) {
        ++runs_;
        return runs_ <= budget && run_apart(h).check == check_;
    }
    bool try_change(const std::function<void(history&)>& change, const std::string& before) {
        history h = best_;
        change(h);
        if (to_text(h) == before || !still_fails(h)) {
            return false;
        }
        best_ = std::move(h);
        return true;
    }
    bool try_change(const std::function<void(history&)>& change) {
        return try_change(change, to_text(best_));
    }

    /// Drops runs of a list's elements, long ones first.
    template <class T>
    bool thin(std::vector<T> history::*list) {
        bool any = false;
        for (std::size_t run = std::max<std::size_t>((best_.*list).size() / 2, 1); run > 0;
             run /= 2) {
            for (std::size_t at = 0; at < (best_.*list).size();) {
                const bool dropped = try_change([&](history& h) {
                    auto& v = h.*list;
                    const auto first = v.begin() + static_cast<std::ptrdiff_t>(at);
                    v.erase(first,
                            first + static_cast<std::ptrdiff_t>(std::min(run, v.size() - at)));
                });
                any |= dropped;
                at += dropped ? 0 : run;
            }
        }
        return any;
    }

    bool plain_options() {
        const std::vector<std::function<void(config&)>> changes = {
            [](config& c) { c.policy = "fifo"; },
            [](config& c) { c.cost = cost_kind::fixed; },
            [](config& c) { c.split = false; },
            [](config& c) { c.applications = false; },
            [](config& c) { c.stages = 0; },
            [](config& c) { c.stages = std::min(c.stages, 1U); },
            [](config& c) { c.groups.resize(1); },
            [](config& c) { c.groups.resize(std::min<std::size_t>(c.groups.size(), 2)); },
            [](config& c) { c.groups.erase(c.groups.begin(), c.groups.end() - 1); },
            [](config& c) { c.groups[0].rule = hit_rule::all_blocks; },
            [](config& c) { c.poll_every = duration{0}; },
            [](config& c) { c.poll_batch = 16; },
            [](config& c) { c.simulated.reset(); },
            simulated([](simulation& s) {
                s.network.nodes.resize(1);
                s.network.replicas = 1;
            }),
            simulated([](simulation& s) { s.network.replicas = 1; }),
            simulated([](simulation& s) { s.link.drift.clear(); }),
            simulated([](simulation& s) { s.link = {}; }),
            simulated([](simulation& s) { s.copies = {}; }),
            simulated([](simulation& s) { s.compute = simulated_compute::as_planned; }),
            each_node([](sim::node_options& n) { n = {}; }),
            each_node([](sim::node_options& n) { n.events.clear(); }),
            each_node([](sim::node_options& n) {
                if (n.events.size() > 2) {
                    n.events.resize(2);
                }
            }),
            each_node([](sim::node_options& n) { n.loss = 0; }),
            each_node([](sim::node_options& n) { n.jitter = n.per_operation = duration{0}; }),
            [](config& c) { c.drift = 0; },
            [](config& c) { c.load_timeout = duration{0}; },
            [](config& c) { c.on_load_failure = load_failure::recompute; },
            [](config& c) { c.soft_timeout = c.hard_timeout = std::chrono::seconds(100); },
            [](config& c) { c.soft_timeout = duration{0}; },
            [](config& c) { c.reservation = reservation_mode::proactive; },
            [](config& c) { c.concurrent_computes = 1; },
            [](config& c) { c.compute_per_token = duration{0}; },
            [](config& c) {
                c.fetch = {64, 4 * mib};
            },
            [](config& c) {
                c.copy = {64, 4 * mib};
            },
            [](config& c) {
                c.write_back = {64, 4 * mib};
            },
            [](config& c) {
                c.stage = {64, 4 * mib};
            },
            [](config& c) { c.max_requests = 64; },
            [](config& c) { c.quarantine_share = 1; },
            [](config& c) { c.write_back_share = 1; },
            [](config& c) { c.block_tokens = 1; },
            [](config& c) { c.library_owned = true; },
            [](config& c) { c.library_computes = true; },
            [](config& c) { c.has_store = false; },
            [](config& c) { c.l2_slots = 100; },
            [](config& c) { c.l2_slots = c.l2_slots > 1 ? c.l2_slots - 1 : 1; },
            [](config& c) { c.groups[0].slots = 100; },
            [](config& c) { c.groups[0].slots = std::max(c.groups[0].slots, 2U) - 1; },
            [](config& c) { c.lookup = c.put = c.copy_out = c.staging = timing{}; },
            [](config& c) { c.lookup = timing{}; },
            [](config& c) { c.get = timing{}; },
            [](config& c) {
                c.get = timing{std::chrono::microseconds(100), 0, duration{0}};
            },
            [](config& c) { c.put = timing{}; },
            [](config& c) { c.copy_in = timing{}; },
            [](config& c) {
                c.copy_in = timing{std::chrono::microseconds(100), 0, duration{0}};
            },
            [](config& c) { c.copy_out = timing{}; },
            [](config& c) { c.get.jitter = c.copy_in.jitter = c.put.jitter = duration{0}; },
        };
        bool any = false;
        for (const auto& change : changes) {
            any |= try_change([&](history& h) {
                change(h.c);
                for (group_config& g : h.c.groups) {
                    g.pieces = {16};
                    g.together = false;
                }
            });
        }
        return any;
    }

    bool plain_requests() {
        const std::vector<std::function<void(request_plan&)>> changes = {
            [](request_plan& r) { r.ids.resize(r.ids.size() / 2); },
            [](request_plan& r) { r.ids.resize(r.ids.empty() ? 0 : r.ids.size() - 1); },
            [](request_plan& r) { r.ids.erase(r.ids.begin(), r.ids.begin() + !r.ids.empty()); },
            [](request_plan& r) { r.extra_tokens = 1; },
            [](request_plan& r) { r.more_pages = 0; },
            [](request_plan& r) { r.resident = 0; },
            [](request_plan& r) { r.max_load = UINT32_MAX; },
            [](request_plan& r) { r.min_query = 1; },
            [](request_plan& r) { r.waited = duration{0}; },
            [](request_plan& r) { r.deadline = duration{0}; },
            [](request_plan& r) { r.load_timeout = duration{0}; },
            [](request_plan& r) { r.write_back = false; },
            [](request_plan& r) { r.tenant = 0; },
            [](request_plan& r) { r.prewarm = false; },
            [](request_plan& r) { r.app = no_app; },
            [](request_plan& r) { r.hole = false; },
            [](request_plan& r) { r.bind_twice = false; },
            [](request_plan& r) { r.bind = bind_when::asked; },
            [](request_plan& r) { r.bind_after = duration{0}; },
            [](request_plan& r) { r.compute_takes = duration{0}; },
            [](request_plan& r) { r.reports_compute = true; },
            [](request_plan& r) { r.release_after = duration{0}; },
        };
        bool any = false;
        for (std::size_t n = 0; n < best_.requests.size(); ++n) {
            const bool used = std::ranges::any_of(best_.actions, [n](const action& a) {
                return a.kind == action_kind::submit && a.what == n;
            });
            for (std::size_t c = 0; used && c < changes.size(); ++c) {
                any |= try_change([&](history& h) { changes[c](h.requests[n]); });
            }
        }
        return any;
    }

    history best_;
    std::string check_;
    int runs_ = 0;
};

}  // namespace

verdict run_apart(const history& h, bool loud) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
        return {"harness", "no pipe", {}, 0, {}};
    }
    const pid_t child = ::fork();
    if (child == 0) {
        if (!loud) {
            const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
            ::dup2(null, 2);
        }
        ::alarm(patience_s);
        const verdict v = run(h);
        write_all(ends[1], v.check + '\n' + v.what + '\n' + v.dump);
        ::_exit(0);
    }
    ::close(ends[1]);
    const std::string said = read_all(ends[0]);
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        return {"crash",
                fmt::format("signal {}, exit code {}", signal,
                            WIFEXITED(status) ? WEXITSTATUS(status) : 0),
                {},
                0,
                {}};
    }
    const std::size_t first = said.find('\n');
    const std::size_t second = said.find('\n', first + 1);
    return {said.substr(0, first),
            said.substr(first + 1, second - first - 1),
            said.substr(second + 1),
            0,
            {}};
}

history shrink(history h, const std::string& check) { return shrinker(std::move(h), check).run(); }

}  // namespace sluice::histories
