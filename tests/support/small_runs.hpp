// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <fmt/format.h>

#include "support/temp_dir.hpp"

namespace sluice_test {

/// A folder with records of two applications and a mix of them: short conversations, and reports
/// that are much larger, of which each draws on many calls at once.
class small_runs {
 public:
    small_runs() {
        std::string chats;
        std::string reports;
        for (int run = 0; run < 12; ++run) {
            const int first = 100 + 10 * run;
            const int second = first + 40 + run;
            chats +=
                fmt::format(R"({{"app": "chat", "run": {0}, "units": [)"
                            R"({{"unit": "ask", "backend": "llm", "start_order": 0, "calls": [)"
                            R"({{"prompt_tokens": {1}, "completion_tokens": 20}}]}},)"
                            R"({{"unit": "look", "backend": "search", "start_order": 1, "calls": [)"
                            R"({{"duration_ms": {2}}}]}},)"
                            R"({{"unit": "ask", "backend": "llm", "start_order": 2, "calls": [)"
                            R"({{"prompt_tokens": {3}, "completion_tokens": 30}}]}}]}})"
                            "\n",
                            run, first, 1000 + 100 * run, second);
            std::string calls;
            for (int c = 0; c < 8; ++c) {
                calls += fmt::format(R"({}{{"prompt_tokens": {}, "completion_tokens": {}}})",
                                     c == 0 ? "" : ", ", 900 + run, 300 + 10 * c);
            }
            reports += fmt::format(
                R"({{"app": "report", "run": {}, "units": [)"
                R"({{"unit": "parts", "backend": "llm", "start_order": 0, "calls": [{}]}}]}})"
                "\n",
                run, calls);
        }
        (void)folder_.write("chat.jsonl", chats);
        (void)folder_.write("report.jsonl", reports);
        mix_ = folder_.write("mix.json", R"({"name": "small", "weights": {"chat": 3, "report": 1},
"window_s": 60, "tasks": 40})");
    }

    [[nodiscard]] std::string folder() const { return folder_.path(); }
    [[nodiscard]] const std::string& mix() const { return mix_; }
    std::string write(const std::string& name, const std::string& text) {
        return folder_.write(name, text);
    }

 private:
    temp_dir folder_;
    std::string mix_;
};

}  // namespace sluice_test
