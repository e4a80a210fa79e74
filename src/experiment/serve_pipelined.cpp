// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <sluice/base/status.hpp>

#include "pipelined_engine.hpp"
#include "serve.hpp"

namespace sluice::experiment {

absl::StatusOr<seed_result> serve_pipelined(const run_setting& s) {
    auto shared = cluster::create({s.hardware.nodes, s.hardware.replicas, s.seed});
    SLUICE_RETURN_IF_ERROR(annotate(shared.status(), s.hardware.name));
    auto made = pipelined_engine::create(s, **shared);
    SLUICE_RETURN_IF_ERROR(made.status());
    pipelined_engine& engine = **made;
    virtual_loop& home = (*shared)->home();
    while (!engine.all_ended()) {
        if (home.next_due() == never && home.run_until_idle() == 0 && engine.collect() == 0) {
            return absl::InternalError(fmt::format(
                "seed {}: nothing moves any more, and requests have no answer", s.seed));
        }
        home.run_until(home.next_due());
        engine.collect();
        SLUICE_RETURN_IF_ERROR(engine.failure());
    }
    home.run_until_idle();  // write-back
    return engine.finish();
}

}  // namespace sluice::experiment
