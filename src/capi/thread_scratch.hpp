// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include <sluice/kv/block_key.hpp>

namespace sluice::capi {

/// A value that each thread keeps from call to call; one per type. Null when the thread is ending
/// and has destroyed it: destructors of other thread-local objects may still call the API.
template <class T>
[[nodiscard]] T* thread_scratch() {
    static thread_local bool gone = false;  // has no destructor, so it can be read to the end
    struct keeper {
        ~keeper() { gone = true; }
        T value;
    };
    if (gone) {
        return nullptr;
    }
    static thread_local keeper kept;
    return &kept.value;
}

/// Room for the keys of a call, which the thread keeps if it is not very large.
class key_scratch {
 public:
    key_scratch() : kept_(thread_scratch<std::vector<block_key>>()) {}
    key_scratch(const key_scratch&) = delete;
    key_scratch& operator=(const key_scratch&) = delete;
    ~key_scratch() {
        if (kept_ != nullptr && kept_->capacity() > most_kept) {
            std::vector<block_key>().swap(*kept_);
        }
    }
    [[nodiscard]] std::vector<block_key>& keys() noexcept {
        return kept_ != nullptr ? *kept_ : own_;
    }

 private:
    static constexpr std::size_t most_kept = 65536;
    std::vector<block_key>* const kept_;
    std::vector<block_key> own_;
};

}  // namespace sluice::capi
