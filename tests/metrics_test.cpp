// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include <absl/status/status.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sluice/observe/metrics.hpp>

using Catch::Matchers::ContainsSubstring;

TEST_CASE("metrics: the text format", "[metrics]") {
    sluice::metrics_registry registry;
    registry.add_counter("sluice_bytes_total", "Bytes loaded", {{"stage", "fetch"}})
        .value()
        ->add(7);
    registry.add_counter("sluice_bytes_total", "Bytes loaded", {{"stage", "copy"}}).value();
    registry.add_counter("sluice_busy_seconds_total", "Busy", {}, 1e-9).value()->add(2'500'000'000);
    registry.add_gauge("sluice_queued", "Requests").value()->set(2.5);
    const std::vector<double> bounds{0.1, 1};
    sluice::histogram* h = registry.add_histogram("sluice_ttft_seconds", "TTFT", bounds).value();
    h->observe(0.1);
    h->observe(0.5);
    h->observe(9);
    CHECK(registry.text() ==
          "# HELP sluice_bytes_total Bytes loaded\n"
          "# TYPE sluice_bytes_total counter\n"
          "sluice_bytes_total{stage=\"fetch\"} 7\n"
          "sluice_bytes_total{stage=\"copy\"} 0\n"
          "# HELP sluice_busy_seconds_total Busy\n"
          "# TYPE sluice_busy_seconds_total counter\n"
          "sluice_busy_seconds_total 2.5\n"
          "# HELP sluice_queued Requests\n"
          "# TYPE sluice_queued gauge\n"
          "sluice_queued 2.5\n"
          "# HELP sluice_ttft_seconds TTFT\n"
          "# TYPE sluice_ttft_seconds histogram\n"
          "sluice_ttft_seconds_bucket{le=\"0.1\"} 1\n"
          "sluice_ttft_seconds_bucket{le=\"1\"} 2\n"
          "sluice_ttft_seconds_bucket{le=\"+Inf\"} 3\n"
          "sluice_ttft_seconds_sum 9.6\n"
          "sluice_ttft_seconds_count 3\n");
}

TEST_CASE("metrics: text from outside is escaped", "[metrics]") {
    sluice::metrics_registry registry;
    CHECK(registry.add_gauge("g", "a\\b\n\"c\"", {{"x", "q\"b\\s\nn"}}).ok());
    CHECK_THAT(registry.text(), ContainsSubstring("# HELP g a\\\\b\\n\"c\"\n"));
    CHECK_THAT(registry.text(), ContainsSubstring("g{x=\"q\\\"b\\\\s\\nn\"} 0\n"));
}

TEST_CASE("metrics: values that are not numbers", "[metrics]") {
    sluice::metrics_registry registry;
    constexpr double infinity = std::numeric_limits<double>::infinity();
    registry.add_gauge("a", "").value()->set(infinity);
    registry.add_gauge("b", "").value()->set(-infinity);
    registry.add_gauge("c", "").value()->set(std::nan(""));
    const std::vector<double> bounds{1};
    sluice::histogram* h = registry.add_histogram("h", "", bounds, {{"k", "v"}}).value();
    h->observe(std::nan(""));
    const std::string text = registry.text();
    CHECK_THAT(text, ContainsSubstring("a +Inf\n"));
    CHECK_THAT(text, ContainsSubstring("b -Inf\n"));
    CHECK_THAT(text, ContainsSubstring("c NaN\n"));
    CHECK_THAT(text, ContainsSubstring("h_bucket{k=\"v\",le=\"1\"} 0\n"));
    CHECK_THAT(text, ContainsSubstring("h_bucket{k=\"v\",le=\"+Inf\"} 1\n"));
    CHECK_THAT(text, ContainsSubstring("h_sum{k=\"v\"} 0\n"));
}

TEST_CASE("metrics: the same name and labels are the same object", "[metrics]") {
    sluice::metrics_registry registry;
    const sluice::metric_labels ab{{"a", "1"}, {"b", "2"}};
    const sluice::metric_labels ba{{"b", "2"}, {"a", "1"}};
    sluice::counter* first = registry.add_counter("c", "", ab).value();
    CHECK(registry.add_counter("c", "", ba).value() == first);
    CHECK(registry.add_counter("c", "", {{"a", "1"}}).value() != first);

    CHECK(registry.add_gauge("c", "").status().code() == absl::StatusCode::kAlreadyExists);
    CHECK(registry.add_counter("c", "", {}, 1e-9).status().code() ==
          absl::StatusCode::kAlreadyExists);
    const std::vector<double> one{1};
    const std::vector<double> two{1, 2};
    CHECK(registry.add_histogram("h", "", one).ok());
    CHECK(registry.add_histogram("h", "", two).status().code() == absl::StatusCode::kAlreadyExists);
}

TEST_CASE("metrics: names and bounds are checked", "[metrics]") {
    sluice::metrics_registry registry;
    const auto code = [&](std::string_view name, sluice::metric_labels labels = {}) {
        return registry.add_gauge(name, "", std::move(labels)).status().code();
    };
    constexpr auto invalid = absl::StatusCode::kInvalidArgument;
    CHECK(code("") == invalid);
    CHECK(code("1a") == invalid);
    CHECK(code("a-b") == invalid);
    CHECK(code("a\nb") == invalid);
    CHECK(code("a:b_C9") == absl::StatusCode::kOk);
    CHECK(code("x", {{"a:b", ""}}) == invalid);
    CHECK(code("x", {{"", ""}}) == invalid);
    CHECK(code("x", {{"le", ""}}) == invalid);
    CHECK(code("x", {{"__a", ""}}) == invalid);
    CHECK(code("x", {{"a", "1"}, {"a", "2"}}) == invalid);

    const auto bounds_code = [&](std::vector<double> bounds) {
        return registry.add_histogram("h", "", bounds).status().code();
    };
    CHECK(bounds_code({2, 1}) == invalid);
    CHECK(bounds_code({1, 1}) == invalid);
    CHECK(bounds_code({std::nan("")}) == invalid);
    CHECK(bounds_code({std::numeric_limits<double>::infinity()}) == invalid);
    CHECK_THAT(registry.text(), !ContainsSubstring("TYPE h ") && !ContainsSubstring("TYPE x "));
    CHECK(bounds_code({}) == absl::StatusCode::kOk);
    CHECK(sluice::exponential_bounds(1, 2, 4) == std::vector<double>{1, 2, 4, 8});
}

TEST_CASE("metrics: updates from many threads are all counted", "[metrics][race]") {
    sluice::metrics_registry registry;
    const std::vector<double> bounds{1, 2};
    constexpr int threads = 4;
    constexpr int rounds = 5000;
    {
        std::vector<std::jthread> workers;
        for (int t = 0; t < threads; ++t) {
            workers.emplace_back([&] {
                sluice::counter* c = registry.add_counter("c", "").value();
                sluice::gauge* g = registry.add_gauge("g", "").value();
                sluice::histogram* h = registry.add_histogram("h", "", bounds).value();
                for (int i = 0; i < rounds; ++i) {
                    c->add();
                    g->add(i % 2 == 0 ? 1 : -1);
                    h->observe(i % 3);
                }
            });
        }
        while (registry.add_counter("c", "").value()->value() < rounds) {
            CHECK_THAT(registry.text(), ContainsSubstring("TYPE c"));
        }
    }
    const std::uint64_t all = threads * rounds;
    CHECK(registry.add_counter("c", "").value()->value() == all);
    CHECK(registry.add_gauge("g", "").value()->value() == 0);
    const sluice::histogram* h = registry.add_histogram("h", "", bounds).value();
    CHECK(h->bucket(0) + h->bucket(1) + h->bucket(2) == all);
}
