// SPDX-License-Identifier: Apache-2.0
// An engine's KV memory, and the two ways to serve from it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <sluice/kv/block_key.hpp>
#include <sluice/kv/layout.hpp>
#include <sluice/pipeline.hpp>

constexpr std::uint32_t page_bytes = 4096, pages = 64, block_tokens = 16;

/// L1: here host memory and one region; an engine has K and V of each layer on its GPU.
class kv_memory {
 public:
    std::span<std::byte> page(sluice::slot_id slot) {
        return std::span(bytes_).subspan(std::size_t{slot} * page_bytes, page_bytes);
    }
    [[nodiscard]] sluice::layout layout() const {
        sluice::group_layout group;
        group.regions = {{.base = reinterpret_cast<std::uintptr_t>(bytes_.data()),
                          .stride = page_bytes,
                          .bytes = page_bytes,
                          .slots = pages}};
        return sluice::layout::create({group}).value();
    }

 private:
    std::vector<std::byte> bytes_ = std::vector<std::byte>(std::size_t{pages} * page_bytes);
};

/// Names of blocks. An engine hashes the tokens of the block and of all before it.
inline std::vector<sluice::block_key> prompt_of(std::uint64_t first, std::uint64_t blocks) {
    std::vector<sluice::block_key> keys;
    for (std::uint64_t i = 0; i < blocks; ++i) {
        keys.push_back(sluice::block_key::from_u64(first + i));
    }
    return keys;
}

/// The engine computes when it likes. \return whether the second serving loaded all blocks.
bool engine_drives(sluice::pipeline_options options);

/// The library calls the engine's model for each request. \return as above; the bytes are checked.
bool library_drives(sluice::pipeline_options options, kv_memory& l1);
