// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <sluice/coro/loop.hpp>

#include "../fabric/target.hpp"
#include "../wire/messages.hpp"
#include "../wire/secret.hpp"
#include "block_pool.hpp"
#include "intake.hpp"
#include "mapped.hpp"
#include "node_metrics.hpp"

namespace sluice::node {

/// What all clients of a node share. Belongs to one loop, but for what `node_metrics` says.
struct service {
    /// A provider by which blocks are read.
    struct provider {
        std::string name;  // as clients ask for it
        std::unique_ptr<fabric::target> target;
        counter* lanes = nullptr;
    };

    service(loop& l, wire::shared_secret s, mapped m, duration lease)
        : on(l),
          secret(std::move(s)),
          memory(std::move(m)),
          pool({memory.bytes(), 0, lease}),
          blocks_in(l, pool, memory.bytes(), counts) {}

    loop& on;
    const wire::shared_secret secret;
    wire::welcome facts;
    node_metrics counts;
    const mapped memory;
    /// Staging areas of clients that have left. Kept mapped: a write that one of them had begun by
    /// another connection may still come, and must find nothing but a staging area there.
    std::vector<mapped> spare_staging;
    block_pool pool;
    intake blocks_in;
    std::vector<provider> providers;  // closed before the memory goes
    std::uint64_t staging_bytes = 0;  // per client
    time_point since{};               // when the node was made
    bool draining = false;
};

}  // namespace sluice::node
