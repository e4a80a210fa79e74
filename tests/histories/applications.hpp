// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <sluice/demand/app_tracker.hpp>

#include "checker.hpp"

namespace sluice::histories {

/// The applications of a history, and what must be true of them.
class applications {
 public:
    explicit applications(checker& check) : check_(check) {}

    [[nodiscard]] demand::app_tracker& tracker() noexcept { return tracker_; }
    /// Of the application of that number; of none before its begin. It may have ended.
    [[nodiscard]] app_handle handle(std::uint32_t app) const noexcept {
        return app < no_app ? known_[app].handle : app_handle{};
    }
    /// Reports it, and looks whether the answer is right.
    void happens(const app_event& e);
    /// All that has been reported is worked out.
    void check_at_end();

 private:
    struct known {
        app_handle handle;
        bool live = false;
        bool open = false;  ///< a unit is under way
        std::uint64_t prompt = 0;
        std::uint64_t so_far = 0;
        double service_s = 0;
    };
    void expect(const char* what, const absl::Status& got, absl::StatusCode code);

    checker& check_;
    demand::app_tracker tracker_;
    std::array<known, no_app> known_;
    std::uint64_t begun_ = 0, ended_ = 0, refused_ = 0;
};

}  // namespace sluice::histories
