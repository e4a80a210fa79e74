// SPDX-License-Identifier: Apache-2.0
#include <sluice/sched/policy_registry.hpp>

#include <pthread.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <sluice/base/status.hpp>
#include <sluice/sched/policies.hpp>

namespace sluice {

namespace {

constexpr int max_depth = 8;
constexpr std::size_t max_name = 64;

bool is_name(std::string_view name) noexcept {
    return !name.empty() && name.size() <= max_name &&
           std::all_of(name.begin(), name.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
           });
}

std::string_view trim(std::string_view text) noexcept {
    const auto first = text.find_first_not_of(' ');
    if (first == std::string_view::npos) {
        return {};
    }
    return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

// The whole of `text` as a number, or nothing.
template <class T>
std::optional<T> parse_number(std::string_view text) noexcept {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

class registry {
 public:
    static registry& instance() {
        static registry it;
        return it;
    }
    registry(const registry&) = delete;
    registry& operator=(const registry&) = delete;
    ~registry() = default;

    absl::Status add(std::string_view name, policy_factory factory) {
        if (!is_name(name) || !factory) {
            return absl::InvalidArgumentError(
                fmt::format("cannot register policy \"{}\": a name is 1 to {} of a-z, 0-9 and _, "
                            "with a factory",
                            name, max_name));
        }
        const std::lock_guard lock(mutex_);
        if (!factories_.emplace(name, std::move(factory)).second) {
            return absl::AlreadyExistsError(fmt::format("there is a policy \"{}\" already", name));
        }
        return absl::OkStatus();
    }

    // A copy: the factory runs without the lock, and may itself make policies.
    absl::StatusOr<policy_factory> find(std::string_view name) {
        {
            const std::lock_guard lock(mutex_);
            const auto at = factories_.find(name);
            if (at != factories_.end()) {
                return at->second;
            }
        }
        return absl::NotFoundError(
            fmt::format("no policy \"{}\"; known: {}", name, fmt::join(names(), ", ")));
    }

    std::vector<std::string> names() {
        const std::lock_guard lock(mutex_);
        std::vector<std::string> out;
        for (const auto& [name, factory] : factories_) {
            out.push_back(name);
        }
        return out;
    }

 private:
    registry() {
        // A child makes policies too: another thread's lock must not stay with it.
        ::pthread_atfork([] { instance().mutex_.lock(); }, [] { instance().mutex_.unlock(); },
                         [] { instance().mutex_.unlock(); });
        for (const auto& [name, make] : detail::builtin_policies()) {
            factories_.emplace(name, make);
        }
    }

    std::mutex mutex_;
    std::map<std::string, policy_factory, std::less<>> factories_;
};

}  // namespace

const std::string* policy_options::find(std::string_view key) const {
    if (std::find(asked_.begin(), asked_.end(), key) == asked_.end()) {
        asked_.emplace_back(key);
    }
    const auto at =
        std::find_if(given_.begin(), given_.end(), [key](const option& o) { return o.key == key; });
    return at == given_.end() ? nullptr : &at->value;
}

void policy_options::reject(std::string message) const {
    if (error_.ok()) {
        error_ = absl::InvalidArgumentError(message);
    }
}

bool policy_options::flag(std::string_view key, bool fallback) const {
    const std::string* value = find(key);
    if (value == nullptr) {
        return fallback;
    }
    for (const std::string_view on : {"on", "true", "yes", "1"}) {
        if (*value == on) {
            return true;
        }
    }
    for (const std::string_view off : {"off", "false", "no", "0"}) {
        if (*value == off) {
            return false;
        }
    }
    reject(fmt::format("{} is \"{}\"; it is on or off", key, *value));
    return fallback;
}

double policy_options::number(std::string_view key, double fallback, double least,
                              double most) const {
    const std::string* value = find(key);
    if (value == nullptr) {
        return fallback;
    }
    const auto parsed = parse_number<double>(*value);
    // Also false for a value that is not a number.
    if (parsed && std::isfinite(*parsed) && *parsed >= least && *parsed <= most) {
        return *parsed;
    }
    reject(fmt::format("{} is \"{}\"; it is a number from {} to {}", key, *value, least, most));
    return fallback;
}

std::int64_t policy_options::integer(std::string_view key, std::int64_t fallback,
                                     std::int64_t least, std::int64_t most) const {
    const std::string* value = find(key);
    if (value == nullptr) {
        return fallback;
    }
    const auto parsed = parse_number<std::int64_t>(*value);
    if (parsed && *parsed >= least && *parsed <= most) {
        return *parsed;
    }
    reject(
        fmt::format("{} is \"{}\"; it is a whole number from {} to {}", key, *value, least, most));
    return fallback;
}

duration policy_options::seconds(std::string_view key, duration fallback) const {
    return find(key) == nullptr ? fallback : from_seconds(number(key, 0, 0, 1e9));
}

std::string_view policy_options::text(std::string_view key, std::string_view fallback) const {
    const std::string* value = find(key);
    return value == nullptr ? fallback : *value;
}

std::unique_ptr<policy> policy_options::take_inner() const {
    wants_inner_ = true;
    if (inner_ == nullptr) {
        reject("needs an inner policy in parentheses");
        return std::make_unique<fifo_policy>();
    }
    return std::move(inner_);
}

absl::Status policy_options::finish() const {
    for (const option& o : given_) {
        if (std::find(asked_.begin(), asked_.end(), o.key) == asked_.end()) {
            reject(asked_.empty() ? fmt::format("unknown key \"{}\"; it has none", o.key)
                                  : fmt::format("unknown key \"{}\"; known: {}", o.key,
                                                fmt::join(asked_, ", ")));
        }
    }
    if (inner_ != nullptr && !wants_inner_) {
        reject("takes no inner policy");
    }
    return error_;
}

// Recursive descent over the text of a spec.
class policy_spec_parser {
 public:
    explicit policy_spec_parser(std::string_view spec) noexcept : spec_(spec), rest_(spec) {}

    absl::StatusOr<std::unique_ptr<policy>> parse() {
        auto made = one(1);
        if (made.ok() && !trim(rest_).empty()) {
            return malformed(fmt::format("\"{}\" is left over", trim(rest_)));
        }
        return made;
    }

 private:
    absl::StatusOr<std::unique_ptr<policy>> one(int depth) {
        if (depth > max_depth) {
            return malformed(fmt::format("more than {} policies in one another", max_depth));
        }
        const std::string_view name = word(":()");
        if (!is_name(name)) {
            return malformed(fmt::format("\"{}\" is no name", name));
        }
        auto factory = registry::instance().find(name);
        SLUICE_RETURN_IF_ERROR(annotate(factory.status(), context()));

        policy_options options;
        if (eat(':')) {
            SLUICE_RETURN_IF_ERROR(pairs(options));
        }
        if (eat('(')) {
            auto inner = one(depth + 1);
            SLUICE_RETURN_IF_ERROR(inner.status());
            if (!eat(')')) {
                return malformed("a ) is missing");
            }
            options.inner_ = *std::move(inner);
        }
        auto made = (*factory)(options);
        SLUICE_RETURN_IF_ERROR(annotate(options.finish(), fmt::format("{}: {}", context(), name)));
        if (made == nullptr) {
            return absl::InternalError(fmt::format("{}: {} made nothing", context(), name));
        }
        return made;
    }

    absl::Status pairs(policy_options& options) {
        do {
            const std::string_view key = word("=,()");
            if (!is_name(key) || !eat('=')) {
                return malformed(fmt::format("key=value expected at \"{}\"", key));
            }
            const std::string_view value = word(",()");
            for (const auto& o : options.given_) {
                if (o.key == key) {
                    return malformed(fmt::format("{} is given twice", key));
                }
            }
            options.given_.push_back({std::string(key), std::string(value)});
        } while (eat(','));
        return absl::OkStatus();
    }

    // The text up to one of `ends`.
    std::string_view word(std::string_view ends) noexcept {
        const std::string_view out = rest_.substr(0, rest_.find_first_of(ends));
        rest_.remove_prefix(out.size());
        return trim(out);
    }

    bool eat(char c) noexcept {
        const auto first = rest_.find_first_not_of(' ');
        if (first == std::string_view::npos || rest_[first] != c) {
            return false;
        }
        rest_.remove_prefix(first + 1);
        return true;
    }

    [[nodiscard]] std::string context() const {
        constexpr std::size_t shown = 200;
        return fmt::format("policy spec \"{}\"", spec_.substr(0, shown));
    }
    [[nodiscard]] absl::Status malformed(std::string_view what) const {
        return absl::InvalidArgumentError(fmt::format("{}: {}", context(), what));
    }

    std::string_view spec_;
    std::string_view rest_;
};

absl::Status register_policy(std::string_view name, policy_factory factory) {
    return registry::instance().add(name, std::move(factory));
}

absl::StatusOr<std::unique_ptr<policy>> make_policy(std::string_view spec) {
    return policy_spec_parser(spec).parse();
}

std::vector<std::string> policy_names() { return registry::instance().names(); }

}  // namespace sluice
