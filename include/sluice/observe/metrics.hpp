// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>

namespace sluice {

// Metrics in the Prometheus text format. Updates are relaxed atomics: a reader sees each value at
// some recent moment, and values that are updated together may be seen apart.

/// A sum that only grows.
///
/// \par Thread safety
/// All members may be called from any thread.
class counter {
 public:
    void add(std::uint64_t n = 1) noexcept { value_.fetch_add(n, std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t value() const noexcept {
        return value_.load(std::memory_order_relaxed);
    }

 private:
    std::atomic<std::uint64_t> value_{0};
};

/// A value that goes up and down.
///
/// \par Thread safety
/// All members may be called from any thread.
class gauge {
 public:
    void set(double v) noexcept { value_.store(v, std::memory_order_relaxed); }
    void add(double v) noexcept { value_.fetch_add(v, std::memory_order_relaxed); }
    [[nodiscard]] double value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
    std::atomic<double> value_{0};
};

/// Counts observations in fixed buckets.
///
/// \par Thread safety
/// All members may be called from any thread.
class histogram {
 public:
    /// \pre `bounds` is finite and strictly ascending; `metrics_registry` checks it.
    explicit histogram(std::span<const double> bounds);

    /// NaN counts in the last bucket and leaves the sum alone.
    void observe(double v) noexcept;

    /// Upper bounds, inclusive; one more bucket takes what is above the last.
    [[nodiscard]] std::span<const double> bounds() const noexcept { return bounds_; }
    /// Observations of bucket `i`, not cumulative, up to and including `bounds().size()`.
    [[nodiscard]] std::uint64_t bucket(std::size_t i) const noexcept {
        return counts_[i].load(std::memory_order_relaxed);
    }
    [[nodiscard]] double sum() const noexcept { return sum_.load(std::memory_order_relaxed); }

 private:
    std::vector<double> bounds_;
    std::unique_ptr<std::atomic<std::uint64_t>[]> counts_;
    std::atomic<double> sum_{0};
};

/// Names and values that tell one series of a metric from the others.
using metric_labels = std::vector<std::pair<std::string, std::string>>;

/// The metrics of one pipeline or process, and their exposition. There is no global registry.
///
/// Registering a name and labels again gives the same object, so that parts need not know of each
/// other.
///
/// \par Thread safety
/// All members may be called from any thread; registering and `text` take a lock, so they are for
/// the start and for scrapes.
///
/// \par Lifetime
/// What it hands out lives as long as the registry.
///
/// \par Errors
/// Registering gives kInvalidArgument for a name or label name that Prometheus does not allow, a
/// label twice, a reserved label ("le", or names that begin with "__"), or bounds that are not
/// finite and ascending; kAlreadyExists for a name that is registered as another kind of metric or
/// with other bounds.
class metrics_registry {
 public:
    metrics_registry();
    metrics_registry(const metrics_registry&) = delete;
    metrics_registry& operator=(const metrics_registry&) = delete;
    ~metrics_registry();

    /// `unit` is multiplied in when the value is written: a counter of nanoseconds is shown in
    /// seconds with 1e-9. By convention the name ends in "_total".
    [[nodiscard]] absl::StatusOr<counter*> add_counter(std::string_view name, std::string_view help,
                                                       metric_labels labels = {}, double unit = 1);
    [[nodiscard]] absl::StatusOr<gauge*> add_gauge(std::string_view name, std::string_view help,
                                                   metric_labels labels = {});
    [[nodiscard]] absl::StatusOr<histogram*> add_histogram(std::string_view name,
                                                           std::string_view help,
                                                           std::span<const double> bounds,
                                                           metric_labels labels = {});

    /// Everything in the text format, version 0.0.4; metrics and series in the order in which they
    /// were registered.
    [[nodiscard]] std::string text() const;

 private:
    struct family;

    /// The family of that name, made if it is new.
    absl::StatusOr<family*> find_family(std::string_view name, std::string_view help, int kind,
                                        std::span<const double> bounds, double unit);

    mutable std::mutex mutex_;
    std::vector<std::unique_ptr<family>> families_;
};

/// Bounds `first`, `first` * `factor`, ...: `count` of them.
///
/// \pre `first` is positive and `factor` above 1.
[[nodiscard]] std::vector<double> exponential_bounds(double first, double factor,
                                                     std::size_t count);

}  // namespace sluice
