// SPDX-License-Identifier: Apache-2.0
// What is left of an application: at its begin, and once something of it has been observed.
#include <cstdio>
#include <span>
#include <vector>

#include <sluice/demand/demand_model.hpp>

namespace demand = sluice::demand;

int main() {
    // [learn]
    std::vector<demand::run_record> runs;
    for (std::uint32_t i = 0; i < 60; ++i) {
        const std::uint32_t calls = 1 + i % 6;  // the longer the plan, the more calls
        demand::run_record run{"agent", i, {}};
        run.units.push_back({"plan", "llm", {{800, 30 * calls + i % 5}}});
        run.units.push_back({"work", "llm", std::vector<demand::call_record>(calls, {300, 100})});
        runs.push_back(run);
    }
    auto model = demand::demand_model::learn("agent", runs);
    if (!model.ok()) {
        std::puts(model.status().ToString().c_str());
        return 1;
    }
    // [learn]
    const demand::demand_model& agent = **model;
    const double before = agent.service().mean();

    // [condition]
    demand::unit_visit plan;  // has ended, after 180 tokens
    plan.unit = agent.find_unit("plan");
    plan.prompt_tokens = plan.max_prompt_tokens = 800;
    plan.completion_tokens = plan.max_completion_tokens = 180;

    demand::observation seen;
    seen.ended = std::span(&plan, 1);
    demand::remaining_demand left;
    agent.condition(seen, left);
    const double rank = left.service.gittins(0);               // order: smaller goes first
    const double late = left.path.quantile_remaining(0.9, 0);  // for deadlines
    // [condition]
    std::printf("%.1f s at first; %.1f s left, rank %.1f, path at most %.1f s in 9 of 10\n", before,
                left.service.mean(), rank, late);
    return left.conditioned && left.service.mean() > before ? 0 : 1;
}
