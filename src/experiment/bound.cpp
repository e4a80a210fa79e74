// SPDX-License-Identifier: Apache-2.0
#include "bound.hpp"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <queue>
#include <unordered_map>

namespace sluice::experiment {
namespace {

// The smallest mean time from arrival to first token if only the stage of this leg were busy.
double stage_bound(std::span<const bound_job> jobs, std::size_t stage) {
    struct released {
        double at;
        double work_s;
    };
    std::vector<released> order;
    order.reserve(jobs.size());
    double sum = 0;
    for (const bound_job& j : jobs) {
        const bound_leg& leg = j.legs[stage];
        order.push_back({j.arrival_s + leg.head_s, leg.work_s});
        sum += leg.tail_s - j.arrival_s;
    }
    std::ranges::sort(order, {}, &released::at);

    // Shortest remaining work first.
    std::priority_queue<double, std::vector<double>, std::greater<>> left;
    double now = 0;
    for (std::size_t next = 0; next < order.size() || !left.empty();) {
        if (left.empty()) {
            now = std::max(now, order[next].at);
        }
        for (; next < order.size() && order[next].at <= now; ++next) {
            left.push(order[next].work_s);
        }
        const double work = left.top();
        left.pop();
        if (next < order.size() && now + work > order[next].at) {
            left.push(work - (order[next].at - now));
            now = order[next].at;
        } else {
            now += work;
            sum += now;
        }
    }
    return sum / static_cast<double>(jobs.size());
}

double seconds_of(double bytes, double rate) noexcept { return rate > 0 ? bytes / rate : 0; }

// Bytes/s that the link can bring at most, 0: no limit.
double link_rate(const hardware_profile& hardware, double fastest_link) {
    double nodes = 0;
    for (const sim::node_options& n : hardware.nodes) {
        if (n.rate <= 0) {
            return hardware.link.rate * fastest_link;
        }
        double fastest = 1;
        for (const sim::node_event& e : n.events) {
            fastest = std::max(fastest, e.factor);
        }
        nodes += n.rate * fastest;
    }
    const double link = hardware.link.rate * fastest_link;
    return link > 0 ? std::min(link, nodes) : nodes;
}

}  // namespace

double ttft_bound::mean_s() const noexcept {
    return std::max({alone_s, fetch_s, copy_s, compute_s});
}

ttft_bound clairvoyant_ttft(std::span<const bound_job> jobs) {
    ttft_bound out;
    for (const bound_job& j : jobs) {
        double alone = 0;
        for (const bound_leg& leg : j.legs) {
            alone = std::max(alone, leg.head_s + leg.work_s + leg.tail_s);
        }
        out.alone_s += alone / static_cast<double>(jobs.size());
    }
    out.fetch_s = stage_bound(jobs, 0);
    out.copy_s = stage_bound(jobs, 1);
    out.compute_s = stage_bound(jobs, 2);
    return out;
}

std::vector<bound_job> bound_jobs(const hardware_profile& hardware, const kv_model& model,
                                  const load& requests, double fastest_link) {
    std::unordered_map<std::uint64_t, std::uint32_t> users;  // of a block
    if (!requests.distinct) {
        for (const load_request& r : requests.requests) {
            for (const std::uint64_t id : r.block_ids) {
                ++users[id];
            }
        }
    }
    const auto shared = [&](std::uint64_t id) { return !requests.distinct && users[id] > 1; };
    const double block_bytes = static_cast<double>(model.kv_bytes_per_token()) *
                               static_cast<double>(requests.block_tokens);
    const double fetch_block = seconds_of(block_bytes, link_rate(hardware, fastest_link));
    const double copy_block = seconds_of(block_bytes, hardware.copy.rate);

    // What prompts in the same iteration share costs none of them anything.
    const bool shares =
        hardware.compute == compute_kind::iteration && hardware.iteration.chunk_tokens > 0;
    const double fixed = shares ? 0 : hardware.prefill.c0_s;

    std::vector<bound_job> out;
    out.reserve(requests.requests.size());
    for (const load_request& r : requests.requests) {
        std::uint32_t own = 0;   // of those that are cached, what only this request has
        std::uint32_t hits = 0;  // leading blocks that need not be computed
        for (const std::uint64_t id : r.block_ids) {
            const bool cached = hits < r.cached_blocks;
            if (!cached && !shared(id)) {
                break;
            }
            ++hits;
            own += cached && !shared(id) ? 1 : 0;
        }
        const double query = static_cast<double>(r.prompt_tokens) -
                             static_cast<double>(std::uint64_t{hits} * requests.block_tokens);
        const double context = static_cast<double>(r.prompt_tokens) - query;
        const compute_coefficients& c = hardware.prefill;
        const double compute =
            query > 0 ? fixed + c.c1_s * query + c.c2_s * query * (context + query / 2) : 0;
        // A copy can begin when a block has landed: at once if there is one of somebody else's.
        const double first_landed = own > 0 && own == hits ? fetch_block : 0;
        const double last_copied = own > 0 ? copy_block : 0;
        const double fetch = own * fetch_block;
        const double copy = own * copy_block;
        out.push_back({r.arrival_s,
                       {{{0, fetch, last_copied + compute},
                         {first_landed, copy, compute},
                         {std::max(fetch + last_copied, first_landed + copy), compute, 0}}}});
    }
    return out;
}

}  // namespace sluice::experiment
