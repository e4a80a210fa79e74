// SPDX-License-Identifier: Apache-2.0
#include "sharing.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <string>

namespace sluice::experiment {

prompt_sharing sharing_of(std::string_view application) noexcept {
    prompt_sharing out;
    out.conversation = application == "code_feedback" || application == "react_alfw" ||
                       application == "react_fever";
    out.identical = application == "got_docmerge" || application == "factool_code";
    out.instructed = application == "react_fever" || application == "factool_kbqa" ||
                     application == "factool_math" || application == "hugginggpt";
    return out;
}

std::uint32_t instructions_of(const std::vector<const demand::run_record*>& runs,
                              std::string_view unit) {
    constexpr double instructed_share = 0.95;
    std::uint32_t least = std::numeric_limits<std::uint32_t>::max();
    for (const demand::run_record* r : runs) {
        for (const demand::unit_record& u : r->units) {
            if (u.unit == unit) {
                for (const demand::call_record& c : u.calls) {
                    least = std::min(least, c.prompt_tokens);
                }
            }
        }
    }
    return static_cast<std::uint32_t>(instructed_share * least);
}

void mark_cached(std::vector<demand::run_record>& runs, std::uint32_t block_tokens) {
    std::vector<const demand::run_record*> all;
    for (const demand::run_record& r : runs) {
        all.push_back(&r);
    }
    std::map<std::string, std::uint32_t, std::less<>> instructions;
    for (demand::run_record& r : runs) {
        const prompt_sharing has = sharing_of(r.application);
        std::uint32_t said = 0;  // in the conversation so far
        for (demand::unit_record& u : r.units) {
            if (!u.llm()) {
                continue;
            }
            std::uint32_t common = 0;
            if (has.instructed) {
                const auto [it, fresh] = instructions.try_emplace(u.unit);
                if (fresh) {
                    it->second = instructions_of(all, u.unit);
                }
                common = it->second;
            }
            for (demand::call_record& c : u.calls) {
                const std::uint32_t known = std::min(std::max(common, said), c.prompt_tokens - 1);
                c.cached_tokens = known / block_tokens * block_tokens;
            }
            said = has.conversation && !u.calls.empty() ? u.calls.front().prompt_tokens : 0;
        }
    }
}

}  // namespace sluice::experiment
