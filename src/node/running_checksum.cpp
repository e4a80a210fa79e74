// SPDX-License-Identifier: Apache-2.0
#include "running_checksum.hpp"

// As in checksum.cpp: the dispatching entry points find AVX2 at run time.
#if defined(__x86_64__) && !defined(SLUICE_NO_XXH_DISPATCH) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#define SLUICE_XXH3_UPDATE_ XXH3_64bits_update_dispatch
#else
#include <xxhash.h>
#define SLUICE_XXH3_UPDATE_ XXH3_64bits_update
#endif

namespace sluice::node {

void running_checksum::deleter::operator()(XXH3_state_s* s) const noexcept { XXH3_freeState(s); }

running_checksum::running_checksum() : state_(XXH3_createState()) { start(); }

void running_checksum::start() noexcept { XXH3_64bits_reset(state_.get()); }

void running_checksum::add(std::span<const std::byte> bytes) noexcept {
    SLUICE_XXH3_UPDATE_(state_.get(), bytes.data(), bytes.size());
}

std::uint64_t running_checksum::value() const noexcept { return XXH3_64bits_digest(state_.get()); }

}  // namespace sluice::node
