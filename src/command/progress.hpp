// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace sluice::command {

/// A line on standard error that says how far a long run is; silent unless that is a terminal.
///
/// \par Thread safety
/// All members may be called from any thread.
class progress_bar {
 public:
    /// \param wanted  false: always silent
    explicit progress_bar(bool wanted);
    progress_bar(const progress_bar&) = delete;
    progress_bar& operator=(const progress_bar&) = delete;
    /// Removes the line.
    ~progress_bar();

    /// Starts a part of the run of `total` steps (0: unknown), in place of the part before.
    void begin(std::string label, std::uint64_t total);
    void advance(std::uint64_t steps = 1);
    /// Removes the line, for example before something is printed.
    void clear();

    [[nodiscard]] bool enabled() const noexcept { return enabled_; }

 private:
    void draw();  // with mutex_ held

    const bool enabled_;
    std::mutex mutex_;
    std::string label_;
    std::uint64_t total_ = 0;
    std::uint64_t done_ = 0;
    bool visible_ = false;
    std::chrono::steady_clock::time_point started_;
    std::chrono::steady_clock::time_point drawn_;
};

/// The text of a bar that is `width` columns wide, without its line break.
[[nodiscard]] std::string progress_text(const std::string& label, std::uint64_t done,
                                        std::uint64_t total, double seconds, unsigned width);

}  // namespace sluice::command
