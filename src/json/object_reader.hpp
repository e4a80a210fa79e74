// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>

#include "located.hpp"

namespace sluice::json {

/// The lowest bound of a number that has to be positive.
inline constexpr double above_zero = std::numeric_limits<double>::min();

/// Reads the keys of an object. It keeps the first fault, with file, line and key, and goes on:
/// each getter returns something in its range (the fallback, else the lowest), and `finish` says
/// how it went. A key that nobody has asked for is a fault too.
///
/// The object has to outlive the reader.
class object_reader {
 public:
    /// What is no object is the first fault.
    explicit object_reader(const value& object);

    [[nodiscard]] double number(std::string_view key, double lowest, double highest);
    [[nodiscard]] double number_or(std::string_view key, double fallback, double lowest,
                                   double highest);
    [[nodiscard]] std::uint64_t whole(std::string_view key, std::uint64_t lowest,
                                      std::uint64_t highest);
    [[nodiscard]] std::uint64_t whole_or(std::string_view key, std::uint64_t fallback,
                                         std::uint64_t lowest, std::uint64_t highest);
    [[nodiscard]] bool flag_or(std::string_view key, bool fallback);
    /// Not empty.
    [[nodiscard]] std::string text(std::string_view key);
    [[nodiscard]] std::string text_or(std::string_view key, std::string_view fallback);
    /// The place in `names` of the text under `key`.
    [[nodiscard]] std::size_t choice(std::string_view key, std::span<const std::string_view> names);

    /// Whatever stands under `key`, to be read by the caller; null if nothing does.
    [[nodiscard]] const value* find(std::string_view key);
    /// As `find`; that nothing is there, or something else, is a fault.
    [[nodiscard]] const value* object(std::string_view key);
    [[nodiscard]] const value* array(std::string_view key);

    /// Keeps a fault that the caller has found; OK is none.
    void keep(absl::Status fault);
    [[nodiscard]] bool ok() const noexcept { return fault_.ok(); }

    /// Looks for keys that nobody has asked for. \return the first fault
    [[nodiscard]] absl::Status finish();

 private:
    const value* need(std::string_view key);
    double number_of(const value* held, std::string_view key, double fallback, double lowest,
                     double highest);
    std::uint64_t whole_of(const value* held, std::string_view key, std::uint64_t fallback,
                           std::uint64_t lowest, std::uint64_t highest);
    std::string text_of(const value* held, std::string_view key, std::string_view fallback);
    void wrong_type(const value& held, std::string_view key, std::string_view wanted);

    const value& object_;
    std::vector<std::string> known_;
    absl::Status fault_;
};

/// What is wrong with an element of an array that should be a number of that range; OK if nothing
/// is. `name` says which one, such as "'values'[3]".
[[nodiscard]] absl::Status check_number(const value& element, std::string_view name, double lowest,
                                        double highest);
[[nodiscard]] absl::Status check_whole(const value& element, std::string_view name,
                                       std::uint64_t lowest, std::uint64_t highest);

}  // namespace sluice::json
