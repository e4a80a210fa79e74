// SPDX-License-Identifier: Apache-2.0
#include "status.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <sluice/base/status.hpp>
#include <sluice/base/version.hpp>

namespace sluice::capi {

namespace {

struct code_row {
    sluice_status code;
    absl::StatusCode status;
    const char* name;
};

// A status that is in two rows becomes the first of them.
#define SLUICE_ROW_(code, status) \
    code_row { code, absl::StatusCode::status, #code }
constexpr std::array rows = {
    SLUICE_ROW_(SLUICE_OK, kOk),
    SLUICE_ROW_(SLUICE_PENDING, kInternal),
    SLUICE_ROW_(SLUICE_E_INTERNAL, kInternal),
    SLUICE_ROW_(SLUICE_E_INVALID_ARGUMENT, kInvalidArgument),
    SLUICE_ROW_(SLUICE_E_NOT_FOUND, kNotFound),
    SLUICE_ROW_(SLUICE_E_FAILED_PRECONDITION, kFailedPrecondition),
    SLUICE_ROW_(SLUICE_E_OUT_OF_RANGE, kOutOfRange),
    SLUICE_ROW_(SLUICE_E_RESOURCE_EXHAUSTED, kResourceExhausted),
    SLUICE_ROW_(SLUICE_E_UNSUPPORTED, kUnimplemented),
    SLUICE_ROW_(SLUICE_E_CANCELLED, kCancelled),
    SLUICE_ROW_(SLUICE_E_DEADLINE_EXCEEDED, kDeadlineExceeded),
    SLUICE_ROW_(SLUICE_E_UNAVAILABLE, kUnavailable),
    SLUICE_ROW_(SLUICE_E_DATA_LOSS, kDataLoss),
    SLUICE_ROW_(SLUICE_E_ALREADY_EXISTS, kAlreadyExists),
    SLUICE_ROW_(SLUICE_E_PERMISSION_DENIED, kPermissionDenied),
    SLUICE_ROW_(SLUICE_E_TRUNCATED, kAborted),
};
#undef SLUICE_ROW_

// Of a fixed size, so that saying that there is no memory takes none.
thread_local std::array<char, 1024> last_error{};

}  // namespace

thread_local int callback_scope::depth = 0;

absl::Status callback_scope::refuse() {
    return depth == 0 ? absl::OkStatus()
                      : absl::FailedPreconditionError(
                            "called inside a callback, whose return the library waits for; do it "
                            "on a thread of yours");
}

sluice_status code_of(const absl::Status& status) noexcept {
    for (const code_row& row : rows) {
        if (row.status == status.code() && row.code != SLUICE_PENDING) {
            return row.code;
        }
    }
    return SLUICE_E_INTERNAL;
}

absl::Status status_of(sluice_status code) noexcept {
    for (const code_row& row : rows) {
        if (row.code == code) {
            return {row.status, ""};
        }
    }
    return {absl::StatusCode::kInternal, ""};
}

sluice_status fail(std::string_view function, const absl::Status& status) noexcept {
    return fail(function, code_of(status), message_of(status));
}

sluice_status fail(std::string_view function, sluice_status code, std::string_view text) noexcept {
    std::size_t used = 0;
    const auto append = [&used](std::string_view part) {
        const std::size_t n = std::min(part.size(), last_error.size() - 1 - used);
        std::memcpy(last_error.data() + used, part.data(), n);
        used += n;
    };
    append(function);
    append(": ");
    append(text.empty() ? sluice_status_name(code) : text);
    last_error[used] = '\0';
    return code;
}

}  // namespace sluice::capi

using namespace sluice;
using namespace sluice::capi;

extern "C" {

const char* sluice_status_name(sluice_status status) noexcept {
    for (const code_row& row : rows) {
        if (row.code == status) {
            return row.name;
        }
    }
    return "SLUICE_E_?";
}

const char* sluice_last_error(void) noexcept { return last_error.data(); }

uint32_t sluice_api_version(void) noexcept { return SLUICE_API_VERSION; }

const char* sluice_version(void) noexcept { return version().data(); }

}  // extern "C"
