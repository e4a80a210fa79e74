// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string_view>

#include <rdma/fabric.h>

#include <absl/status/status.h>

namespace sluice::fabric {

struct fid_closer {
    template <class Fid>
    void operator()(Fid* f) const noexcept {
        fi_close(&f->fid);
    }
};
/// Owns an object of libfabric's. Objects that are bound to others are declared behind them.
template <class Fid>
using fid_ptr = std::unique_ptr<Fid, fid_closer>;

struct info_deleter {
    void operator()(fi_info* info) const noexcept { fi_freeinfo(info); }
};
using info_ptr = std::unique_ptr<fi_info, info_deleter>;

/// Maps a return value of libfabric's (zero, positive, or a negative FI_E*) to a status with the
/// message "<what>: <fi_strerror>". Zero and positive values are OK.
[[nodiscard]] absl::Status fabric_status(long ret, std::string_view what);

}  // namespace sluice::fabric
