// SPDX-License-Identifier: Apache-2.0
#include "fleet.hpp"

#include <algorithm>
#include <chrono>
#include <deque>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>

#include "../workload/random.hpp"
#include "cluster.hpp"
#include "pipelined_engine.hpp"
#include "serve.hpp"

namespace sluice::experiment {
namespace {

/// What the links of all engines have counted, by engine.
using link_counts = std::vector<sim::link_stats>;

/// The requests of one engine, and what serves them.
struct member {
    load requests;
    std::shared_ptr<const seed_facts> facts;
    std::optional<run_setting> setting;
    std::unique_ptr<pipelined_engine> engine;
    seed_result result;
};

std::uint64_t seed_of(const fleet_options& o, std::uint32_t engine) {
    return workload::draw(o.run.first_seed, 0xf1ee7, engine) >> 11;
}

class fleet {
 public:
    explicit fleet(const fleet_options& o) : o_(o) {}

    absl::StatusOr<fleet_result> run(const std::function<void(double)>& progress) {
        const auto begun = std::chrono::steady_clock::now();
        SLUICE_RETURN_IF_ERROR(draw());
        SLUICE_RETURN_IF_ERROR(assemble());
        SLUICE_RETURN_IF_ERROR(serve(progress));
        fleet_result out = tell();
        out.wall_s =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
        return out;
    }

 private:
    absl::Status draw() {
        auto hardware = shared_.profile(o_.run);
        SLUICE_RETURN_IF_ERROR(hardware.status());
        hardware_ = **hardware;
        auto kv = shared_.model(o_.run);
        SLUICE_RETURN_IF_ERROR(kv.status());
        model_ = *kv;
        if (hardware_.link.rate == 0) {
            return absl::InvalidArgumentError(
                fmt::format("profile {}: a fleet needs a link with a rate, which its nodes' follow",
                            hardware_.name));
        }
        for (std::uint32_t e = 0; e < o_.engines; ++e) {
            member& m = members_.emplace_back();
            auto facts = shared_.facts(o_.run, seed_of(o_, e));
            SLUICE_RETURN_IF_ERROR(facts.status());
            m.facts = *facts;
            auto requests = make_load(load_of(o_.run, seed_of(o_, e), hardware_.block_tokens));
            SLUICE_RETURN_IF_ERROR(requests.status());
            m.requests = *std::move(requests);
            // A request's own blocks are numbered alike in each load.
            for (load_request& r : m.requests.requests) {
                for (std::uint64_t& id : r.block_ids) {
                    id += std::uint64_t{e} << 48;
                }
            }
            const double last = m.requests.requests.back().arrival_s;
            busy_until_s_ = e == 0 ? last : std::min(busy_until_s_, last);
        }
        return absl::OkStatus();
    }

    [[nodiscard]] time_point instant(double share) const {
        return time_point{from_seconds(share * busy_until_s_)};
    }

    absl::Status assemble() {
        sim::node_options node = hardware_.nodes.front();
        node.rate = o_.node_rate * hardware_.link.rate;
        node.events.clear();
        sim::network_options net;
        net.nodes.assign(o_.nodes, node);
        net.replicas = o_.replicas;
        net.seed = o_.run.first_seed;
        if (o_.fault) {
            std::vector<sim::node_event>& events = net.nodes[o_.fault->node].events;
            events.push_back({instant(o_.fault->at), o_.fault->what});
            if (o_.fault->recover) {
                events.push_back({instant(*o_.fault->recover), sim::node_change::recover});
            }
        }
        auto nodes = cluster::create(std::move(net));
        SLUICE_RETURN_IF_ERROR(nodes.status());
        cluster_ = *std::move(nodes);
        hardware_.link.soft_timeout = from_seconds(o_.soft_timeout_s);
        for (std::uint32_t e = 0; e < o_.engines; ++e) {
            member& m = members_[e];
            m.setting.emplace(run_setting{
                o_.run, hardware_, *model_, m.requests, m.facts->each, {}, seed_of(o_, e)});
            // A block is not given up while there is a replica to ask.
            m.setting->fetch_soft_timeout = from_seconds(o_.soft_timeout_s * (o_.replicas + 1));
            auto engine = pipelined_engine::create(*m.setting, *cluster_);
            SLUICE_RETURN_IF_ERROR(engine.status());
            m.engine = *std::move(engine);
        }
        return absl::OkStatus();
    }

    absl::Status serve(const std::function<void(double)>& progress) {
        virtual_loop& home = cluster_->home();
        std::uint32_t period = 1;
        for (std::uint64_t turn = 0;; ++turn) {
            const time_point border =
                period < o_.periods ? instant(static_cast<double>(period) / o_.periods) : never;
            const time_point next = home.next_due();
            std::size_t taken = next == never ? home.run_until_idle() : 0;
            if (std::min(next, border) != never) {
                home.run_until(std::min(next, border));
            }
            std::size_t open = 0;
            for (member& m : members_) {
                taken += m.engine->collect();
                SLUICE_RETURN_IF_ERROR(m.engine->failure());
                open += m.engine->all_ended() ? 0 : 1;
            }
            if (open == 0) {
                break;
            }
            if (border <= next && border != never) {
                count();
                ++period;
            } else if (next == never && taken == 0) {
                return absl::InternalError("nothing moves any more, and requests have no answer");
            }
            if (progress && turn % 4096 == 0) {
                const double now = to_seconds(home.now() - time_point{});
                progress(busy_until_s_ > 0 ? std::min(1.0, now / busy_until_s_) : 1);
            }
        }
        home.run_until_idle();  // write-back
        while (counts_.size() < o_.periods) {
            count();
        }
        for (member& m : members_) {
            m.result = m.engine->finish();
        }
        return absl::OkStatus();
    }

    void count() {
        link_counts& now = counts_.emplace_back();
        for (member& m : members_) {
            now.push_back(m.engine->bed().l3().stats());
        }
    }

    void add(fleet_view& to, std::uint32_t e, std::uint32_t first, std::uint32_t end) const {
        const member& m = members_[e];
        const double length = busy_until_s_ / o_.periods;
        for (std::size_t i = 0; i < m.requests.requests.size(); ++i) {
            const request_result& r = m.result.result.requests[i];
            const auto in = std::min(
                o_.periods - 1, length > 0 ? static_cast<std::uint32_t>(r.arrival_s / length) : 0);
            if (in < first || in >= end) {
                continue;
            }
            ++to.requests;
            to.mean_ttft_s += r.ttft_s;  // the sum, until `close`
            to.attainment += r.made_deadline() ? 1 : 0;
            to.tokens_computed +=
                r.prompt_tokens - std::uint64_t{r.loaded_blocks} * m.requests.block_tokens;
        }
        const sim::link_stats before = first == 0 ? sim::link_stats{} : counts_[first - 1][e];
        const sim::link_stats& after = counts_[end - 1][e];
        to.failovers += after.failovers - before.failovers;
        to.timeouts += after.timeouts - before.timeouts;
        to.lost_blocks += after.misses + after.failed - before.misses - before.failed;
    }
    static void close(fleet_view& v) {
        if (v.requests > 0) {
            v.mean_ttft_s /= static_cast<double>(v.requests);
            v.attainment /= static_cast<double>(v.requests);
        }
    }
    void look(fleet_view& one, fleet_view& all, std::uint32_t first, std::uint32_t end) const {
        for (std::uint32_t e = 0; e < o_.engines; ++e) {
            add(all, e, first, end);
        }
        add(one, o_.watched, first, end);
        close(all);
        close(one);
    }

    [[nodiscard]] fleet_result tell() const {
        fleet_result out;
        out.options = o_;
        out.qps = o_.run.qps.value_or(1.2);
        if (o_.fault) {
            out.fault_at_s = o_.fault->at * busy_until_s_;
            if (o_.fault->recover) {
                out.recover_at_s = *o_.fault->recover * busy_until_s_;
            }
        }
        for (std::uint32_t p = 0; p < o_.periods; ++p) {
            fleet_period& period = out.periods.emplace_back();
            period.from_s = busy_until_s_ * p / o_.periods;
            period.to_s = busy_until_s_ * (p + 1) / o_.periods;
            look(period.one, period.all, p, p + 1);
        }
        look(out.one, out.all, 0, o_.periods);
        const auto engines = static_cast<double>(o_.engines);
        for (const member& m : members_) {
            out.coupled_offered_load += out.qps * m.facts->mean_t0_s / engines;
            out.link_busy += m.result.fetch.busy / engines;
            out.copy_busy += m.result.copy.busy / engines;
            out.compute_busy += m.result.compute.busy / engines;
            out.block_operations += m.result.block_operations;
            for (const request_result& r : m.result.result.requests) {
                out.failed += r.outcome == request_outcome::computed ? 0 : 1;
            }
        }
        const double seconds = to_seconds(cluster_->home().now() - time_point{});
        out.node_busy_least = 1;
        for (std::uint32_t n = 0; n < o_.nodes; ++n) {
            const double busy = cluster_->nodes().stats(n).busy_seconds / seconds;
            out.node_busy_least = std::min(out.node_busy_least, busy);
            out.node_busy_most = std::max(out.node_busy_most, busy);
            out.node_busy_mean += busy / o_.nodes;
        }
        return out;
    }

    const fleet_options& o_;
    shared_facts shared_;
    hardware_profile hardware_;
    std::shared_ptr<const kv_model> model_;
    std::unique_ptr<cluster> cluster_;
    std::deque<member> members_;       // engines refer to their members
    double busy_until_s_ = 0;          // until then requests come to every engine
    std::vector<link_counts> counts_;  // at the end of each period
};

absl::Status outside(std::string_view what, double value, double least, double most) {
    return absl::InvalidArgumentError(
        fmt::format("{} is {:g}; it has to be {:g} to {:g}", what, value, least, most));
}

}  // namespace

absl::Status check_fleet_options(const fleet_options& o) {
    SLUICE_RETURN_IF_ERROR(check_run_options(o.run));
    if (o.run.config != config_kind::pipelined) {
        return absl::InvalidArgumentError("a fleet's engines have pipelines: config is pipelined");
    }
    if (o.run.is_trace()) {
        return absl::InvalidArgumentError(
            "a fleet draws the requests of each engine; a trace is one engine's");
    }
    if (!o.run.drift.empty()) {
        return absl::InvalidArgumentError("a fleet has no drift; a node's fault is its event");
    }
    const auto in = [](double v, double least, double most) { return v >= least && v <= most; };
    if (!in(o.engines, 1, 1024)) {
        return outside("engines", o.engines, 1, 1024);
    }
    if (!in(o.nodes, 1, 1024)) {
        return outside("nodes", o.nodes, 1, 1024);
    }
    if (!in(o.replicas, 1, std::min<std::uint32_t>(8, o.nodes))) {
        return outside("replicas", o.replicas, 1, std::min<std::uint32_t>(8, o.nodes));
    }
    if (!in(o.node_rate, 0.01, 1000)) {
        return outside("node-rate", o.node_rate, 0.01, 1000);
    }
    if (!in(o.soft_timeout_s, 1e-6, 3600)) {
        return outside("soft-timeout", o.soft_timeout_s, 1e-6, 3600);
    }
    if (!in(o.periods, 1, 1000)) {
        return outside("periods", o.periods, 1, 1000);
    }
    if (o.watched >= o.engines) {
        return outside("watch", o.watched, 0, o.engines - 1);
    }
    if (o.fault) {
        if (o.fault->node >= o.nodes) {
            return outside("fault-node", o.fault->node, 0, o.nodes - 1);
        }
        if (!in(o.fault->at, 0, 1)) {
            return outside("fault-at", o.fault->at, 0, 1);
        }
        if (o.fault->recover && !in(*o.fault->recover, o.fault->at, 100)) {
            return outside("recover-at", *o.fault->recover, o.fault->at, 100);
        }
    }
    return absl::OkStatus();
}

absl::StatusOr<fleet_result> run_fleet(const fleet_options& options,
                                       const std::function<void(double)>& progress) {
    SLUICE_RETURN_IF_ERROR(check_fleet_options(options));
    return fleet(options).run(progress);
}

}  // namespace sluice::experiment
