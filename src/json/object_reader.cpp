// SPDX-License-Identifier: Apache-2.0
#include "object_reader.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace sluice::json {
namespace {

std::string name_of(std::string_view key) { return fmt::format("key {}", quote(key)); }

}  // namespace

absl::Status check_number(const value& element, std::string_view name, double lowest,
                          double highest) {
    const std::optional<double> held = element.number();
    if (!held) {
        return element.error(fmt::format("{} is {}, not a number", name, element.type_name()));
    }
    if (*held < lowest) {
        return element.error(lowest == above_zero
                                 ? fmt::format("{} is {}, not above 0", name, *held)
                                 : fmt::format("{} is {}, below {}", name, *held, lowest));
    }
    if (*held > highest) {
        return element.error(fmt::format("{} is {}, above {}", name, *held, highest));
    }
    return absl::OkStatus();
}

absl::Status check_whole(const value& element, std::string_view name, std::uint64_t lowest,
                         std::uint64_t highest) {
    const std::optional<std::uint64_t> held = element.whole();
    if (!held) {
        const std::optional<double> number = element.number();
        if (!number) {
            return element.error(fmt::format("{} is {}, not a number", name, element.type_name()));
        }
        return element.error(*number < 0 ? fmt::format("{} is {}, below {}", name, *number, lowest)
                                         : fmt::format("{} is {}, not a whole number up to {}",
                                                       name, *number, highest));
    }
    if (*held < lowest) {
        return element.error(fmt::format("{} is {}, below {}", name, *held, lowest));
    }
    if (*held > highest) {
        return element.error(fmt::format("{} is {}, above {}", name, *held, highest));
    }
    return absl::OkStatus();
}

object_reader::object_reader(const value& object) : object_(object) {
    if (!object.is_object()) {
        keep(object.error(fmt::format("{} where an object should be", object.type_name())));
    }
}

void object_reader::keep(absl::Status fault) {
    if (fault_.ok()) {
        fault_ = std::move(fault);
    }
}

void object_reader::wrong_type(const value& held, std::string_view key, std::string_view wanted) {
    keep(held.error(fmt::format("{} is {}, not {}", name_of(key), held.type_name(), wanted)));
}

const value* object_reader::find(std::string_view key) {
    if (std::find(known_.begin(), known_.end(), key) == known_.end()) {
        known_.emplace_back(key);
    }
    for (const member& m : object_.members()) {
        if (m.key == key) {
            return &m.what;
        }
    }
    return nullptr;
}

const value* object_reader::need(std::string_view key) {
    const value* held = find(key);
    if (held == nullptr) {
        keep(object_.error(fmt::format("{} is missing", name_of(key))));
    }
    return held;
}

double object_reader::number_of(const value* held, std::string_view key, double fallback,
                                double lowest, double highest) {
    if (held == nullptr) {
        return fallback;
    }
    absl::Status fault = check_number(*held, name_of(key), lowest, highest);
    const double out = fault.ok() ? *held->number() : fallback;
    keep(std::move(fault));
    return out;
}
double object_reader::number(std::string_view key, double lowest, double highest) {
    return number_of(need(key), key, lowest, lowest, highest);
}
double object_reader::number_or(std::string_view key, double fallback, double lowest,
                                double highest) {
    return number_of(find(key), key, fallback, lowest, highest);
}

std::uint64_t object_reader::whole_of(const value* held, std::string_view key,
                                      std::uint64_t fallback, std::uint64_t lowest,
                                      std::uint64_t highest) {
    if (held == nullptr) {
        return fallback;
    }
    absl::Status fault = check_whole(*held, name_of(key), lowest, highest);
    const std::uint64_t out = fault.ok() ? *held->whole() : fallback;
    keep(std::move(fault));
    return out;
}
std::uint64_t object_reader::whole(std::string_view key, std::uint64_t lowest,
                                   std::uint64_t highest) {
    return whole_of(need(key), key, lowest, lowest, highest);
}
std::uint64_t object_reader::whole_or(std::string_view key, std::uint64_t fallback,
                                      std::uint64_t lowest, std::uint64_t highest) {
    return whole_of(find(key), key, fallback, lowest, highest);
}

bool object_reader::flag_or(std::string_view key, bool fallback) {
    const value* held = find(key);
    if (held == nullptr) {
        return fallback;
    }
    const std::optional<bool> flag = held->flag();
    if (!flag) {
        wrong_type(*held, key, "true or false");
    }
    return flag.value_or(fallback);
}

std::string object_reader::text_of(const value* held, std::string_view key,
                                   std::string_view fallback) {
    if (held == nullptr) {
        return std::string(fallback);
    }
    const std::optional<std::string_view> text = held->text();
    if (!text) {
        wrong_type(*held, key, "a string");
    } else if (text->empty()) {
        keep(held->error(fmt::format("{} is empty", name_of(key))));
    }
    return std::string(text.value_or(fallback));
}
std::string object_reader::text(std::string_view key) { return text_of(need(key), key, {}); }
std::string object_reader::text_or(std::string_view key, std::string_view fallback) {
    return text_of(find(key), key, fallback);
}

std::size_t object_reader::choice(std::string_view key, std::span<const std::string_view> names) {
    const value* held = need(key);
    if (held == nullptr) {
        return 0;
    }
    const std::string text = text_of(held, key, {});
    const auto it = std::find(names.begin(), names.end(), text);
    if (it == names.end()) {
        keep(held->error(
            fmt::format("{} is {}; known: {}", name_of(key), quote(text), fmt::join(names, ", "))));
        return 0;
    }
    return static_cast<std::size_t>(it - names.begin());
}

const value* object_reader::object(std::string_view key) {
    const value* held = need(key);
    if (held != nullptr && !held->is_object()) {
        wrong_type(*held, key, "an object");
        return nullptr;
    }
    return held;
}
const value* object_reader::array(std::string_view key) {
    const value* held = need(key);
    if (held != nullptr && !held->is_array()) {
        wrong_type(*held, key, "an array");
        return nullptr;
    }
    return held;
}

absl::Status object_reader::finish() {
    for (const member& m : object_.members()) {
        if (std::find(known_.begin(), known_.end(), m.key) == known_.end()) {
            const std::string known = known_.empty()
                                          ? "there should be none"
                                          : fmt::format("known: {}", fmt::join(known_, ", "));
            keep(absl::InvalidArgumentError(fmt::format("{}:{}: unknown {}; {}", object_.file(),
                                                        m.line, name_of(m.key), known)));
            break;
        }
    }
    return fault_;
}

}  // namespace sluice::json
