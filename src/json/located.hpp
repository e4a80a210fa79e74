// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

namespace sluice::json {

struct member;

/// What a JSON text holds, with the file and line where it stands, so that whoever finds fault with
/// it can say where. A cheap copy it is not.
class value {
 public:
    /// null, of no file
    value();
    value(const value&);
    value(value&&) noexcept;
    value& operator=(const value&);
    value& operator=(value&&) noexcept;
    ~value();

    /// Of its first character; from 1.
    [[nodiscard]] std::uint32_t line() const noexcept { return line_; }
    [[nodiscard]] const std::string& file() const noexcept;

    [[nodiscard]] bool is_null() const noexcept;
    [[nodiscard]] bool is_object() const noexcept;
    [[nodiscard]] bool is_array() const noexcept;
    [[nodiscard]] bool is_number() const noexcept;
    /// "an object", "a number", ...
    [[nodiscard]] std::string_view type_name() const noexcept;

    [[nodiscard]] std::optional<bool> flag() const noexcept;
    [[nodiscard]] std::optional<double> number() const noexcept;
    /// A number without a fraction: digits, or a form such as 52e9 that is exact as a double.
    [[nodiscard]] std::optional<std::uint64_t> whole() const noexcept;
    /// Valid as long as the value. Empty for what is no string.
    [[nodiscard]] std::optional<std::string_view> text() const noexcept;
    /// The elements of an array; empty for everything else.
    [[nodiscard]] std::span<const value> items() const noexcept;
    /// The keys of an object in the order of the file, all different; empty for everything else.
    [[nodiscard]] std::span<const member> members() const noexcept;

    /// "FILE:LINE: what", kInvalidArgument.
    [[nodiscard]] absl::Status error(std::string_view what) const;

 private:
    friend class builder;
    using content = std::variant<std::monostate, bool, std::uint64_t, std::int64_t, double,
                                 std::string, std::vector<value>, std::vector<member>>;

    content content_;
    std::shared_ptr<const std::string> file_;
    std::uint32_t line_ = 1;
};

struct member {
    std::string key;
    std::uint32_t line = 1;  ///< of the key
    value what;
};

struct parse_limits {
    std::size_t bytes = std::size_t{64} << 20;
    std::uint32_t depth = 32;
    std::size_t values = std::size_t{4} << 20;
    std::uint32_t first_line = 1;  ///< number of the text's first line
};

/// Parses a JSON text; `file` is what errors call it.
///
/// \return kInvalidArgument, as "FILE:LINE: what": not JSON (comments are not), a key that stands
/// twice in an object, a number that no double holds, more than the limits allow.
[[nodiscard]] absl::StatusOr<value> parse(std::string_view text, std::string_view file,
                                          const parse_limits& limits = {});

/// Parses a file. \return as `parse`; kNotFound, kPermissionDenied, kUnavailable: it cannot be
/// read.
[[nodiscard]] absl::StatusOr<value> parse_file(const std::string& path,
                                               const parse_limits& limits = {});

/// A key or name of a file for a message: in quotes, with nothing that upsets a terminal,
/// shortened.
[[nodiscard]] std::string quote(std::string_view name);

}  // namespace sluice::json
