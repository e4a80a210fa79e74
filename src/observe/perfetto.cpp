// SPDX-License-Identifier: Apache-2.0
#include <sluice/observe/perfetto.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace sluice {
namespace {

std::string json_string(std::string_view text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// Appends events, one per line. Text is built directly: a run has up to hundreds of thousands.
class event_writer {
 public:
    template <class... Args>
    void add(fmt::format_string<Args...> format, Args&&... args) {
        out_ += first_ ? "\n" : ",\n";
        first_ = false;
        fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
    }
    [[nodiscard]] std::string take() && {
        out_ += "\n]}\n";
        return std::move(out_);
    }

 private:
    std::string out_ = R"({"displayTimeUnit": "ms", "traceEvents": [)";
    bool first_ = true;
};

/// JSON has no infinities: what is not a number is drawn at the start.
double microseconds(double seconds) { return std::isfinite(seconds) ? seconds * 1e6 : 0; }

/// Thread numbers: stages in the order of their first span, then the lanes of each.
class thread_numbers {
 public:
    thread_numbers(event_writer& events, std::size_t process, const run_result& run)
        : spans_(run.spans), lanes_(assign_lanes(run.spans)) {
        for (std::size_t i = 0; i < spans_.size(); ++i) {
            std::uint32_t& lanes = lanes_of_[spans_[i].stage];
            if (lanes == 0) {
                order_.push_back(spans_[i].stage);
            }
            lanes = std::max(lanes, lanes_[i] + 1);
        }
        std::size_t next = 1;
        for (const std::string_view stage : order_) {
            first_[stage] = next;
            for (std::uint32_t lane = 0; lane < lanes_of_[stage]; ++lane, ++next) {
                const std::string name =
                    lane == 0 ? std::string(stage) : fmt::format("{} {}", stage, lane + 1);
                events.add(R"({{"ph": "M", "name": "thread_name", "pid": {0}, "tid": {1}, )"
                           R"("args": {{"name": {2}}}}})",
                           process, next, json_string(name));
                events.add(R"({{"ph": "M", "name": "thread_sort_index", "pid": {0}, "tid": {1}, )"
                           R"("args": {{"sort_index": {1}}}}})",
                           process, next);
            }
        }
    }

    [[nodiscard]] std::size_t of(std::size_t span) const {
        return first_.at(spans_[span].stage) + lanes_[span];
    }

 private:
    const std::vector<stage_span>& spans_;
    std::vector<std::uint32_t> lanes_;
    std::map<std::string_view, std::uint32_t> lanes_of_;
    std::vector<std::string_view> order_;
    std::map<std::string_view, std::size_t> first_;
};

/// Arrows from the first operation of a request at one stage to its first at the next.
void add_flows(event_writer& events, std::size_t process, const run_result& run,
               const thread_numbers& threads) {
    std::map<std::pair<std::uint64_t, std::string_view>, std::size_t> first;
    for (std::size_t i = 0; i < run.spans.size(); ++i) {
        const auto [it, fresh] = first.try_emplace({run.spans[i].request, run.spans[i].stage}, i);
        if (!fresh && run.spans[i].start_s < run.spans[it->second].start_s) {
            it->second = i;
        }
    }
    std::map<std::uint64_t, std::vector<std::size_t>> ways;
    for (const auto& [key, span] : first) {
        ways[key.first].push_back(span);
    }
    for (auto& [request, way] : ways) {
        std::sort(way.begin(), way.end(), [&run](std::size_t a, std::size_t b) {
            return run.spans[a].start_s < run.spans[b].start_s;
        });
        for (std::size_t i = 0; way.size() > 1 && i < way.size(); ++i) {
            const char phase = i == 0 ? 's' : i + 1 == way.size() ? 'f' : 't';
            events.add(R"({{"ph": "{}", "cat": "request", "name": "request", "id": "{}.{}", )"
                       R"("pid": {}, "tid": {}, "ts": {:.3f}{}}})",
                       phase, process, request, process, threads.of(way[i]),
                       microseconds(run.spans[way[i]].start_s),
                       phase == 'f' ? R"(, "bp": "e")" : "");
        }
    }
}

/// Whole requests, from arrival to first token.
void add_requests(event_writer& events, std::size_t process, const run_result& run) {
    for (const request_result& r : run.requests) {
        if (r.outcome != request_outcome::computed) {
            continue;
        }
        const std::string common =
            fmt::format(R"("cat": "requests", "name": "request {}", "id": "r{}.{}", "pid": {}, )"
                        R"("tid": 0)",
                        r.id, process, r.id, process);
        events.add(R"({{"ph": "b", {}, "ts": {:.3f}, "args": {{"request": {}, )"
                   R"("prompt_tokens": {}, "loaded_blocks": {}, "total_blocks": {}, )"
                   R"("made_deadline": {}}}}})",
                   common, microseconds(r.arrival_s), r.id, r.prompt_tokens, r.loaded_blocks,
                   r.total_blocks, r.made_deadline());
        events.add(R"({{"ph": "e", {}, "ts": {:.3f}}})", common,
                   microseconds(r.arrival_s + r.ttft_s));
    }
}

}  // namespace

std::string perfetto_trace(const experiment_result& experiment) {
    event_writer events;
    for (std::size_t row = 0; row < experiment.rows.size(); ++row) {
        const run_result& run = experiment.rows[row];
        const std::size_t process = row + 1;
        events.add(R"({{"ph": "M", "name": "process_name", "pid": {}, "tid": 0, )"
                   R"("args": {{"name": {}}}}})",
                   process, json_string(run.label()));
        events.add(R"({{"ph": "M", "name": "process_sort_index", "pid": {0}, "tid": 0, )"
                   R"("args": {{"sort_index": {0}}}}})",
                   process);
        const thread_numbers threads(events, process, run);
        for (std::size_t i = 0; i < run.spans.size(); ++i) {
            const stage_span& s = run.spans[i];
            events.add(R"({{"ph": "X", "cat": "stage", "name": "request {0}", "pid": {1}, )"
                       R"("tid": {2}, "ts": {3:.3f}, "dur": {4:.3f}, )"
                       R"("args": {{"request": {0}, "bytes": {5}}}}})",
                       s.request, process, threads.of(i), microseconds(s.start_s),
                       microseconds(std::max(0.0, s.end_s - s.start_s)), s.bytes);
        }
        add_flows(events, process, run, threads);
        add_requests(events, process, run);
    }
    return std::move(events).take();
}

}  // namespace sluice
