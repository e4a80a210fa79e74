// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/base/clock.hpp>
#include <sluice/sched/policy.hpp>

namespace sluice {

/// What a policy's constructor is given: the `key=value` pairs of its spec, and the inner policy.
///
/// A getter returns its fallback where the key is absent or its value is bad; a bad value, a key
/// that no getter has asked for, and an inner policy that nobody has taken fail the `make_policy`
/// that runs the constructor. So a constructor only asks for what it knows.
///
/// \par Lifetime
/// Valid during the constructor only.
class policy_options {
 public:
    policy_options() = default;
    policy_options(const policy_options&) = delete;
    policy_options& operator=(const policy_options&) = delete;

    /// on, true, yes, 1 or off, false, no, 0.
    [[nodiscard]] bool flag(std::string_view key, bool fallback) const;
    /// A finite number from `least` to `most`.
    [[nodiscard]] double number(std::string_view key, double fallback, double least,
                                double most) const;
    /// A whole number from `least` to `most`.
    [[nodiscard]] std::int64_t integer(std::string_view key, std::int64_t fallback,
                                       std::int64_t least, std::int64_t most) const;
    /// A span of time, written in seconds, 0 to 1e9.
    [[nodiscard]] duration seconds(std::string_view key, duration fallback) const;
    /// Any text without `,()`. Borrowed.
    [[nodiscard]] std::string_view text(std::string_view key, std::string_view fallback) const;

    /// The policy in parentheses: asked for by wrappers. Without one it is an error, and the result
    /// is a fifo.
    [[nodiscard]] std::unique_ptr<policy> take_inner() const;

    /// Fails the construction with kInvalidArgument; the first message stays.
    void reject(std::string message) const;

 private:
    friend class policy_spec_parser;

    struct option {
        std::string key;
        std::string value;
    };
    const std::string* find(std::string_view key) const;
    [[nodiscard]] absl::Status finish() const;

    std::vector<option> given_;
    // A constructor sees a const object, so that it can be passed a temporary.
    mutable std::vector<std::string> asked_;
    mutable std::unique_ptr<policy> inner_;
    mutable bool wants_inner_ = false;
    mutable absl::Status error_;
};

/// Makes a policy; never returns null.
using policy_factory = std::function<std::unique_ptr<policy>(const policy_options&)>;

/// Makes `name` known to `make_policy`, for the rest of the process.
///
/// \return kInvalidArgument: a name is 1 to 64 of a-z, 0-9 and `_`; kAlreadyExists: the first stays
/// \par Thread safety
/// Any thread. The factory is called on the threads that call `make_policy`, several at once.
absl::Status register_policy(std::string_view name, policy_factory factory);

/// Makes a policy from `name[:key=value[,key=value...]][(inner spec)]`, for example `sjf`,
/// `lstf:late_last=off`, `aging:after=30(sjf)`, `fair(aging:after=5(srpt))`. Blanks around names,
/// keys and values are ignored.
///
/// \return kNotFound: no policy of that name; kInvalidArgument: not of that form, an unknown key, a
/// bad value, an inner policy missing or not wanted, more than 8 policies in one another. The
/// message says which, and what is known instead.
/// \par Thread safety
/// Any thread.
[[nodiscard]] absl::StatusOr<std::unique_ptr<policy>> make_policy(std::string_view spec);

/// The names that `make_policy` knows, sorted. Any thread.
[[nodiscard]] std::vector<std::string> policy_names();

namespace detail {

template <std::derived_from<policy> Policy>
std::unique_ptr<policy> construct_policy(const policy_options& options) {
    if constexpr (std::constructible_from<Policy, const policy_options&>) {
        return std::make_unique<Policy>(options);
    } else {
        return std::make_unique<Policy>();
    }
}

/// The built-in policies, in policies.cpp: a list, since a static library's registration objects
/// could be left out by the linker.
struct builtin_policy {
    std::string_view name;
    std::unique_ptr<policy> (*make)(const policy_options&);
};
[[nodiscard]] std::span<const builtin_policy> builtin_policies() noexcept;

}  // namespace detail

}  // namespace sluice

/// Registers a class under a name when the program starts; at namespace scope of a source file that
/// is linked in. The class is constructible from nothing or from `const sluice::policy_options&`.
/// Where a name is taken already, the first stays.
#define SLUICE_REGISTER_POLICY(name, type) SLUICE_REGISTER_POLICY_AT_(name, type, __COUNTER__)
#define SLUICE_REGISTER_POLICY_AT_(name, type, n) SLUICE_REGISTER_POLICY_NAMED_(name, type, n)
#define SLUICE_REGISTER_POLICY_NAMED_(name, type, n)                  \
    [[maybe_unused]] static const bool sluice_policy_registered_##n = \
        ::sluice::register_policy(name, &::sluice::detail::construct_policy<type>).ok()
