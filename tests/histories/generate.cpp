// SPDX-License-Identifier: Apache-2.0
// Draws a history. Most are wild; some keep to what an exact check of the order needs.
#include <algorithm>
#include <set>
#include <string>

#include "dice.hpp"
#include "history.hpp"

namespace sluice::histories {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

/// What kind of history is drawn.
enum class flavour : std::uint8_t {
    wild,
    faultless,  ///< nothing fails, nothing is late: all that is cached must be loaded
    orderly,    ///< and memory is plenty, and no block is shared: the order is checked exactly
};

class generator {
 public:
    explicit generator(std::uint64_t seed) : d_(seed) { h_.seed = seed; }

    history make() {
        const std::uint32_t kind = d_.below(10);
        flavour_ = kind < 6 ? flavour::wild : kind < 8 ? flavour::faultless : flavour::orderly;
        make_layout();
        make_modes();
        make_timing();
        make_requests();
        make_pools();
        make_store();
        make_actions();
        if (wild()) {
            make_faults();
        }
        if (d_.chance(0.4)) {  // the last draw, so that the seeds of others stay what they are
            make_simulation();
        }
        if (!orderly() && d_.chance(0.5)) {  // as well
            make_applications();
        }
        if (!orderly() && d_.chance(0.4)) {
            for (request_plan& r : h_.requests) {
                r.prewarm = d_.chance(0.3);
            }
        }
        return std::move(h_);
    }

 private:
    [[nodiscard]] bool wild() const { return flavour_ == flavour::wild; }
    [[nodiscard]] bool orderly() const { return flavour_ == flavour::orderly; }

    void make_layout() {
        const std::uint32_t groups = orderly() ? 1 : d_.pick({1U, 1U, 2U, 3U});
        for (std::uint32_t g = 0; g < groups; ++g) {
            group_config group;
            if (!orderly() && d_.chance(groups > 1 && g > 0 ? 0.6 : 0.15)) {
                group.rule = hit_rule::last_n;
                group.last_n = d_.between(1, 4);
            }
            const std::uint32_t pieces = d_.between(1, 4);
            for (std::uint32_t p = 0; p < pieces; ++p) {
                group.pieces.push_back(d_.between(8, 40));
            }
            group.together = d_.chance(0.3);
            h_.c.groups.push_back(group);
        }
    }

    void make_modes() {
        config& c = h_.c;
        c.block_tokens = d_.pick({1U, 4U, 16U});
        c.library_owned = d_.chance(0.6);
        c.library_computes = d_.chance(0.6);
        c.concurrent_computes = d_.pick({1U, 1U, 2U, 4U});
        c.has_store = orderly() || d_.chance(0.93);
        c.reservation = d_.pick({reservation_mode::proactive, reservation_mode::proactive,
                                 reservation_mode::just_in_time, reservation_mode::late});
        c.write_back_share = d_.pick({0.125, 0.5, 1.0, 0.0});
        c.quarantine_share = d_.pick({0.5, 0.5, 1.0, 0.25});
        static const char* const policies[] = {"fifo",
                                               "sjf_pt",
                                               "sjf",
                                               "srpt",
                                               "edf",
                                               "lstf",
                                               "edf:late_last=off",
                                               "aging:after=0.005(sjf)",
                                               "aging:after=0.001(edf)",
                                               "fair(sjf)",
                                               "fair(fifo)",
                                               "aging:after=0.002(fair(srpt))",
                                               "fair(aging:after=0.003(lstf))",
                                               "hostile:seed=1",
                                               "hostile:seed=2,overdue=on",
                                               "aging:after=0.002(hostile:seed=3)",
                                               "fair(hostile:seed=4)"};
        c.policy = policies[d_.below(std::size(policies))];
        if (orderly()) {
            c.policy = d_.pick({"fifo", "fifo", "aging:after=0.0005(sjf_pt)",
                                "aging:after=0.002(srpt)", "aging:after=0.001(hostile:seed=5)"});
            c.reservation = reservation_mode::proactive;
        } else if (d_.chance(0.25)) {
            c.policy = "fifo";  // has checks of its own
        }
        c.cost = d_.pick({cost_kind::fixed, cost_kind::learning, cost_kind::hostile});
        c.split = !orderly() && d_.chance(0.3);
        const auto limits = [this] {
            return stage_limits{d_.pick({1U, 2U, 4U, 64U}),
                                d_.pick({std::uint64_t{1}, std::uint64_t{200}, 4 * mib, 4 * mib})};
        };
        c.fetch = limits();
        c.copy = limits();
        c.write_back = limits();
        c.stage = limits();
        c.stages = orderly() ? 0 : d_.pick({0U, 0U, 0U, 1U, 2U});
        c.max_requests = d_.chance(0.1) ? d_.between(1, 4) : 64;
        if (wild()) {
            c.soft_timeout = d_.pick({duration{0}, duration{milliseconds(1)},
                                      duration{microseconds(400)}, duration{milliseconds(30)}});
            c.hard_timeout = d_.pick({duration{milliseconds(20)}, duration{milliseconds(3)},
                                      duration{milliseconds(100)}});
            c.load_timeout =
                d_.chance(0.15) ? d_.between(microseconds(100), milliseconds(10)) : duration{0};
            c.on_load_failure = d_.chance(0.25) ? load_failure::fail : load_failure::recompute;
        } else {
            c.soft_timeout = c.hard_timeout = std::chrono::seconds(100);
        }
        c.poll_every =
            d_.chance(0.25) ? d_.between(microseconds(50), milliseconds(3)) : duration{0};
        c.poll_batch = d_.pick({1U, 3U, 16U});
    }

    timing make_timing_of(duration most) {
        timing t;
        t.latency = d_.chance(0.2) ? duration{0} : d_.between(duration{0}, most);
        t.ns_per_byte = d_.pick({0.0, 10.0, 100.0, 1000.0});
        t.jitter = d_.chance(0.5) ? duration{0} : d_.between(duration{0}, 2 * most);
        return t;
    }

    void make_timing() {
        config& c = h_.c;
        c.lookup = make_timing_of(microseconds(100));
        c.get = make_timing_of(microseconds(200));
        c.put = make_timing_of(microseconds(200));
        c.copy_in = make_timing_of(microseconds(50));
        c.copy_out = make_timing_of(microseconds(50));
        c.staging = make_timing_of(microseconds(50));
        c.compute_per_token = d_.between(duration{0}, microseconds(60));
        c.drift = d_.chance(0.3) ? d_.pick({1.0, 5.0, 30.0}) : 0;
    }

    void make_requests() {
        const std::uint32_t n = d_.pick({2U, 4U, 8U, 12U, 20U});
        const std::uint32_t families = d_.between(1, 3);
        const std::uint32_t longest = d_.pick({3U, 6U, 12U});
        std::uint32_t fresh = 1000;
        for (std::uint32_t i = 0; i < n; ++i) {
            request_plan r;
            const std::uint32_t blocks = d_.chance(0.05) ? 0 : d_.between(1, longest);
            const std::uint32_t family = d_.below(families) * 100;
            const std::uint32_t shared = orderly() || d_.chance(0.3) ? 0 : d_.between(0, blocks);
            for (std::uint32_t b = 0; b < blocks; ++b) {
                r.ids.push_back(b < shared ? family + b : fresh++);
            }
            if (!orderly() && blocks > 1 && d_.chance(0.1)) {
                r.ids[d_.below(blocks)] = r.ids[d_.below(blocks)];
            }
            make_details(r);
            h_.requests.push_back(std::move(r));
        }
    }

    void make_details(request_plan& r) {
        const config& c = h_.c;
        const auto blocks = static_cast<std::uint32_t>(r.ids.size());
        r.extra_tokens = d_.chance(0.2) && blocks > 0 ? 0 : d_.between(1, 2 * c.block_tokens);
        r.more_pages = d_.chance(0.3) ? d_.between(1, 4) : 0;
        if (!c.library_owned && !orderly() && d_.chance(0.2)) {
            r.resident = d_.between(0, blocks);
        }
        if (d_.chance(0.1)) {
            r.max_load = d_.between(0, blocks);
        }
        r.min_query = d_.chance(0.1) ? d_.between(0, 3 * c.block_tokens) : 1;
        r.waited =
            !orderly() && d_.chance(0.15) ? d_.between(duration{0}, milliseconds(10)) : duration{0};
        r.deadline = d_.chance(0.6) ? d_.between(microseconds(100), milliseconds(20)) : duration{0};
        r.priority = static_cast<std::int32_t>(d_.below(3));
        r.tenant = d_.below(3);
        r.weight = d_.pick({1.0, 0.5, 4.0});
        if (wild() && d_.chance(0.1)) {
            r.load_timeout = d_.between(duration{1}, milliseconds(5));
        }
        r.write_back = d_.chance(0.7);
        const std::uint32_t bind = d_.below(10);
        r.bind = bind < 8 ? bind_when::asked : bind < 9 ? bind_when::early : bind_when::never;
        r.bind_after = d_.chance(0.5) ? duration{0} : d_.between(duration{0}, milliseconds(3));
        r.bind_twice = d_.chance(0.1);
        r.hole = wild() && d_.chance(0.1);
        r.compute_takes = d_.between(duration{0}, milliseconds(2));
        r.reports_compute = d_.chance(0.9);
        r.release_after = d_.chance(0.3) ? duration{0} : d_.between(duration{0}, milliseconds(4));
    }

    void make_pools() {
        config& c = h_.c;
        std::uint32_t most_pages = 1;
        std::uint32_t all_pages = 0;
        std::uint32_t all_blocks = 0;
        for (const request_plan& r : h_.requests) {
            most_pages = std::max(most_pages, pages_per_group(c, r));
            all_pages += pages_per_group(c, r);
            all_blocks += static_cast<std::uint32_t>(r.ids.size());
        }
        const std::uint32_t scarcity = orderly() ? 3 : d_.below(4);
        for (group_config& g : c.groups) {
            g.slots = scarcity == 0   ? most_pages
                      : scarcity == 1 ? d_.between(most_pages, 2 * most_pages)
                      : scarcity == 2 ? d_.between(most_pages, std::max(most_pages, all_pages))
                                      : all_pages + 1;
        }
        const auto groups = static_cast<std::uint32_t>(c.groups.size());
        c.l2_slots = orderly()        ? all_blocks * groups + 1
                     : d_.chance(0.3) ? d_.between(1, 3)
                     : d_.chance(0.5) ? d_.between(4, 12)
                                      : all_blocks * groups + 1;
        if (!orderly() && d_.chance(0.1)) {  // never fits
            h_.requests[d_.below(static_cast<std::uint32_t>(h_.requests.size()))].more_pages = 1000;
        }
    }

    void make_store() {
        std::set<std::uint32_t> ids;
        for (const request_plan& r : h_.requests) {
            ids.insert(r.ids.begin(), r.ids.end());
        }
        const double stored = orderly() ? 1 : d_.pick({1.0, 0.9, 0.5});
        for (const std::uint32_t id : ids) {
            if (!d_.chance(stored)) {
                continue;
            }
            for (std::uint32_t g = 0; g < h_.c.groups.size(); ++g) {
                if (orderly() || !d_.chance(0.05)) {
                    h_.c.stored.push_back(key_value(g, id));
                }
            }
        }
    }

    void make_actions() {
        const auto n = static_cast<std::uint32_t>(h_.requests.size());
        const duration span = d_.pick({duration{0}, duration{milliseconds(1)},
                                       duration{milliseconds(5)}, duration{milliseconds(20)}});
        const auto some_time = [&] { return d_.between(duration{0}, span + microseconds(500)); };
        for (std::uint32_t i = 0; i < n; ++i) {
            const duration at = d_.between(duration{0}, span);
            h_.actions.push_back({at, action_kind::submit, i});
            if (!orderly() && d_.chance(0.2)) {
                const duration after =
                    d_.chance(0.2) ? duration{0} : d_.between(duration{0}, milliseconds(3));
                h_.actions.push_back(
                    {at + after, d_.chance(0.7) ? action_kind::cancel : action_kind::release, i});
            }
            if (d_.chance(0.1)) {
                h_.actions.push_back({some_time(), action_kind::poke, i});
            }
        }
        if (wild() && !h_.c.stored.empty()) {
            for (std::uint32_t i = d_.chance(0.3) ? d_.between(1, 10) : 0; i > 0; --i) {
                const auto which = d_.below(static_cast<std::uint32_t>(h_.c.stored.size()));
                h_.actions.push_back({some_time(),
                                      d_.chance(0.8) ? action_kind::forget : action_kind::remember,
                                      h_.c.stored[which]});
            }
        }
        if (!orderly() && d_.chance(0.1)) {
            h_.actions.push_back({some_time(), action_kind::close, 0});
        }
        std::ranges::stable_sort(h_.actions, {}, &action::at);
    }

    void make_faults() {
        const double p = d_.pick({0.0, 0.02, 0.1, 0.3});
        std::set<std::uint64_t> keys;
        for (const request_plan& r : h_.requests) {
            for (const std::uint32_t id : r.ids) {
                for (std::uint32_t g = 0; g < h_.c.groups.size(); ++g) {
                    keys.insert(key_value(g, id));
                }
            }
        }
        const auto plant = [&](seam at, std::uint64_t key, std::initializer_list<fault_kind> of) {
            for (std::uint32_t nth = 0; nth < 3; ++nth) {
                if (d_.chance(p)) {
                    const duration extra = d_.chance(0.3)
                                               ? d_.between(duration{0}, milliseconds(40))
                                               : d_.between(duration{0}, milliseconds(2));
                    h_.faults.push_back({at, key, nth, d_.pick(of), extra});
                }
            }
        };
        using k = fault_kind;
        for (const std::uint64_t key : keys) {
            plant(seam::get, key,
                  {k::delay, k::delay, k::miss, k::fail, k::expired, k::corrupt, k::hang});
            plant(seam::put, key, {k::delay, k::fail, k::no_room, k::hang});
            plant(seam::copy_in, key, {k::delay, k::delay, k::fail});
            plant(seam::copy_out, key, {k::delay, k::fail});
            plant(seam::stage, key, {k::delay, k::fail, k::corrupt});
        }
        for (std::uint64_t i = 0; i < h_.requests.size(); ++i) {
            plant(seam::lookup, i, {k::delay, k::fail, k::hang, k::lie_yes, k::lie_yes, k::lie_no});
            plant(seam::compute, i, {k::delay, k::fail});
        }
    }

    // Simulated seams. Unless the history is wild nothing is lost and nothing given up, however
    // late it is.
    void make_simulation() {
        simulation s;
        s.network.seed = d_.next();
        for (std::uint32_t n = d_.pick({1U, 1U, 2U, 3U, 5U}); n > 0; --n) {
            s.network.nodes.push_back(make_node());
        }
        const auto nodes = static_cast<std::uint32_t>(s.network.nodes.size());
        s.network.replicas = d_.between(1, std::min(nodes, 3U));
        s.link.rate = make_rate();
        s.link.per_operation = make_overhead();
        s.link.soft_timeout =
            !wild() ? std::chrono::seconds(100)
                    : d_.pick({duration{microseconds(150)}, duration{milliseconds(1)},
                               duration{milliseconds(5)}, duration{milliseconds(250)}});
        time_point at = beginning;
        for (std::uint32_t n = s.link.rate > 0 ? d_.pick({0U, 0U, 1U, 3U}) : 0; n > 0; --n) {
            at += d_.between(duration{0}, milliseconds(4));
            s.link.drift.push_back({at, d_.pick({0.1, 0.5, 1.0, 3.0})});
        }
        s.copies.rate = make_rate();
        s.copies.per_operation = make_overhead();
        s.copies.per_descriptor = make_overhead() / 4;
        s.copies.streams = d_.between(1, 4);
        s.compute = d_.pick({simulated_compute::as_planned, simulated_compute::prefill,
                             simulated_compute::iterations});
        s.prefill = {to_seconds(make_overhead()),
                     to_seconds(d_.between(duration{0}, microseconds(60))), d_.pick({0.0, 1e-7})};
        s.iteration.prefill_fixed_s = to_seconds(make_overhead());
        s.iteration.prefill_per_token_s = to_seconds(d_.between(duration{0}, microseconds(60)));
        s.iteration.decode = {{1, 100e-6}, {4, 150e-6}, {8, 400e-6}};
        s.iteration.max_batch = d_.pick({1U, 2U, 8U});
        s.iteration.chunk_tokens = d_.pick({0U, 0U, 5U, 64U});
        h_.c.simulated = std::move(s);
    }

    void make_applications() {
        h_.c.applications = true;
        if (d_.chance(0.8)) {
            h_.c.policy = d_.pick({"las", "las", "vtc", "gittins", "mean_srpt", "app_fifo",
                                   "app_lstf", "oracle", "gittins_artifact", "edf",
                                   "aging:after=0.002(gittins)", "fair(las)"});
        }
        duration end{0};
        for (const action& a : h_.actions) {
            end = std::max(end, a.at);
        }
        for (request_plan& r : h_.requests) {
            r.app = d_.chance(0.2) ? no_app : d_.below(no_app);
        }
        for (std::uint32_t app = 0; app < no_app; ++app) {
            duration at = d_.between(duration{0}, end + microseconds(1));
            bool open = false;
            app_verb verb = app_verb::begin;
            for (std::uint32_t n = d_.below(12); n > 0; --n) {
                h_.actions.push_back(
                    {at, action_kind::app, app_event{app, verb, d_.below(200)}.packed()});
                at += d_.between(duration{0}, milliseconds(2));
                open = verb == app_verb::begin_unit || (open && verb == app_verb::progress);
                verb = d_.chance(0.15) ? static_cast<app_verb>(d_.below(6))
                       : open          ? d_.pick({app_verb::progress, app_verb::end_unit})
                                       : d_.pick({app_verb::begin_unit, app_verb::begin_unit,
                                                  app_verb::begin_unit, app_verb::end});
            }
        }
        std::ranges::stable_sort(h_.actions, {}, &action::at);
    }

    double make_rate() { return d_.pick({0.0, 1e8, 1e7, 1e6}); }
    duration make_overhead() {
        return d_.chance(0.3) ? duration{0} : d_.between(duration{0}, microseconds(40));
    }

    sim::node_options make_node() {
        sim::node_options n;
        n.rate = make_rate();
        n.per_operation = make_overhead();
        n.latency = d_.between(duration{0}, microseconds(200));
        n.jitter = d_.chance(0.5) ? duration{0} : d_.between(duration{0}, microseconds(300));
        n.loss = wild() ? d_.pick({0.0, 0.0, 0.0, 0.02, 0.2}) : 0;
        time_point at = beginning;
        const auto soon = [&] { return at += d_.between(duration{0}, milliseconds(6)); };
        for (std::uint32_t more = d_.pick({0U, 0U, 1U, 3U}); more > 0; --more) {
            if (n.rate > 0 && d_.chance(0.4)) {
                n.events.push_back(
                    {soon(), sim::node_change::rate, d_.pick({0.01, 0.3, 1.0, 2.0})});
                continue;
            }
            n.events.push_back({soon(), wild() && d_.chance(0.5) ? sim::node_change::die
                                                                 : sim::node_change::hang});
            if (wild() && d_.chance(0.2)) {
                break;  // for good
            }
            n.events.push_back({soon(), sim::node_change::recover});
        }
        return n;
    }

    dice d_;
    history h_;
    flavour flavour_ = flavour::wild;
};

}  // namespace

history generate(std::uint64_t seed) { return generator(seed).make(); }

}  // namespace sluice::histories
