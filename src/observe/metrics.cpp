// SPDX-License-Identifier: Apache-2.0
#include <sluice/observe/metrics.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <variant>

#include <fmt/format.h>

namespace sluice {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

/// [a-zA-Z_][a-zA-Z0-9_]*, and ':' anywhere in names of metrics.
bool is_name(std::string_view name, bool colons) {
    if (name.empty() || (name[0] >= '0' && name[0] <= '9')) {
        return false;
    }
    return std::all_of(name.begin(), name.end(), [colons](char c) {
        return is_letter(c) || (c >= '0' && c <= '9') || (colons && c == ':');
    });
}

std::string escaped(std::string_view text, bool quotes) {
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        if (c == '\n') {
            out += "\\n";
        } else if (c == '\\' || (quotes && c == '"')) {
            out += '\\';
            out += c;
        } else {
            out += c;
        }
    }
    return out;
}

std::string number(double v) {
    if (std::isnan(v)) {
        return "NaN";
    }
    if (std::isinf(v)) {
        return v > 0 ? "+Inf" : "-Inf";
    }
    return fmt::format("{}", v);
}

/// "{a="1",b="2"}" without the braces.
std::string label_text(const metric_labels& labels) {
    std::string out;
    for (const auto& [name, value] : labels) {
        out += fmt::format("{}{}=\"{}\"", out.empty() ? "" : ",", name, escaped(value, true));
    }
    return out;
}

std::string braced(std::string_view labels) {
    return labels.empty() ? std::string() : fmt::format("{{{}}}", labels);
}

absl::Status check_labels(const metric_labels& labels) {
    for (auto it = labels.begin(); it != labels.end(); ++it) {
        const std::string& name = it->first;
        if (!is_name(name, false)) {
            return absl::InvalidArgumentError(
                fmt::format("'{}' is not a label name", escaped(name, true)));
        }
        if (name == "le" || name.starts_with("__")) {
            return absl::InvalidArgumentError(fmt::format("label '{}' is reserved", name));
        }
        if (std::any_of(labels.begin(), it, [&](const auto& l) { return l.first == name; })) {
            return absl::InvalidArgumentError(fmt::format("label '{}' is given twice", name));
        }
    }
    return absl::OkStatus();
}

constexpr std::string_view kind_names[] = {"counter", "gauge", "histogram"};
constexpr int counter_kind = 0;
constexpr int gauge_kind = 1;
constexpr int histogram_kind = 2;

void add_histogram_text(std::string& out, std::string_view name, std::string_view labels,
                        const histogram& h) {
    const std::string_view comma = labels.empty() ? "" : ",";
    std::uint64_t total = 0;  // of the buckets as read here, so that "+Inf" and the count agree
    for (std::size_t i = 0; i <= h.bounds().size(); ++i) {
        total += h.bucket(i);
        const std::string bound = i < h.bounds().size() ? number(h.bounds()[i]) : "+Inf";
        out += fmt::format("{}_bucket{{{}{}le=\"{}\"}} {}\n", name, labels, comma, bound, total);
    }
    out += fmt::format("{}_sum{} {}\n", name, braced(labels), number(h.sum()));
    out += fmt::format("{}_count{} {}\n", name, braced(labels), total);
}

}  // namespace

histogram::histogram(std::span<const double> bounds)
    : bounds_(bounds.begin(), bounds.end()),
      counts_(std::make_unique<std::atomic<std::uint64_t>[]>(bounds.size() + 1)) {}

void histogram::observe(double v) noexcept {
    // Not (bound < v): NaN is below no bound, and belongs to the last bucket.
    const auto it =
        std::find_if(bounds_.begin(), bounds_.end(), [v](double bound) { return v <= bound; });
    counts_[static_cast<std::size_t>(it - bounds_.begin())].fetch_add(1, std::memory_order_relaxed);
    if (!std::isnan(v)) {
        sum_.fetch_add(v, std::memory_order_relaxed);
    }
}

struct metrics_registry::family {
    struct series {
        std::string labels;
        std::variant<std::unique_ptr<counter>, std::unique_ptr<gauge>, std::unique_ptr<histogram>>
            metric;
    };

    std::string name;
    std::string help;
    int kind = counter_kind;
    double unit = 1;
    std::vector<double> bounds;
    std::vector<series> all;

    /// The metric with these labels, made by `make` if there is none.
    template <class Metric, class Make>
    Metric* get(const metric_labels& labels, Make make) {
        // Written in another order they are the same labels.
        metric_labels sorted = labels;
        std::sort(sorted.begin(), sorted.end());
        std::string text = label_text(sorted);
        for (series& s : all) {
            if (s.labels == text) {
                return std::get<std::unique_ptr<Metric>>(s.metric).get();
            }
        }
        all.push_back({std::move(text), make()});
        return std::get<std::unique_ptr<Metric>>(all.back().metric).get();
    }
};

metrics_registry::metrics_registry() = default;
metrics_registry::~metrics_registry() = default;

absl::StatusOr<metrics_registry::family*> metrics_registry::find_family(
    std::string_view name, std::string_view help, int kind, std::span<const double> bounds,
    double unit) {
    if (!is_name(name, true)) {
        return absl::InvalidArgumentError(
            fmt::format("'{}' is not a metric name", escaped(name, true)));
    }
    for (const auto& f : families_) {
        if (f->name != name) {
            continue;
        }
        if (f->kind != kind || f->unit != unit ||
            !std::equal(bounds.begin(), bounds.end(), f->bounds.begin(), f->bounds.end())) {
            return absl::AlreadyExistsError(fmt::format(
                "metric '{}' is already registered as another {}", name, kind_names[f->kind]));
        }
        return f.get();
    }
    auto made = std::make_unique<family>();
    made->name = name;
    made->help = help;
    made->kind = kind;
    made->unit = unit;
    made->bounds.assign(bounds.begin(), bounds.end());
    families_.push_back(std::move(made));
    return families_.back().get();
}

absl::StatusOr<counter*> metrics_registry::add_counter(std::string_view name, std::string_view help,
                                                       metric_labels labels, double unit) {
    if (absl::Status s = check_labels(labels); !s.ok()) {
        return s;
    }
    const std::lock_guard lock(mutex_);
    absl::StatusOr<family*> f = find_family(name, help, counter_kind, {}, unit);
    if (!f.ok()) {
        return f.status();
    }
    return (*f)->get<counter>(labels, [] { return std::make_unique<counter>(); });
}

absl::StatusOr<gauge*> metrics_registry::add_gauge(std::string_view name, std::string_view help,
                                                   metric_labels labels) {
    if (absl::Status s = check_labels(labels); !s.ok()) {
        return s;
    }
    const std::lock_guard lock(mutex_);
    absl::StatusOr<family*> f = find_family(name, help, gauge_kind, {}, 1);
    if (!f.ok()) {
        return f.status();
    }
    return (*f)->get<gauge>(labels, [] { return std::make_unique<gauge>(); });
}

absl::StatusOr<histogram*> metrics_registry::add_histogram(std::string_view name,
                                                           std::string_view help,
                                                           std::span<const double> bounds,
                                                           metric_labels labels) {
    if (absl::Status s = check_labels(labels); !s.ok()) {
        return s;
    }
    const bool finite =
        std::all_of(bounds.begin(), bounds.end(), [](double b) { return std::isfinite(b); });
    const bool ascending =
        std::adjacent_find(bounds.begin(), bounds.end(), std::greater_equal<>{}) == bounds.end();
    if (!finite || !ascending) {
        return absl::InvalidArgumentError(fmt::format(
            "bounds of histogram '{}' are not finite and ascending", escaped(name, true)));
    }
    const std::lock_guard lock(mutex_);
    absl::StatusOr<family*> f = find_family(name, help, histogram_kind, bounds, 1);
    if (!f.ok()) {
        return f.status();
    }
    return (*f)->get<histogram>(labels, [bounds] { return std::make_unique<histogram>(bounds); });
}

std::string metrics_registry::text() const {
    const std::lock_guard lock(mutex_);
    std::string out;
    for (const auto& f : families_) {
        out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", f->name, escaped(f->help, false),
                           f->name, kind_names[f->kind]);
        for (const family::series& s : f->all) {
            if (const auto* c = std::get_if<std::unique_ptr<counter>>(&s.metric)) {
                const std::uint64_t value = (*c)->value();
                // A count beyond 2^53 keeps its digits unless a unit makes it a fraction.
                out += f->unit == 1 ? fmt::format("{}{} {}\n", f->name, braced(s.labels), value)
                                    : fmt::format("{}{} {}\n", f->name, braced(s.labels),
                                                  number(static_cast<double>(value) * f->unit));
            } else if (const auto* g = std::get_if<std::unique_ptr<gauge>>(&s.metric)) {
                out += fmt::format("{}{} {}\n", f->name, braced(s.labels), number((*g)->value()));
            } else if (const auto* h = std::get_if<std::unique_ptr<histogram>>(&s.metric)) {
                add_histogram_text(out, f->name, s.labels, **h);
            }
        }
    }
    return out;
}

std::vector<double> exponential_bounds(double first, double factor, std::size_t count) {
    std::vector<double> out;
    out.reserve(count);
    for (double bound = first; out.size() < count; bound *= factor) {
        out.push_back(bound);
    }
    return out;
}

}  // namespace sluice
