// SPDX-License-Identifier: Apache-2.0
#include <sluice/base/status.hpp>

#include <fmt/format.h>

namespace sluice {

std::string_view message_of(const absl::Status& status) noexcept {
    return {status.message().data(), status.message().size()};
}

absl::Status annotate(absl::Status status, std::string_view context) {
    if (status.ok()) {
        return status;
    }
    absl::Status out(status.code(), fmt::format("{}: {}", context, message_of(status)));
    status.ForEachPayload(
        [&out](absl::string_view url, const absl::Cord& payload) { out.SetPayload(url, payload); });
    return out;
}

}  // namespace sluice
