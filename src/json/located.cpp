// SPDX-License-Identifier: Apache-2.0
#include "located.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <numeric>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <sluice/base/status.hpp>

#include "read_text.hpp"

namespace sluice::json {
namespace {

/// How far the parser has read.
struct reading {
    std::uint32_t line = 1;
    bool behind_break = false;  // the last character was a line break
};

/// Walks over a text and counts its lines. The parser goes through it once, so copies of the
/// iterator may share one count.
class counting_iterator {
 public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = const char&;

    counting_iterator(const char* at, reading* read) noexcept : at_(at), read_(read) {}

    reference operator*() const noexcept { return *at_; }
    counting_iterator& operator++() noexcept {
        read_->behind_break = *at_ == '\n';
        read_->line += read_->behind_break ? 1 : 0;
        ++at_;
        return *this;
    }
    counting_iterator operator++(int) noexcept {
        const counting_iterator before = *this;
        ++*this;
        return before;
    }
    friend bool operator==(const counting_iterator& a, const counting_iterator& b) noexcept {
        return a.at_ == b.at_;
    }

 private:
    const char* at_;
    reading* read_;
};

std::string at(std::string_view file, std::uint32_t line, std::string_view what) {
    return fmt::format("{}:{}: {}", file, line, what);
}

/// The beginning of a text as a terminal can show it, and a report: UTF-8 without what controls
/// things. What is no UTF-8 becomes question marks.
std::string printable(std::string_view text, std::size_t longest) {
    std::string out;
    std::size_t i = 0;
    while (i < text.size() && out.size() < longest) {
        const auto c = static_cast<unsigned char>(text[i]);
        const std::size_t length = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
        const std::string_view sequence = text.substr(i, length);
        const bool whole = c != 0x7f && (c < 0x80 ? c >= 0x20 : c >= 0xc2 && c <= 0xf4) &&
                           sequence.size() == length &&
                           std::all_of(sequence.begin() + 1, sequence.end(), [](char t) {
                               return (static_cast<unsigned char>(t) & 0xc0) == 0x80;
                           });
        out += whole ? sequence : std::string_view("?");
        i += whole ? length : 1;
    }
    return i < text.size() ? out + "..." : out;
}

/// The parser's words without its name, its number and its idea of the place.
std::string reason_of(std::string_view what) {
    if (const std::size_t place = what.find(" column "); place != std::string_view::npos) {
        if (const std::size_t colon = what.find(": ", place); colon != std::string_view::npos) {
            what.remove_prefix(colon + 2);
        }
    } else if (const std::size_t name = what.find("] "); name != std::string_view::npos) {
        what.remove_prefix(name + 2);
    }
    constexpr std::size_t longest = 200;  // it quotes what it has read
    return printable(what, longest);
}

}  // namespace

value::value() = default;
value::value(const value&) = default;
value::value(value&&) noexcept = default;
value& value::operator=(const value&) = default;
value& value::operator=(value&&) noexcept = default;
value::~value() = default;

const std::string& value::file() const noexcept {
    static const std::string none;
    return file_ ? *file_ : none;
}

bool value::is_null() const noexcept { return std::holds_alternative<std::monostate>(content_); }
bool value::is_object() const noexcept {
    return std::holds_alternative<std::vector<member>>(content_);
}
bool value::is_array() const noexcept {
    return std::holds_alternative<std::vector<value>>(content_);
}
bool value::is_number() const noexcept { return number().has_value(); }

std::string_view value::type_name() const noexcept {
    constexpr std::array<std::string_view, 8> names{"null",     "true or false", "a number",
                                                    "a number", "a number",      "a string",
                                                    "an array", "an object"};
    return names[content_.index()];
}

std::optional<bool> value::flag() const noexcept {
    const bool* held = std::get_if<bool>(&content_);
    return held != nullptr ? std::optional(*held) : std::nullopt;
}

std::optional<double> value::number() const noexcept {
    if (const auto* n = std::get_if<double>(&content_)) {
        return *n;
    }
    if (const auto* n = std::get_if<std::uint64_t>(&content_)) {
        return static_cast<double>(*n);
    }
    if (const auto* n = std::get_if<std::int64_t>(&content_)) {
        return static_cast<double>(*n);
    }
    return std::nullopt;
}

std::optional<std::uint64_t> value::whole() const noexcept {
    if (const auto* n = std::get_if<std::uint64_t>(&content_)) {
        return *n;
    }
    const auto* n = std::get_if<double>(&content_);
    if (n != nullptr && *n >= 0 && *n <= 0x1p53 && *n == std::floor(*n)) {
        return static_cast<std::uint64_t>(*n);
    }
    return std::nullopt;
}

std::optional<std::string_view> value::text() const noexcept {
    const auto* held = std::get_if<std::string>(&content_);
    return held != nullptr ? std::optional<std::string_view>(*held) : std::nullopt;
}

std::span<const value> value::items() const noexcept {
    const auto* held = std::get_if<std::vector<value>>(&content_);
    return held != nullptr ? std::span(*held) : std::span<const value>();
}

std::span<const member> value::members() const noexcept {
    const auto* held = std::get_if<std::vector<member>>(&content_);
    return held != nullptr ? std::span(*held) : std::span<const member>();
}

absl::Status value::error(std::string_view what) const {
    return absl::InvalidArgumentError(at(file(), line_, what));
}

/// Takes the parser's events and makes values of them.
class builder {
 public:
    builder(std::string_view file, const reading& read, const parse_limits& limits)
        : file_(std::make_shared<const std::string>(file)), read_(read), limits_(limits) {}

    bool null() { return add(std::monostate()); }
    bool boolean(bool held) { return add(held); }
    bool number_integer(std::int64_t held) { return add_number(held); }
    bool number_unsigned(std::uint64_t held) { return add_number(held); }
    bool number_float(double held, const std::string&) { return add_number(held); }
    bool string(std::string& held) { return add(std::move(held)); }
    bool binary(nlohmann::json::binary_t&) { return fail(read_.line, "binary data"); }
    bool start_object(std::size_t) { return open(std::vector<member>()); }
    bool start_array(std::size_t) { return open(std::vector<value>()); }
    bool end_array() { return close(); }

    bool key(std::string& name) {
        open_.back().key = std::move(name);
        open_.back().key_line = read_.line;
        return true;
    }
    bool end_object() {
        const std::span<const member> members = open_.back().made.members();
        order_.resize(members.size());
        std::iota(order_.begin(), order_.end(), 0u);
        std::stable_sort(order_.begin(), order_.end(), [members](std::uint32_t a, std::uint32_t b) {
            return members[a].key < members[b].key;
        });
        for (std::size_t i = 1; i < order_.size(); ++i) {
            const member& first = members[order_[i - 1]];
            const member& again = members[order_[i]];
            if (first.key == again.key) {
                return fail(again.line, fmt::format("key {} stands twice, first in line {}",
                                                    quote(again.key), first.line));
            }
        }
        return close();
    }
    template <class Exception>
    bool parse_error(std::size_t, const std::string&, const Exception& e) {
        return fail(line_of_last(), fmt::format("not JSON: {}", reason_of(e.what())));
    }

    [[nodiscard]] absl::StatusOr<value> take() {
        return status_.ok() ? absl::StatusOr<value>(std::move(root_)) : status_;
    }

 private:
    struct container {
        value made;
        std::string key;  // of the value that comes next, if `made` is an object
        std::uint32_t key_line = 1;
    };

    /// The line of the last character that is not one read ahead. The parser sees the end of a
    /// number by the character behind it, which may be a line break; no other token holds one.
    [[nodiscard]] std::uint32_t line_of_last() const noexcept {
        return read_.line - (read_.behind_break ? 1 : 0);
    }

    bool fail(std::uint32_t line, std::string_view what) {
        status_ = absl::InvalidArgumentError(at(*file_, line, what));
        return false;
    }

    [[nodiscard]] value make(value::content content, std::uint32_t line) {
        value made;
        made.content_ = std::move(content);
        made.file_ = file_;
        made.line_ = line;
        return made;
    }
    template <class Number>
    bool add_number(Number held) {
        return attach(make(held, line_of_last()));
    }
    bool add(value::content content) { return attach(make(std::move(content), read_.line)); }

    bool attach(value made) {
        if (++values_ > limits_.values) {
            return fail(made.line(), fmt::format("more than {} values", limits_.values));
        }
        if (open_.empty()) {
            root_ = std::move(made);
        } else if (container& top = open_.back();
                   auto* members = std::get_if<std::vector<member>>(&top.made.content_)) {
            members->push_back({std::move(top.key), top.key_line, std::move(made)});
        } else {
            std::get<std::vector<value>>(top.made.content_).push_back(std::move(made));
        }
        return true;
    }
    bool open(value::content empty) {
        if (open_.size() == limits_.depth) {
            return fail(read_.line, fmt::format("nested deeper than {} levels", limits_.depth));
        }
        open_.push_back({make(std::move(empty), read_.line), {}, 1});
        return true;
    }
    bool close() {
        value made = std::move(open_.back().made);
        open_.pop_back();
        return attach(std::move(made));
    }

    std::shared_ptr<const std::string> file_;
    const reading& read_;
    parse_limits limits_;
    std::vector<container> open_;
    std::vector<std::uint32_t> order_;  // of the keys of the object that ends
    std::size_t values_ = 0;
    value root_;
    absl::Status status_;
};

absl::StatusOr<value> parse(std::string_view text, std::string_view file,
                            const parse_limits& limits) {
    if (text.size() > limits.bytes) {
        return absl::InvalidArgumentError(
            at(file, limits.first_line, fmt::format("longer than {} bytes", limits.bytes)));
    }
    reading read{limits.first_line, false};
    builder events(file, read, limits);
    nlohmann::json::sax_parse(counting_iterator(text.data(), &read),
                              counting_iterator(text.data() + text.size(), &read), &events);
    return events.take();
}

absl::StatusOr<value> parse_file(const std::string& path, const parse_limits& limits) {
    const absl::StatusOr<std::string> text = read_text(path, limits.bytes);
    return text.ok() ? parse(*text, path, limits) : text.status();
}

std::string quote(std::string_view name) {
    constexpr std::size_t longest = 60;
    return fmt::format("'{}'", printable(name, longest));
}

}  // namespace sluice::json
