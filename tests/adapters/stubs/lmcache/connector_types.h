// SPDX-License-Identifier: Apache-2.0
// What a connector needs of LMCache's header of this name, written from its contract.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lmcache {
namespace connector {

/// One per future id, when its batch has ended.
struct Completion {
    std::uint64_t future_id = 0;
    bool ok = true;
    std::vector<std::uint8_t> result_bytes;  // 0 or 1 per key, in the batch's order
    std::string error;
};

}  // namespace connector
}  // namespace lmcache
