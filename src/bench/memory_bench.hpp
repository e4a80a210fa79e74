// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace sluice::bench {

/// Heap memory of a pipeline with very many requests queued, keys aside.
struct memory_figures {
    double bytes_per_request = 0;  ///< with one block
    double bytes_per_block = 0;    ///< each further block
};

/// Queues requests behind a link that does not move and asks the allocator what that took. Zeros
/// where the allocator cannot say.
[[nodiscard]] memory_figures run_memory_bench();

}  // namespace sluice::bench
