// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <absl/status/status.h>

namespace sluice::experiment {

/// What is brought near for calls.
enum class cache_use : std::uint8_t {
    late,     ///< what a call needs, when its turn comes: calls wait outside the pipeline
    queue,    ///< what those that wait need
    prewarm,  ///< and what applications will need that are elsewhere now
};

/// What is started ahead of its use, where starts are slow.
enum class app_prewarm : std::uint8_t {
    none,    ///< nothing
    epwq,    ///< what is in a queue
    hermes,  ///< that, and what the applications are expected to need
};

[[nodiscard]] std::string_view prewarm_name(app_prewarm p) noexcept;

/// What an experiment with applications consists of.
struct app_options {
    std::string runs;  ///< folder of run records
    std::string mix = "end_to_end";
    std::string engine = "a100-llama2-7b";  ///< a profile that names its model
    std::string policy = "gittins";
    double intensity = 1;                ///< divides the window
    std::optional<std::uint32_t> tasks;  ///< in place of the mix's
    std::optional<double> window_s;      ///< the same, at intensity 1
    std::optional<bool> deadlines;       ///< for all applications or for none
    std::uint32_t splits = 5;
    std::uint64_t split_seed = 1;  ///< of the first split; the others count up from it
    bool external_fifo = false;    ///< external backends serve by arrival, whatever the policy
    bool learn = true;             ///< models learn from applications as they end

    /// \name What is slow to start
    ///@{
    bool cold_starts = false;  ///< containers, models and adapters start at their use
    app_prewarm prewarm = app_prewarm::none;
    std::uint32_t host_adapters = 20;  ///< that host memory has room for
    ///@}

    /// \name Where KV is kept beside the engine's memory
    ///@{
    /// Share of loading in the TTFT of calls that load, with nobody in the way: the rate of the
    /// link to L3 follows from it. 0: there is no L3.
    double load_share = 0;
    std::optional<double> host_gb;  ///< L2; none without L3, and the profile's with it
    cache_use cache = cache_use::queue;
    bool load_cost = true;  ///< applications' remaining service counts loading
    ///@}
    double prewarm_confidence = 0.3;  ///< K of prewarming, of KV and of what is slow to start
};

/// An option by its name, which is that of the flag and of the key in a file.
struct app_option {
    std::string_view name;
    std::string_view values;  ///< what it takes, in a word or two
    std::string_view help;
    /// Sets it from a text. \return kInvalidArgument: what it takes instead
    absl::Status (*set)(app_options& options, std::string_view text);
    /// As `set` reads it; empty: not set.
    std::string (*get)(const app_options& options);
};
/// All but `runs`, in the order in which they are to be shown.
[[nodiscard]] std::span<const app_option> all_app_options() noexcept;
/// By the name; `_` may stand for `-`.
/// \return kInvalidArgument: no such option, with their names; or its value is bad
[[nodiscard]] absl::Status set_app_option(app_options& options, std::string_view name,
                                          std::string_view text);

}  // namespace sluice::experiment
