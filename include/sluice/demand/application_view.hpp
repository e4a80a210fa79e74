// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <string_view>

#include <sluice/base/clock.hpp>
#include <sluice/base/ids.hpp>

namespace sluice::demand {

class sample_set;
struct remaining_demand;

/// Makes what is expected of an application on demand: not every policy asks.
class posterior_source {
 public:
    virtual const remaining_demand& posterior() noexcept = 0;
    virtual const sample_set& prior_service() noexcept = 0;
    virtual const sample_set& prior_path() noexcept = 0;

 protected:
    ~posterior_source() = default;
};

/// What a policy may know of an application, for the time of one call.
///
/// Seconds are of two kinds: *service* adds up all calls of a unit, *path* counts the longest of
/// those that run side by side.
struct application_view {
    app_handle id;
    void* user = nullptr;          ///< as given at its begin
    std::string_view application;  ///< its class
    time_point arrival{};
    time_point deadline = never;  ///< of its end
    std::uint32_t tenant = 0;
    double tenant_weight = 1;  ///< greater than 0

    /// \name What it has received, as reported
    ///@{
    double service_s = 0;       ///< since its begin
    double path_s = 0;          ///< the same
    double unit_service_s = 0;  ///< of that, in the unit that is under way
    double unit_path_s = 0;     ///< the same
    std::uint64_t prompt_tokens = 0;
    std::uint64_t completion_tokens = 0;
    ///@}

    /// What is left, if the caller knows it (simulations do); else NaN.
    double known_service_s = std::numeric_limits<double>::quiet_NaN();
    double known_path_s = std::numeric_limits<double>::quiet_NaN();

    /// It was reported out of order: what is expected of it is its class's, cut by what it has had.
    bool irregular = false;

    posterior_source* source = nullptr;  ///< not null

    /// What was expected at the begin of the unit that is under way (or at the end of the last),
    /// given all that had been observed: the samples to cut by `unit_service_s` and `unit_path_s`.
    [[nodiscard]] const remaining_demand& remaining() const noexcept { return source->posterior(); }
    /// Of a whole run of its class: the samples to cut by `service_s` and `path_s`.
    [[nodiscard]] const sample_set& whole_service() const noexcept {
        return source->prior_service();
    }
    [[nodiscard]] const sample_set& whole_path() const noexcept { return source->prior_path(); }
};

}  // namespace sluice::demand
