// SPDX-License-Identifier: Apache-2.0
// The interface of LMCache's header of this name, written from its contract.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "connector_types.h"

namespace lmcache {
namespace connector {

class IStorageConnector {
 public:
    virtual ~IStorageConnector() = default;

    virtual int event_fd() const = 0;
    virtual uint64_t submit_batch_get(const std::vector<std::string>& keys,
                                      const std::vector<void*>& bufs,
                                      const std::vector<size_t>& lens,
                                      size_t batch_chunk_num_bytes) = 0;
    virtual uint64_t submit_batch_set(const std::vector<std::string>& keys,
                                      const std::vector<void*>& bufs,
                                      const std::vector<size_t>& lens,
                                      size_t batch_chunk_num_bytes) = 0;
    virtual uint64_t submit_batch_exists(const std::vector<std::string>& keys) = 0;
    virtual uint64_t submit_batch_delete(const std::vector<std::string>& keys) = 0;
    virtual std::vector<Completion> drain_completions() = 0;
    virtual void close() = 0;
};

}  // namespace connector
}  // namespace lmcache
