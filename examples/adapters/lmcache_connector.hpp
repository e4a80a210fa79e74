// SPDX-License-Identifier: Apache-2.0
// LMCache over Sluice: IStorageConnector on Sluice's batches, by the C API. C++17, as LMCache is.
//
// Written against LMCache 0.5.6 (October 2026): csrc/storage_backends/connector_interface.h and
// connector_types.h. Build it with lmcache_module.cpp into a Python module; the multiprocess server
// is told:
//   --l2-adapter '{"type": "native_plugin", "module_path": "sluice_lmcache",
//                  "class_name": "SluiceConnector", "adapter_params": {
//                      "nodes": "tcp://a:7070,tcp://b:7070", "secret_file": "/etc/sluice.secret"}}'
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include <connector_interface.h>
#include <connector_types.h>

#include <sluice/sluice.h>

namespace sluice_adapters {

struct lmcache_options {
    std::string nodes = "memory";   // or "tcp://host:port,...": memory nodes
    std::string secret_file;        // what clients and nodes share
    std::string name_space;         // blocks of others are not seen
    std::uint32_t replicas = 0;     // nodes that each block is put to; 0: 1
    std::uint32_t connections = 0;  // for data, per node; 0: 1
    std::uint64_t capacity = 0;     // "memory": bytes of blocks; 0: 1 GiB
};

/// Any thread may call any member, several at once; only close() waits. Nothing here knows of
/// Python: bytes move on Sluice's threads, by address.
class lmcache_connector final : public lmcache::connector::IStorageConnector {
 public:
    /// Throws std::runtime_error: an option, or the secret's file.
    explicit lmcache_connector(const lmcache_options& options);
    lmcache_connector(const lmcache_connector&) = delete;
    lmcache_connector& operator=(const lmcache_connector&) = delete;
    ~lmcache_connector() override { close(); }

    /// Level triggered: readable while completions wait. -1 after close().
    int event_fd() const override { return fd_.load(); }

    // Each returns the future id that its completion has. Throws std::runtime_error: lists of
    // different lengths, no keys, closed, or 65536 batches under way; nothing is done then. A
    // length that is not the stored block's fails that key alone.
    std::uint64_t submit_batch_get(const std::vector<std::string>& keys,
                                   const std::vector<void*>& bufs,
                                   const std::vector<std::size_t>& lens,
                                   std::size_t batch_chunk_num_bytes) override;
    std::uint64_t submit_batch_set(const std::vector<std::string>& keys,
                                   const std::vector<void*>& bufs,
                                   const std::vector<std::size_t>& lens,
                                   std::size_t batch_chunk_num_bytes) override;
    std::uint64_t submit_batch_exists(const std::vector<std::string>& keys) override;
    std::uint64_t submit_batch_delete(const std::vector<std::string>& keys) override;

    /// Oldest end first. Empty, if the descriptor was readable for the first half of a delete.
    std::vector<lmcache::connector::Completion> drain_completions() override;

    /// Cancels what has not started and waits for the rest; after it no buffer is touched.
    void close() override;

 private:
    using key = std::array<unsigned char, 32>;
    struct batch {
        std::vector<key> keys;
        std::vector<void*> memory;
        std::vector<std::uint64_t> bytes;
        std::vector<sluice_status> results;
        bool deletes = false;
        std::vector<std::uint8_t> found;  // of a delete that has looked its keys up
    };

    std::uint64_t start(std::uint32_t kind, const std::vector<std::string>& keys,
                        const std::vector<void*>* bufs, const std::vector<std::size_t>* lens,
                        bool deletes = false);
    sluice_status submit(std::uint64_t id, batch& b, std::uint32_t kind);
    bool finish(const sluice_batch_result& ended, lmcache::connector::Completion& out);

    sluice_store* store_ = nullptr;
    const std::string name_space_;
    std::atomic<int> fd_{-1};
    std::atomic<bool> closed_{false};
    std::mutex mutex_;                                  // guards what follows
    std::unordered_map<std::uint64_t, batch> batches_;  // by future id, until they are drained
    std::uint64_t last_id_ = 0;
};

}  // namespace sluice_adapters
