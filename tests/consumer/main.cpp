// SPDX-License-Identifier: Apache-2.0
#include <sluice/base/version.hpp>

#include <cstdio>

#include <absl/status/status.h>

int main() {
    const std::string_view version = sluice::version();
    std::printf("sluice %.*s\n", static_cast<int>(version.size()), version.data());
    return absl::OkStatus().ok() && !version.empty() ? 0 : 1;
}
