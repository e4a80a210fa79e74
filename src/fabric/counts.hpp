// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sluice/observe/metrics.hpp>

namespace sluice::fabric {

/// What a store counts, on its loop; read from anywhere.
struct store_counts {
    counter gets, puts, bytes_read, bytes_written, misses, corrupt, failed, failovers, transfers,
        merged_blocks, vectored_transfers, lookups, soft_timeouts, stale;
};

}  // namespace sluice::fabric
