// SPDX-License-Identifier: Apache-2.0
#include <sluice/base/version.hpp>

// Two steps, so that the arguments are replaced before they become text.
#define SLUICE_DOTTED_IMPL_(a, b, c) #a "." #b "." #c
#define SLUICE_DOTTED_(a, b, c) SLUICE_DOTTED_IMPL_(a, b, c)

namespace sluice {

std::string_view version() noexcept {
    return SLUICE_DOTTED_(SLUICE_VERSION_MAJOR, SLUICE_VERSION_MINOR, SLUICE_VERSION_PATCH);
}

}  // namespace sluice
