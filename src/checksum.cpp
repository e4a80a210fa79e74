// SPDX-License-Identifier: Apache-2.0
#include <sluice/base/checksum.hpp>

// The distribution's library is built for the oldest processor; its dispatching entry point finds
// AVX2 at run time. SLUICE_NO_XXH_DISPATCH is for libraries that ship the header without it.
#if defined(__x86_64__) && !defined(SLUICE_NO_XXH_DISPATCH) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#define SLUICE_XXH3_64_ XXH3_64bits_dispatch
#else
#include <xxhash.h>
#define SLUICE_XXH3_64_ XXH3_64bits
#endif

namespace sluice {

std::uint64_t checksum64(std::span<const std::byte> bytes) noexcept {
    return SLUICE_XXH3_64_(bytes.data(), bytes.size());
}

}  // namespace sluice
