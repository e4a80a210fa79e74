// SPDX-License-Identifier: Apache-2.0
// A policy of one's own: what it takes to write one, name it, and use it by that name.
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include <sluice/base/status.hpp>
#include <sluice/sched/policy_registry.hpp>
#include <sluice/sched/ready_queue.hpp>

namespace {

// [policy]
/// Large loads go last; all others by arrival. Option: `over=SECONDS`, from when a load is large.
class large_loads_last final : public sluice::policy {
 public:
    explicit large_loads_last(const sluice::policy_options& options)
        : over_(options.number("over", 1.0, 0.0, 1e6)) {}

 private:
    sluice::rank_value do_rank(const sluice::request_view& r, sluice::stage_id,
                               sluice::time_point) noexcept override {
        const auto arrival = static_cast<double>(r.arrival.time_since_epoch().count());
        // A tier stands above every rank; "hopeless" is behind all that are "normal".
        return {arrival, r.predicted.load() > over_ ? sluice::rank_tier::hopeless
                                                    : sluice::rank_tier::normal};
    }

    double over_;
};

SLUICE_REGISTER_POLICY("large_loads_last", large_loads_last);
// [policy]

}  // namespace

int main(int argc, char** argv) {
    const char* spec = argc > 1 ? argv[1] : "aging:after=60(large_loads_last:over=0.3)";
    auto policy = sluice::make_policy(spec);
    if (!policy.ok()) {
        std::fprintf(stderr, "%s\n", std::string(sluice::message_of(policy.status())).c_str());
        return 1;
    }

    // An engine says `pipeline_options::policy = *std::move(policy)`. Here it ranks by hand: three
    // requests, a second apart; the first has much to load.
    std::vector<sluice::request_view> requests(3);
    sluice::ready_queue queue;
    const sluice::time_point now{std::chrono::seconds(10)};
    for (std::uint32_t i = 0; i < requests.size(); ++i) {
        sluice::request_view& r = requests[i];
        r.arrival = sluice::time_point{std::chrono::seconds(1 + i)};
        r.admitted = true;
        r.predicted = {.fetch = i == 0 ? 0.5 : 0.1, .copy = 0.02, .compute = 0.03};
        queue.set(i, {.rank = sluice::pack_rank((*policy)->rank(r, sluice::stage_id::fetch, now)),
                      .arrival_order = i});
    }
    std::printf("%s:", spec);
    while (!queue.empty()) {
        std::printf(" %u", queue.top());
        queue.erase(queue.top());
    }
    std::printf("\n");
    return 0;
}
