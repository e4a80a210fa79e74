// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include <sluice/demand/run_record.hpp>

namespace sluice::experiment {

/// How the prompts of an application have tokens in common.
struct prompt_sharing {
    bool conversation = false;  ///< each prompt is the last one, its answer, and more
    bool identical = false;     ///< the calls of a visit have one prompt
    bool instructed = false;    ///< units begin with instructions that all runs have
};
[[nodiscard]] prompt_sharing sharing_of(std::string_view application) noexcept;

/// Tokens of the instructions of a unit: what the shortest prompt of these runs has, but for a few.
[[nodiscard]] std::uint32_t instructions_of(const std::vector<const demand::run_record*>& runs,
                                            std::string_view unit);

/// Says of each call which leading tokens of its prompt, in whole blocks, there has been KV of
/// before: the last prompt of its conversation, and instructions.
void mark_cached(std::vector<demand::run_record>& runs, std::uint32_t block_tokens);

}  // namespace sluice::experiment
