// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "../json/located.hpp"
#include "../workload/random.hpp"

namespace sluice::experiment {

/// How many tokens the parts of requests have.
///
/// A JSON object: {"distribution": "lognormal", "mean", "cv", "min"?, "max"?} | {"distribution":
/// "uniform", "min", "max"} | {"distribution": "constant", "value"} | {"distribution": "list",
/// "values": [...]}, where each of a list is as likely as the others. A log-normal length is
/// clipped to [min, max] (`usual_min` and 4 means), and its location is such that the mean is that
/// stated all the same; `cv` is that before clipping.
class lengths {
 public:
    /// \return kInvalidArgument, with file, line and key: what is not that, a mean outside of min
    /// and max, lengths below `lowest` or above 100 million
    [[nodiscard]] static absl::StatusOr<lengths> read(const json::value& from, double lowest,
                                                      double usual_min);

    [[nodiscard]] static lengths constant(double tokens);

    [[nodiscard]] double draw(workload::random_source& random) const noexcept;
    [[nodiscard]] double mean() const noexcept { return mean_; }
    [[nodiscard]] double highest() const noexcept { return high_; }
    /// In words, such as "log-normal, mean 61, cv 0.5, from 1 to 244".
    [[nodiscard]] std::string text() const;

 private:
    enum class shape : std::uint8_t { lognormal, uniform, constant, list };

    shape shape_ = shape::constant;
    double mean_ = 0;
    double cv_ = 0;
    double low_ = 0;
    double high_ = 0;
    double location_ = 0;  // of the logarithm
    double sigma_ = 0;
    std::vector<double> values_;
};

/// A whole number that is `x` on average: the next below or above, by chance.
[[nodiscard]] std::uint64_t round_by_chance(double x, workload::random_source& random) noexcept;

}  // namespace sluice::experiment
