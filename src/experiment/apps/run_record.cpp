// SPDX-License-Identifier: Apache-2.0
#include "run_record.hpp"

#include <fstream>

#include "../../json/located.hpp"

namespace sluice::demand {
absl::StatusOr<std::vector<run_record>> read_runs(const std::string& file) {
    std::ifstream in(file);
    if (!in) {
        return absl::NotFoundError(file + " cannot be read");
    }
    std::vector<run_record> out;
    std::string line;
    std::uint32_t n = 0;
    while (std::getline(in, line)) {
        json::parse_limits limits;
        limits.first_line = ++n;
        auto v = json::parse(line, file, limits);
        if (!v.ok()) {
            return v.status();
        }
        run_record r;
        for (const auto& m : v->members()) {
            if (m.key == "app") {
                r.application = std::string(m.what.text().value_or(""));
            } else if (m.key == "run") {
                r.run = m.what.whole().value_or(0);
            } else if (m.key == "units") {
                for (const auto& u : m.what.items()) {
                    unit_record unit;
                    for (const auto& k : u.members()) {
                        if (k.key == "unit") {
                            unit.unit = std::string(k.what.text().value_or(""));
                        } else if (k.key == "backend") {
                            unit.backend = std::string(k.what.text().value_or(""));
                        } else if (k.key == "calls") {
                            for (const auto& c : k.what.items()) {
                                call_record call;
                                for (const auto& f : c.members()) {
                                    if (f.key == "prompt_tokens") {
                                        call.prompt_tokens = static_cast<std::uint32_t>(f.what.whole().value_or(0));
                                    } else if (f.key == "completion_tokens") {
                                        call.completion_tokens = static_cast<std::uint32_t>(f.what.whole().value_or(0));
                                    } else if (f.key == "duration_ms") {
                                        call.seconds = f.what.number().value_or(0) * 1e-3;
                                    }
                                }
                                if (unit.backend == "dnn" && !unit.calls.empty()) {
                                    unit.calls[0].seconds += call.seconds;
                                } else {
                                    unit.calls.push_back(call);
                                }
                            }
                        }
                    }
                    r.units.push_back(std::move(unit));
                }
            }
        }
        out.push_back(std::move(r));
    }
    return out;
}
}  // namespace sluice::demand
