// SPDX-License-Identifier: Apache-2.0
#include "fi.hpp"

#include <fmt/format.h>
#include <rdma/fi_errno.h>

namespace sluice::fabric {
namespace {

absl::StatusCode code_of(int error) noexcept {
    switch (error) {
    case FI_EINVAL: return absl::StatusCode::kInvalidArgument;
    case FI_ENOMEM:
    case FI_EMFILE: return absl::StatusCode::kResourceExhausted;
    case FI_ECANCELED: return absl::StatusCode::kCancelled;
    case FI_ETIMEDOUT: return absl::StatusCode::kDeadlineExceeded;
    case FI_ENODATA:
    case FI_ENOSYS:
    case FI_EOPNOTSUPP: return absl::StatusCode::kUnimplemented;
    case FI_EACCES:
    case FI_EPERM: return absl::StatusCode::kPermissionDenied;
    case FI_EADDRINUSE: return absl::StatusCode::kAlreadyExists;
    default: return absl::StatusCode::kUnavailable;
    }
}

}  // namespace

absl::Status fabric_status(long ret, std::string_view what) {
    if (ret >= 0) {
        return absl::OkStatus();
    }
    const int error = static_cast<int>(-ret);
    return {code_of(error), fmt::format("{}: {}", what, fi_strerror(error))};
}

}  // namespace sluice::fabric
