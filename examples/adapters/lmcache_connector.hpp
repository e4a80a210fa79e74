// SPDX-License-Identifier: Apache-2.0
// LMCache over Sluice: IStorageConnector on Sluice's batches, by the C API. C++17, as LMCache is.
//
// Written against LMCache 0.5.6 (October 2026): csrc/storage_backends/connector_interface.h and
// connector_types.h. Build it with lmcache_module.cpp into a Python module; the multiprocess server
// is told:
//   --l2-adapter '{"type": "native_plugin", "module_path": "sluice_lmcache",
//                  "class_name": "SluiceConnector", "adapter_params": {
//                      "nodes": "tcp://a:7070,tcp://b:7070", "secret_file": "/etc/secret"}}'
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <connector_interface.h>
#include <connector_types.h>

#include "adapter_store.hpp"

namespace sluice_adapters {

/// Any thread may call any member, several at once; only close() waits. Nothing here knows of
/// Python: bytes move on Sluice's threads, by address. What a submit throws, std::runtime_error:
/// lists of different lengths, no keys, closed, 65536 batches under way; nothing is done then.
class lmcache_connector final : public lmcache::connector::IStorageConnector {
    using names = std::vector<std::string>;
    using buffers = std::vector<void*>;
    using lengths = std::vector<std::size_t>;

 public:
    explicit lmcache_connector(const store_options& options);  // throws std::runtime_error
    ~lmcache_connector() override { close(); }

    /// Level triggered: readable while completions wait. -1 after close().
    int event_fd() const override { return fd_.load(); }

    // A length that is not the stored block's fails that key alone.
    std::uint64_t submit_batch_get(const names& keys, const buffers& bufs, const lengths& lens,
                                   std::size_t) override {
        return start(SLUICE_BATCH_GET, keys, bufs, lens);
    }
    std::uint64_t submit_batch_set(const names& keys, const buffers& bufs, const lengths& lens,
                                   std::size_t) override {
        return start(SLUICE_BATCH_PUT, keys, bufs, lens);
    }
    std::uint64_t submit_batch_exists(const names& keys) override {
        return start(SLUICE_BATCH_EXISTS, keys, buffers(keys.size()), lengths(keys.size()));
    }
    /// Says what was there: looks first, and removes when the lookup is drained.
    std::uint64_t submit_batch_delete(const names& keys) override {
        return start(SLUICE_BATCH_REMOVE, keys, buffers(keys.size()), lengths(keys.size()));
    }

    /// Oldest end first. Empty, if the descriptor was readable for the first half of a delete.
    std::vector<lmcache::connector::Completion> drain_completions() override;

    /// Cancels what has not started and waits for the rest; after it no buffer is touched.
    void close() override;

 private:
    struct batch {
        std::vector<std::array<unsigned char, 32>> keys;
        buffers memory;
        std::vector<std::uint64_t> bytes;
        std::vector<sluice_status> results;
        bool deletes = false;
        std::vector<std::uint8_t> found;  // of a delete that has looked its keys up
    };

    lmcache_connector(sluice_store* store, std::string name_space)
        : store_(store), name_space_(std::move(name_space)) {}
    std::uint64_t start(std::uint32_t kind, const names& keys, const buffers& bufs,
                        const lengths& lens);
    sluice_status submit(std::uint64_t id, batch& b, std::uint32_t kind);
    bool finish(const sluice_batch_result& ended, lmcache::connector::Completion& out);

    sluice_store* const store_;
    const std::string name_space_;
    std::atomic<int> fd_{-1};
    std::atomic<bool> closed_{false};
    std::mutex mutex_;                                  // guards what follows
    std::unordered_map<std::uint64_t, batch> batches_;  // by future id, until they are drained
    std::uint64_t last_id_ = 0;
};

}  // namespace sluice_adapters
