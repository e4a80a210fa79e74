// SPDX-License-Identifier: Apache-2.0

// Built by every preset, and the only test of the one without exceptions: no Catch2 here.
#include <sluice/base/version.hpp>

#include <cstdio>

int main() {
    const std::string_view version = sluice::version();
    std::printf("sluice %.*s\n", static_cast<int>(version.size()), version.data());
    return version.empty() ? 1 : 0;
}
