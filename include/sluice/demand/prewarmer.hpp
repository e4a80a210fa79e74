// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/coro/loop.hpp>
#include <sluice/demand/warmable.hpp>

namespace sluice::demand {

/// Names an expected need. A default one names nothing.
struct need_handle {
    std::uint32_t index = 0;
    std::uint32_t epoch = 0;  ///< 0 is never given out

    friend bool operator==(need_handle, need_handle) = default;
};

struct prewarmer_options {
    prewarm_rule rule;
    /// After a failure the same thing is not tried before this, doubled each time, ...
    duration first_retry = std::chrono::milliseconds{100};
    /// ... up to this.
    duration last_retry = std::chrono::seconds{30};
    /// Expected needs at once; more are refused.
    std::uint32_t max_needs = 1U << 20;
};

/// How a need found what it needs.
enum class warm_state : std::uint8_t { cold, warming, warm };

struct prewarmer_stats {
    std::uint64_t started = 0;        ///< warm-ups
    std::uint64_t failed = 0;         ///< of them, as the warmable said
    std::uint64_t cooled = 0;         ///< of them, given up before anybody used them
    std::uint64_t found_warm = 0;     ///< needs that came
    std::uint64_t found_warming = 0;  ///< needs that came before warming was over
    std::uint64_t found_cold = 0;     ///< needs that came
    std::uint64_t withdrawn = 0;      ///< needs that did not come
    double saved_s = 0;               ///< seconds of latency, by the warmables' own costs
    double wasted_s = 0;              ///< resource-seconds held for nothing
};

/// Warms things when their use has become likely enough, and cools them when it has not come.
///
/// For each expected need it computes from the forecast the window that is worth most
/// (`plan_prewarm`) and arms one timer for its begin, or its end; nothing is polled. A thing that
/// several needs want is warmed once, from the first window's begin to the last one's end, and kept
/// where keeping it is worth more than warming it again.
///
/// \par Thread safety
/// Everything on its loop (or before the loop runs), warmables are called there.
///
/// \par Lifetime
/// The loop and the warmables outlive it. The destructor cools what it holds.
class prewarmer {
 public:
    /// \param options  a rule that is not valid is replaced by the default one
    prewarmer(loop& on, const prewarmer_options& options = {});
    prewarmer(const prewarmer&) = delete;
    prewarmer& operator=(const prewarmer&) = delete;
    ~prewarmer();

    /// `key` of `what` is likely to be needed.
    /// \param forecast  when, from now
    /// \return kResourceExhausted: more than `max_needs`
    absl::StatusOr<need_handle> expect(warmable& what, warm_key key, const need_forecast& forecast);

    /// There is news about when. \return kNotFound: has come or was withdrawn
    absl::Status update(need_handle need, const need_forecast& forecast);

    /// The need has come. \return how it found what it needs; cold for a need that is not known
    warm_state arrived(need_handle need);

    /// The need will not come: the application has ended or gone another way. No-op if not known.
    void withdraw(need_handle need);

    /// Costs have changed: all that is not warm yet is planned anew.
    void refresh();

    /// Where the need's thing is now; cold for a need that is not known.
    [[nodiscard]] warm_state state(need_handle need) const noexcept;
    /// When it will next do something about this need; `never`: nothing is planned.
    [[nodiscard]] time_point next_at(need_handle need) const noexcept;
    [[nodiscard]] std::uint32_t needs() const noexcept;
    /// Things that are warm or warming.
    [[nodiscard]] std::uint32_t held() const noexcept;
    [[nodiscard]] const prewarmer_stats& stats() const noexcept;

 private:
    class core;
    std::unique_ptr<core> core_;
};

}  // namespace sluice::demand
