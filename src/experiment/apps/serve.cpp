// SPDX-License-Identifier: Apache-2.0
#include "serve.hpp"

#include <chrono>

#include <sluice/base/status.hpp>

#include "app_server.hpp"

namespace sluice::experiment {

demand::service_rates rates_of(const app_options& options, const hardware_profile& hardware,
                               const kv_model& model) noexcept {
    demand::service_rates out;
    if (options.load_share > 0 && options.load_cost) {
        out.load_s_per_token = static_cast<double>(model.kv_bytes_per_token()) / hardware.link.rate;
    }
    return out;
}

absl::StatusOr<app_run> serve_apps(const app_setting& setting) {
    const auto begun = std::chrono::steady_clock::now();
    app_server server(setting);
    SLUICE_RETURN_IF_ERROR(server.assemble());
    auto out = server.run();
    SLUICE_RETURN_IF_ERROR(out.status());
    out->wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    return out;
}

}  // namespace sluice::experiment
