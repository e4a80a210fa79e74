// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include <sluice/sluice.h>

namespace sluice_adapters {

/// What an adapter's config says, as in adapter_store.py.
struct store_options {
    std::string nodes = "memory";   // or "tcp://host:port,...": memory nodes
    std::string secret_file;        // what clients and nodes share
    std::string name_space;         // blocks of others are not seen
    std::uint32_t replicas = 0;     // nodes that each block is put to; 0: 1
    std::uint32_t connections = 0;  // for data, per node; 0: 1
    std::uint64_t capacity = 0;     // "memory": bytes of blocks; 0: 1 GiB
};

/// Throws what sluice_last_error() says, as std::runtime_error.
inline void check(sluice_status status) {
    if (status != SLUICE_OK) {
        throw std::runtime_error(sluice_last_error());
    }
}

inline sluice_store* open_store(const store_options& o) {
    sluice_store* store = nullptr;
    if (o.nodes == "memory") {
        sluice_memory_store_options options = SLUICE_MEMORY_STORE_OPTIONS_INIT;
        options.flags = SLUICE_STORE_EVICT;
        options.capacity = o.capacity;
        check(sluice_store_open_memory(&options, &store));
    } else {
        sluice_fabric_store_options options = SLUICE_FABRIC_STORE_OPTIONS_INIT;
        options.nodes = o.nodes.c_str();
        options.secret_file = o.secret_file.empty() ? nullptr : o.secret_file.c_str();
        options.replicas = o.replicas;
        options.connections = o.connections;
        check(sluice_store_open_fabric(&options, &store));
    }
    return store;
}

}  // namespace sluice_adapters
